#include "math/distance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "math/reference_bins.h"
#include "math/special_functions.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using Numbers = std::vector<double>;

/// One case of distance.golden: what was compared, and SciPy's answers.
struct Golden {
  std::string name;
  std::multimap<std::string, Numbers> lines;

  bool Has(const std::string& key) const { return lines.contains(key); }
  const Numbers& operator[](const std::string& key) const { return lines.find(key)->second; }
  std::vector<uint64_t> Cells(const std::string& key) const {
    return {(*this)[key].begin(), (*this)[key].end()};
  }
  Numbers Sorted(const std::string& key) const {
    Numbers values = (*this)[key];
    std::sort(values.begin(), values.end());
    return values;
  }
};

std::vector<Golden> GoldenCases() {
  std::ifstream file(SourceDir() + "/src/math/testdata/distance.golden");
  std::vector<Golden> cases;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string key;
    line >> key;
    if (key == "case") {
      cases.emplace_back().name = text.substr(5);
    } else if (key != "#") {
      Numbers numbers;
      for (double number; line >> number;) numbers.push_back(number);
      cases.back().lines.emplace(key, numbers);
    }
  }
  return cases;
}

void ExpectClose(double ours, double scipy, const char* what, double tolerance = 1e-9) {
  EXPECT_NEAR(ours, scipy, tolerance * std::fabs(scipy) + 1e-15) << what;
}

TEST(DistanceTest, EqualsSciPy) {
  size_t of_cells = 0, of_values = 0;
  for (const Golden& golden : GoldenCases()) {
    SCOPED_TRACE(golden.name);
    if (golden.Has("reference_cells")) {
      ++of_cells;
      auto reference = golden.Cells("reference_cells"), window = golden.Cells("window_cells");
      ExpectClose(PopulationStabilityIndex(reference, window), golden["psi"][0], "psi");
      ExpectClose(JensenShannonDistance(reference, window), golden["jensen_shannon"][0], "js");
      TestResult chi = ChiSquare(reference, window);
      ExpectClose(chi.statistic, golden["chi_square"][0], "chi-square");
      ExpectClose(chi.p_value, golden["chi_square"][1], "p of chi-square");
    }
    if (golden.Has("kolmogorov_smirnov")) {
      ++of_values;
      Numbers reference = golden.Sorted("reference_values"),
              window = golden.Sorted("window_values");
      TestResult ks = KolmogorovSmirnov(reference, window);
      ExpectClose(ks.statistic, golden["kolmogorov_smirnov"][0], "ks");
      ExpectClose(ks.p_value, golden["kolmogorov_smirnov"][1], "p of ks");
      ExpectClose(Wasserstein(ValuesOf(reference), ValuesOf(window)), golden["wasserstein"][0],
                  "wasserstein");
      ExpectClose(StandardDeviation(ValuesOf(reference)), golden["sigma"][0], "sigma");
    }
  }
  EXPECT_EQ(of_cells, 6u);
  EXPECT_EQ(of_values, 8u);
}

WeightedValues Weighted(const Numbers& values, const Numbers& weights) {
  WeightedValues weighted;
  for (size_t i = 0; i < values.size(); ++i) weighted.push_back({values[i], weights[i]});
  return weighted;
}

TEST(DistanceTest, WeightedWassersteinAndTailsEqualSciPy) {
  for (const Golden& golden : GoldenCases()) {
    if (golden.name == "weighted") {
      auto reference = Weighted(golden["reference_values"], golden["reference_weights"]);
      auto window = Weighted(golden["window_values"], golden["window_weights"]);
      ExpectClose(Wasserstein(reference, window), golden["wasserstein"][0], "wasserstein");
      ExpectClose(WassersteinInSigmas(reference, window),
                  golden["wasserstein"][0] / golden["sigma"][0], "in sigmas");
    }
    for (const auto& [key, v] : golden.lines) {
      SCOPED_TRACE(key + " " + std::to_string(v[0]) + " " +
                   std::to_string(v.size() > 1 ? v[1] : 0));
      if (key == "chi_square_tail") ExpectClose(ChiSquareTail(v[0], v[1]), v[2], "", 1e-11);
      if (key == "chi_square_quantile") ExpectClose(ChiSquareQuantile(v[0], v[1]), v[2], "", 1e-10);
      if (key == "kolmogorov_tail") ExpectClose(KolmogorovTail(v[0]), v[1], "", 1e-11);
      if (key == "binomial_tail") ExpectClose(BinomialTail(v[0], v[1], v[2]), v[3], "", 1e-9);
    }
  }
}

