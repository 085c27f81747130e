#include "rollout/words.h"

#include <cmath>
#include <cstdio>

#include "base/strings.h"

namespace leadsman::words {

std::string Count(uint64_t n) {
  std::string digits = std::to_string(n), out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string Significant(double v, int digits) {
  if (v == 0 || !std::isfinite(v)) return v == 0 ? "0" : "unknown";
  int decimals = std::max(0, digits - 1 - static_cast<int>(std::floor(std::log10(std::abs(v)))));
  char text[64];
  snprintf(text, sizeof text, "%.*f", std::min(decimals, 12), v);
  std::string out = text;
  if (out.find('.') != std::string::npos) {
    while (out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
  }
  return out;
}

std::string Percent(double fraction) { return StrCat(Significant(100 * fraction, 2), " %"); }

std::string Percent(uint64_t part, uint64_t of) {
  return of == 0 ? "0 %" : Percent(static_cast<double>(part) / static_cast<double>(of));
}

std::string EValue(double log_e) {
  if (log_e < std::log(10'000.0)) {
    double e = std::exp(log_e);
    return e < 0.01 ? "0.01 or less" : Significant(e, 2);
  }
  double log10_e = log_e / std::log(10.0);
  auto exponent = static_cast<int64_t>(std::floor(log10_e));
  double mantissa = std::pow(10, log10_e - static_cast<double>(exponent));
  if (mantissa >= 9.95) {
    mantissa = 1;
    ++exponent;
  }
  return StrCat(Significant(mantissa, 2), "e", exponent);
}

std::string Span(Duration d) {
  double seconds = ToSeconds(d);
  if (seconds < 1) return StrCat(Significant(seconds * 1000, 3), " ms");
  if (seconds < 120) return StrCat(Significant(seconds, 3), " s");
  if (seconds < 7200) return StrCat(Significant(seconds / 60, 3), " min");
  return StrCat(Significant(seconds / 3600, 3), " h");
}

double RoundUpNicely(double v) {
  constexpr double kMost = 1e15;  // is as good as never, and still fits an integer
  if (v <= 10) return std::ceil(v);
  if (v >= kMost) return kMost;
  double unit = std::pow(10, std::floor(std::log10(v)) - 1);
  return std::ceil(v / unit) * unit;
}

}  // namespace leadsman::words
