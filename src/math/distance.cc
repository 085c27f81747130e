#include "math/distance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>

#include "base/check.h"
#include "math/special_functions.h"

namespace leadsman {
namespace {

using Cells = std::span<const uint64_t>;

double Sum(Cells cells) {
  return static_cast<double>(std::accumulate(cells.begin(), cells.end(), uint64_t{0}));
}

/// 1/n + 1/m, 0 when one is 0: without a sample there is no noise to speak of.
double InverseSizes(uint64_t n, uint64_t m) {
  return n > 0 && m > 0 ? 1 / static_cast<double>(n) + 1 / static_cast<double>(m) : 0;
}

/// The mean of the square root of a chi-square.
double MeanOfChi(double freedom) {
  if (freedom <= 0) return 0;
  return std::numbers::sqrt2 * std::exp(std::lgamma((freedom + 1) / 2) - std::lgamma(freedom / 2));
}

double Freedom(size_t cells) { return cells > 0 ? static_cast<double>(cells) - 1 : 0; }

/// P(D >= h/(nm)) of the samples' order, all orders being as likely. Backwards from (i, j) the last
/// step came from the first sample with probability i/(i+j): the chance to have been outside the
/// band |i m - j n| < h is a weighted mean of that of both points before.
double ChanceToLeaveBand(size_t n, size_t m, uint64_t h) {
  std::vector<double> row(m + 1);
  auto outside = [&](size_t i, size_t j) {
    auto a = static_cast<uint64_t>(i) * m, b = static_cast<uint64_t>(j) * n;
    return (a > b ? a - b : b - a) >= h;
  };
  for (size_t i = 0; i <= n; ++i) {
    for (size_t j = 0; j <= m; ++j) {
      if (outside(i, j)) {
        row[j] = 1;
      } else if (i + j > 0) {
        auto x = static_cast<double>(i), y = static_cast<double>(j);
        double left = j > 0 ? row[j - 1] : 0;
        row[j] = (row[j] * x + left * y) / (x + y);
      }
    }
  }
  return row[m];
}

void CheckSorted(const WeightedValues& values) {
  DCHECK(std::is_sorted(values.begin(), values.end(),
                        [](auto& a, auto& b) { return a.value < b.value; }));
}

double Weight(const WeightedValues& values) {
  double sum = 0;
  for (const WeightedValue& v : values) sum += v.weight;
  return sum;
}

void Draw(Cells shares_of, uint64_t total, std::vector<uint64_t>& drawn, Rng& rng) {
  double left = Sum(shares_of);
  for (size_t i = 0; i < shares_of.size(); ++i) {
    auto mine = static_cast<double>(shares_of[i]);
    double share = left > 0 ? std::min(1.0, mine / left) : 0;
    drawn[i] = std::binomial_distribution<uint64_t>(total, share)(rng);
    total -= drawn[i];
    left -= mine;
  }
}

}  // namespace

size_t OccupiedCells(Cells reference, Cells window) {
  CHECK(reference.size() == window.size());
  size_t occupied = 0;
  for (size_t i = 0; i < reference.size(); ++i) occupied += reference[i] + window[i] > 0;
  return occupied;
}

double PopulationStabilityIndex(Cells reference, Cells window) {
  CHECK(reference.size() == window.size());
  double n = Sum(reference), m = Sum(window), index = 0;
  if (n == 0 || m == 0) return 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    if (reference[i] + window[i] == 0) continue;
    double p = std::max(0.5, static_cast<double>(reference[i])) / n;
    double q = std::max(0.5, static_cast<double>(window[i])) / m;
    index += (p - q) * std::log(p / q);
  }
  return index;
}

NoiseFloor PopulationStabilityNoise(size_t cells, uint64_t n, uint64_t m) {
  double scale = InverseSizes(n, m), freedom = Freedom(cells);
  return {scale * freedom, scale * ChiSquareQuantile(0.01, freedom)};
}

double JensenShannonDistance(Cells reference, Cells window) {
  CHECK(reference.size() == window.size());
  double n = Sum(reference), m = Sum(window), divergence = 0;
  if (n == 0 || m == 0) return 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    double p = static_cast<double>(reference[i]) / n, q = static_cast<double>(window[i]) / m;
    if (p > 0) divergence += p * std::log2(2 * p / (p + q));
    if (q > 0) divergence += q * std::log2(2 * q / (p + q));
  }
  return std::sqrt(std::max(0.0, divergence / 2));
}

NoiseFloor JensenShannonNoise(size_t cells, uint64_t n, uint64_t m) {
  double scale = std::sqrt(InverseSizes(n, m) / (8 * std::numbers::ln2)), freedom = Freedom(cells);
  return {scale * MeanOfChi(freedom), scale * std::sqrt(ChiSquareQuantile(0.01, freedom))};
}

TestResult ChiSquare(Cells reference, Cells window) {
  CHECK(reference.size() == window.size());
  double n = Sum(reference), m = Sum(window);
  if (n == 0 || m == 0) return {};
  TestResult result;
  for (size_t i = 0; i < reference.size(); ++i) {
    auto r = static_cast<double>(reference[i]), w = static_cast<double>(window[i]);
    if (r + w == 0) continue;
    double expected_r = (r + w) * n / (n + m), expected_w = (r + w) * m / (n + m);
    double difference = r - expected_r;  // the same in both rows but for its sign
    result.statistic += difference * difference * (1 / expected_r + 1 / expected_w);
  }
  result.p_value = ChiSquareTail(result.statistic, Freedom(OccupiedCells(reference, window)));
  return result;
}

NoiseFloor ChiSquareNoise(size_t cells) {
  return {Freedom(cells), ChiSquareQuantile(0.01, Freedom(cells))};
}

