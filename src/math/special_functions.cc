#include "math/special_functions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace leadsman {
namespace {

constexpr double kEpsilon = 1e-16;
constexpr double kTiny = 1e-300;  // stands for a denominator of 0 in Lentz's method
constexpr int kMaxTerms = 100'000;

/// As std::lgamma, which writes a global variable.
double LogGamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

/// x^a e^-x / Gamma(a).
double GammaScale(double a, double x) { return std::exp(a * std::log(x) - x - LogGamma(a)); }

double NotZero(double value) { return std::fabs(value) < kTiny ? kTiny : value; }

double BetaFraction(double a, double b, double x) {
  double c = 1, d = 1 / NotZero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m < kMaxTerms; ++m) {
    double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / NotZero(1 + even * d);
    c = NotZero(1 + even / c);
    value *= c * d;
    double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / NotZero(1 + odd * d);
    c = NotZero(1 + odd / c);
    value *= c * d;
    if (std::fabs(c * d - 1) < kEpsilon) break;
  }
  return value;
}

}  // namespace

double LogBeta(double a, double b) { return LogGamma(a) + LogGamma(b) - LogGamma(a + b); }

double GammaQ(double a, double x) {
  if (x <= 0) return 1;
  if (std::isinf(x)) return 0;
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (int n = 1; n < kMaxTerms && term > sum * kEpsilon; ++n) sum += term *= x / (a + n);
    return std::max(0.0, 1 - sum * GammaScale(a, x));
  }
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, value = d;
  for (int n = 1; n < kMaxTerms; ++n) {
    double factor = -n * (n - a);
    b += 2;
    d = 1 / NotZero(factor * d + b);
    c = NotZero(b + factor / c);
    value *= c * d;
    if (std::fabs(c * d - 1) < kEpsilon) break;
  }
  return value * GammaScale(a, x);
}

double BetaI(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  double scale = std::exp(a * std::log(x) + b * std::log1p(-x) - LogBeta(a, b));
  // The fraction converges quickly on the near side of the mean.
  if (x < (a + 1) / (a + b + 2)) return scale * BetaFraction(a, b, x) / a;
  return 1 - scale * BetaFraction(b, a, 1 - x) / b;
}

double ChiSquareTail(double x, double freedom) {
  return freedom > 0 ? GammaQ(freedom / 2, x / 2) : 1;
}

double ChiSquareQuantile(double tail, double freedom) {
  if (freedom <= 0) return 0;
  double low = 0, high = freedom + 10;
  while (ChiSquareTail(high, freedom) > tail) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-14 * high; ++i) {
    double middle = (low + high) / 2;
    (ChiSquareTail(middle, freedom) > tail ? low : high) = middle;
  }
  return (low + high) / 2;
}

double BinomialTail(double events, double n, double p) {
  if (events <= 0) return 1;
  if (events > n) return 0;
  return BetaI(events, n - events + 1, p);
}

double KolmogorovTail(double x) {
  if (x <= 0) return 1;
  if (x < 1) {  // this form needs few terms here, the other there
    double sum = 0;
    for (int k = 1; k <= 7; k += 2) {
      sum += std::exp(-k * k * std::numbers::pi * std::numbers::pi / (8 * x * x));
    }
    return 1 - std::sqrt(2 * std::numbers::pi) / x * sum;
  }
  double sum = 0, sign = 1;
  for (int k = 1; k <= 10; ++k, sign = -sign) sum += sign * std::exp(-2.0 * k * k * x * x);
  return 2 * sum;
}

}  // namespace leadsman