TEST(DistanceTest, ThePValueOfLargeSamplesIsNearTheExactOne) {
  // 2000 against 2001 values: beyond what is computed exactly; the same distance at 2000 x 2000 is
  // not.
  Rng rng(1);
  std::normal_distribution<double> normal;
  Numbers reference(2000), window(2001);
  for (double& v : reference) v = normal(rng);
  for (double& v : window) v = normal(rng) + 0.03;
  std::sort(reference.begin(), reference.end());
  std::sort(window.begin(), window.end());
  TestResult limit = KolmogorovSmirnov(reference, window);
  window.erase(window.begin() + 1000);
  TestResult exact = KolmogorovSmirnov(reference, window);
  EXPECT_GT(exact.p_value, 0.001);
  EXPECT_NEAR(limit.p_value / exact.p_value, 1, 0.1);
}

TEST(DistanceTest, EmptySamplesAndConstantsAreNoEvidence) {
  std::vector<uint64_t> some{3, 4, 5}, none{0, 0, 0}, one{9, 0, 0};
  EXPECT_EQ(PopulationStabilityIndex(some, none), 0);
  EXPECT_EQ(JensenShannonDistance(none, some), 0);
  EXPECT_EQ(ChiSquare(some, none).p_value, 1);
  EXPECT_EQ(ChiSquare(one, one).p_value, 1);
  EXPECT_EQ(KolmogorovSmirnovOfCells(none, none).statistic, 0);
  EXPECT_EQ(KolmogorovSmirnov({}, {}).p_value, 1);
  EXPECT_EQ(Wasserstein({}, {{1, 1}}), 0);
  EXPECT_EQ(OccupiedCells(one, none), 1u);
  EXPECT_EQ(WassersteinInSigmas({{2, 5}}, {{2, 9}}), 0);
  EXPECT_TRUE(std::isinf(WassersteinInSigmas({{2, 5}}, {{2.1, 9}})));
  EXPECT_EQ(PopulationStabilityNoise(10, 0, 50).mean, 0);
  EXPECT_EQ(PopulationStabilityNoise(1, 50, 50).p99, 0);
}

TEST(DistanceTest, OfCellsKolmogorovSmirnovIsNeverMoreThanOfTheValues) {
  Rng rng(2);
  std::normal_distribution<double> normal;
  for (double shift : {0.0, 0.2, 1.0}) {
    Numbers reference(600), window(200);
    for (double& v : reference) v = static_cast<float>(normal(rng));
    for (double& v : window) v = static_cast<float>(normal(rng) + shift);
    std::sort(reference.begin(), reference.end());
    std::sort(window.begin(), window.end());
    std::vector<float> sample(reference.begin(), reference.end());
    ReferenceBins bins = ReferenceBins::FromSample(sample, 20);
    BinnedCounts r(bins), w(bins);
    for (double v : reference) r.Add(bins, static_cast<float>(v));
    for (double v : window) w.Add(bins, static_cast<float>(v));
    double of_cells = KolmogorovSmirnovOfCells(r.bins(), w.bins()).statistic;
    double of_values = KolmogorovSmirnov(reference, window).statistic;
    EXPECT_LE(of_cells, of_values + 1e-12);
    EXPECT_GE(of_cells, of_values - 0.05);  // what one bin in twenty can hide
  }
}

TEST(DistanceTest, WassersteinOfSketchesIsThatOfTheValuesButForTheSketchesError) {
  Rng rng(3);
  std::lognormal_distribution<double> draw(3, 0.5);
  Numbers reference(5000), window(3000);
  QuantileSketch r, w;
  for (double& v : reference) r.Add(v = draw(rng));
  for (double& v : window) w.Add(v = 1.1 * draw(rng));
  double exact = Wasserstein(ValuesOf(reference), ValuesOf(window));
  double largest = std::max(r.Quantile(0.5), w.Quantile(0.5));
  EXPECT_NEAR(Wasserstein(ValuesOf(r), ValuesOf(w)), exact,
              2 * QuantileSketch::kRelativeError * largest);
}

/// Mean and 99 % point of a statistic over clean pairs, against the formula's.
struct Seen {
  Numbers values;
  double Mean() const {
    double sum = 0;
    for (double v : values) sum += v;
    return sum / static_cast<double>(values.size());
  }
  double ShareAbove(double limit) const {
    return static_cast<double>(
               std::count_if(values.begin(), values.end(), [&](double v) { return v > limit; })) /
           static_cast<double>(values.size());
  }
};

