#include "monitor/drift/wide_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/rng.h"
#include "base/strings.h"

namespace leadsman {
namespace {

/// Values that have signs of their own; further ones use them again.
constexpr size_t kSigned = 4096;
constexpr uint64_t kSeed = 0x6c65616473;  // must never change: references are kept

using Signs = std::array<std::array<float, kProjections>, kSigned>;

const Signs& TheSigns() {
  static const auto signs = [] {
    auto made = std::make_unique<Signs>();
    for (size_t i = 0; i < kSigned; ++i) {
      uint64_t bits = Rng::Mix(kSeed + i * 0x9e3779b97f4a7c15ull);
      for (size_t k = 0; k < kProjections; ++k) (*made)[i][k] = (bits >> k) & 1 ? 1.0f : -1.0f;
    }
    return made;
  }();
  return *signs;
}

}  // namespace

WideSummary SummariseWide(std::span<const float> values) {
  const Signs& signs = TheSigns();
  std::array<float, kProjections> sums{};
  double sum = 0, squares = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    float value = values[i];
    sum += value;
    squares += double{value} * value;
    const auto& sign = signs[i % kSigned];
    for (size_t k = 0; k < kProjections; ++k) sums[k] += value * sign[k];
  }
  WideSummary summary;
  auto n = std::max(1.0, static_cast<double>(values.size()));
  double mean = sum / n;
  summary[0] = static_cast<float>(std::sqrt(squares));
  summary[1] = static_cast<float>(mean);
  summary[2] = static_cast<float>(std::sqrt(std::max(0.0, squares / n - mean * mean)));
  for (size_t k = 0; k < kProjections; ++k) {
    summary[3 + k] = sums[k] / static_cast<float>(std::sqrt(n));
  }
  if (!std::all_of(summary.begin(), summary.end(), [](float v) { return std::isfinite(v); })) {
    summary.fill(std::numeric_limits<float>::quiet_NaN());
  }
  return summary;
}

std::vector<std::string> WideNames() {
  std::vector<std::string> names{"norm", "mean", "deviation"};
  for (size_t k = 1; k <= kProjections; ++k) names.push_back(StrCat("projection ", k));
  return names;
}

}  // namespace leadsman
