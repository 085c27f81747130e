#include "math/sample_ratio.h"

#include <algorithm>
#include <cmath>

namespace leadsman {
namespace {

/// As std::lgamma, which writes a global variable.
double LogGamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

double LogBeta(double a, double b) { return LogGamma(a) + LogGamma(b) - LogGamma(a + b); }

/// ln of p^n, with 0^0 = 1.
double LogPower(double p, double n) { return n == 0 ? 0 : n * std::log(p); }

}  // namespace

double SampleRatio::LogE(double share, double tolerance) const {
  const auto mine = static_cast<double>(candidate), theirs = static_cast<double>(stable);
  if (!(share > 0 && share < 1) || mine + theirs == 0) return 0;
  const double a = kWeight * share, b = kWeight * (1 - share);
  const double mixture = LogBeta(a + mine, b + theirs) - LogBeta(a, b);
  const double slack = tolerance * std::min(share, 1 - share);
  const double best = std::clamp(mine / (mine + theirs), share - slack, share + slack);
  return mixture - LogPower(best, mine) - LogPower(1 - best, theirs);
}

}  // namespace leadsman