// 1500 clean pairs; the mean's standard error is below 3 %, that of a share of 1 % is 0.26 %.
constexpr int kPairs = 1500;

TEST(NoiseFloorTest, OfCellsFormulasHoldForCleanWindows) {
  Rng rng(4);
  std::normal_distribution<double> normal;
  const size_t n = 1000, m = 300;
  Seen psi, js, chi;
  for (int pair = 0; pair < kPairs; ++pair) {
    std::vector<uint64_t> reference(10), window(10);
    for (size_t i = 0; i < n; ++i) ++reference[rng.Below(10)];
    for (size_t i = 0; i < m; ++i) ++window[rng.Below(10)];
    psi.values.push_back(PopulationStabilityIndex(reference, window));
    js.values.push_back(JensenShannonDistance(reference, window));
    chi.values.push_back(ChiSquare(reference, window).statistic);
  }
  struct Row {
    const char* name;
    const Seen& seen;
    NoiseFloor floor;
  };
  for (const Row& row :
       {Row{"psi", psi, PopulationStabilityNoise(10, n, m)},
        Row{"js", js, JensenShannonNoise(10, n, m)}, Row{"chi-square", chi, ChiSquareNoise(10)}}) {
    EXPECT_NEAR(row.seen.Mean() / row.floor.mean, 1, 0.1) << row.name;
    EXPECT_NEAR(row.seen.ShareAbove(row.floor.p99), 0.01, 0.008) << row.name;
  }
}

/// Of 400 fine cells from -4 to 4.
size_t Place(double v) { return static_cast<size_t>(std::clamp((v + 4) * 50, 0.0, 399.0)); }

TEST(NoiseFloorTest, OfValuesFormulasHoldForCleanWindows) {
  Rng rng(5);
  std::normal_distribution<double> normal;
  const size_t n = 400, m = 150;
  Seen ks, wasserstein;
  NoiseFloor expected;
  for (int pair = 0; pair < kPairs; ++pair) {
    Numbers reference(n), window(m);
    for (double& v : reference) v = normal(rng);
    for (double& v : window) v = normal(rng);
    auto r = ValuesOf(reference), w = ValuesOf(window);
    wasserstein.values.push_back(WassersteinInSigmas(r, w));
    if (pair == 0) expected = WassersteinNoise(r, n, m);
    std::sort(reference.begin(), reference.end());
    std::sort(window.begin(), window.end());
    // The statistic alone: the exact p-value of all these pairs takes too long.
    std::vector<uint64_t> first(400), second(400);
    for (double v : reference) ++first[Place(v)];
    for (double v : window) ++second[Place(v)];
    ks.values.push_back(KolmogorovSmirnovOfCells(first, second).statistic);
  }
  NoiseFloor kolmogorov = KolmogorovSmirnovNoise(n, m);
  EXPECT_NEAR(ks.Mean() / kolmogorov.mean, 1, 0.07);  // below its limit at these sizes
  EXPECT_LE(ks.ShareAbove(kolmogorov.p99), 0.015);
  EXPECT_NEAR(wasserstein.Mean() / expected.mean, 1, 0.1);
  EXPECT_LE(wasserstein.ShareAbove(expected.p99), 0.02);
}

TEST(NoiseFloorTest, SimulationAgreesWithTheFormulaAndShowsWhereItFails) {
  Rng rng(6);
  std::vector<uint64_t> even(10, 500);
  NoiseFloor simulated = SimulateNoise(PopulationStabilityIndex, even, 1000, 1000, rng);
  NoiseFloor formula = PopulationStabilityNoise(10, 5000, 1000);
  EXPECT_NEAR(simulated.mean / formula.mean, 1, 0.08);
  EXPECT_NEAR(simulated.p99 / formula.p99, 1, 0.15);
  // 20 values for ten cells, most of which are rare: the chi-square form is far off.
  std::vector<uint64_t> skewed{9000, 900, 50, 20, 10, 5, 5, 5, 3, 2};
  NoiseFloor small = SimulateNoise(PopulationStabilityIndex, skewed, 20, 1000, rng);
  EXPECT_GT(std::fabs(small.mean / PopulationStabilityNoise(10, 10'000, 20).mean - 1), 0.2);
  NoiseFloor none = SimulateNoise(PopulationStabilityIndex, even, 0, 10, rng);
  EXPECT_EQ(none.p99, 0);
}

}  // namespace
}  // namespace leadsman