TestResult KolmogorovSmirnov(std::span<const double> reference, std::span<const double> window) {
  uint64_t n = reference.size(), m = window.size();
  if (n == 0 || m == 0) return {};
  uint64_t widest = 0;  // of |i m - j n|, i and j the numbers of values up to x
  for (size_t i = 0, j = 0; i < n && j < m;) {
    double x = std::min(reference[i], window[j]);
    while (i < n && reference[i] == x) ++i;
    while (j < m && window[j] == x) ++j;
    uint64_t a = i * m, b = j * n;
    widest = std::max(widest, a > b ? a - b : b - a);
  }
  TestResult result;
  result.statistic =
      static_cast<double>(widest) / (static_cast<double>(n) * static_cast<double>(m));
  if (widest == 0) return result;
  result.p_value = n <= kExactKolmogorovCells / m
                       ? ChanceToLeaveBand(n, m, widest)
                       : KolmogorovTail(result.statistic / std::sqrt(InverseSizes(n, m)));
  return result;
}

TestResult KolmogorovSmirnovOfCells(Cells reference, Cells window) {
  CHECK(reference.size() == window.size());
  double n = Sum(reference), m = Sum(window);
  if (n == 0 || m == 0) return {};
  TestResult result;
  double r = 0, w = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    r += static_cast<double>(reference[i]);
    w += static_cast<double>(window[i]);
    result.statistic = std::max(result.statistic, std::fabs(r / n - w / m));
  }
  result.p_value = KolmogorovTail(result.statistic / std::sqrt(1 / n + 1 / m));
  return result;
}

NoiseFloor KolmogorovSmirnovNoise(uint64_t n, uint64_t m) {
  const double kMean = std::sqrt(std::numbers::pi / 2) * std::numbers::ln2;
  constexpr double kP99 = 1.6276236115189502;  // KolmogorovTail(kP99) = 0.01
  double scale = std::sqrt(InverseSizes(n, m));
  return {kMean * scale, kP99 * scale};
}

WeightedValues ValuesOf(const QuantileSketch& sketch) {
  WeightedValues values;
  for (const QuantileSketch::Bin& bin : sketch.Bins()) {
    values.push_back({bin.middle, static_cast<double>(bin.count)});
  }
  return values;
}

WeightedValues ValuesOf(std::span<const double> values) {
  WeightedValues weighted;
  for (double value : values) weighted.push_back({value, 1});
  std::sort(weighted.begin(), weighted.end(),
            [](const auto& a, const auto& b) { return a.value < b.value; });
  return weighted;
}

double StandardDeviation(const WeightedValues& values) {
  double weight = Weight(values), mean = 0, square = 0;
  if (weight <= 0) return 0;
  for (const WeightedValue& v : values) mean += v.value * (v.weight / weight);
  for (const WeightedValue& v : values) {
    square += (v.value - mean) * (v.value - mean) * (v.weight / weight);
  }
  return std::sqrt(square);
}

double Wasserstein(const WeightedValues& reference, const WeightedValues& window) {
  CheckSorted(reference);
  CheckSorted(window);
  double n = Weight(reference), m = Weight(window);
  if (n <= 0 || m <= 0) return 0;
  double area = 0, below_r = 0, below_w = 0, at = 0;
  for (size_t i = 0, j = 0; i < reference.size() || j < window.size();) {
    bool from_reference =
        j == window.size() || (i < reference.size() && reference[i].value <= window[j].value);
    const WeightedValue& next = from_reference ? reference[i++] : window[j++];
    if (i + j > 1) area += std::fabs(below_r / n - below_w / m) * (next.value - at);
    at = next.value;
    (from_reference ? below_r : below_w) += next.weight;
  }
  return area;
}

double WassersteinInSigmas(const WeightedValues& reference, const WeightedValues& window) {
  double distance = Wasserstein(reference, window), sigma = StandardDeviation(reference);
  if (distance == 0) return 0;
  return sigma > 0 ? distance / sigma : std::numeric_limits<double>::infinity();
}

NoiseFloor WassersteinNoise(const WeightedValues& reference, uint64_t n, uint64_t m) {
  CheckSorted(reference);
  double weight = Weight(reference), sigma = StandardDeviation(reference);
  if (sigma <= 0) return {};
  double below = 0, integral = 0;
  for (size_t i = 0; i + 1 < reference.size(); ++i) {
    below += reference[i].weight;
    double f = std::min(1.0, below / weight);
    integral += std::sqrt(f * (1 - f)) * (reference[i + 1].value - reference[i].value);
  }
  double scale = std::sqrt(InverseSizes(n, m)) * integral / sigma;
  constexpr double kNormal99 = 2.5758293035489004;  // |z| exceeds it once in a hundred
  return {std::sqrt(2 / std::numbers::pi) * scale, kNormal99 * scale};
}

NoiseFloor SimulateNoise(const CellStatistic& statistic, Cells reference, uint64_t window_total,
                         int runs, Rng& rng) {
  CHECK(runs > 0);
  uint64_t reference_total = std::accumulate(reference.begin(), reference.end(), uint64_t{0});
  if (reference_total == 0 || window_total == 0) return {};
  std::vector<uint64_t> first(reference.size()), second(reference.size());
  std::vector<double> seen;
  for (int run = 0; run < runs; ++run) {
    Draw(reference, reference_total, first, rng);
    Draw(reference, window_total, second, rng);
    seen.push_back(statistic(first, second));
  }
  double mean = std::accumulate(seen.begin(), seen.end(), 0.0) / runs;
  std::sort(seen.begin(), seen.end());
  auto rank = static_cast<size_t>(std::ceil(0.99 * runs));
  return {mean, seen[std::min(rank, seen.size()) - 1]};
}

}  // namespace leadsman
