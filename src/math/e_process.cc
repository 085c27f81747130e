#include "math/e_process.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace leadsman {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMixturePrice = 1.2;  // nats that the grid costs against knowing the truth

std::vector<double> HarmGrid() {
  constexpr int kPoints = 24;
  constexpr double kLow = 1.1, kHigh = 20;
  std::vector<double> grid(kPoints);
  for (int i = 0; i < kPoints; ++i) grid[i] = kLow * std::pow(kHigh / kLow, i / (kPoints - 1.0));
  return grid;
}

/// Rate ratios margin^(1-x): x = 1 is an equal candidate, larger x a better one.
std::vector<double> SafeGrid(double margin) {
  std::vector<double> grid;
  for (double x : {0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 4.0}) grid.push_back(std::pow(margin, 1 - x));
  return grid;
}

std::vector<double> FloorGrid(double floor) {
  std::vector<double> grid;
  for (double x : {0.0, 0.1, 0.3, 0.6}) grid.push_back(x * floor);
  return grid;
}

bool IsEvidence(const ArmCounts& candidate, const ArmCounts& stable) {
  return candidate.exposure > 0 && stable.exposure > 0 && candidate.events + stable.events > 0;
}

double MeasuredShare(const ArmCounts& candidate, const ArmCounts& stable) {
  return static_cast<double>(candidate.exposure) /
         (static_cast<double>(candidate.exposure) + static_cast<double>(stable.exposure));
}

}  // namespace

void EvidenceWindow::Add(const ArmCounts& candidate_part, const ArmCounts& stable_part) {
  candidate.exposure += candidate_part.exposure;
  candidate.events += candidate_part.events;
  stable.exposure += stable_part.exposure;
  stable.events += stable_part.events;
}

double LogMeanExp(std::span<const double> logs) {
  if (logs.empty()) return 0;
  double top = *std::max_element(logs.begin(), logs.end());
  if (!std::isfinite(top)) return top;
  double sum = 0;
  for (double l : logs) sum += std::exp(l - top);
  return top + std::log(sum / static_cast<double>(logs.size()));
}

GridEProcess::GridEProcess(std::vector<double> grid)
    : grid_(std::move(grid)), logs_(grid_.size(), 0.0) {}

double GridEProcess::log_e() const { return LogMeanExp(logs_); }

bool GridEProcess::SetLogs(std::span<const double> logs) {
  if (logs.size() != logs_.size()) return false;
  logs_.assign(logs.begin(), logs.end());
  return true;
}

HarmTest::HarmTest() : GridEProcess(HarmGrid()) {}

void HarmTest::Update(const ArmCounts& candidate, const ArmCounts& stable) {
  if (!IsEvidence(candidate, stable)) return;
  UpdateWithShare(MeasuredShare(candidate, stable), candidate.events, stable.events);
}

void HarmTest::UpdateWithShare(double share, uint64_t candidate_events, uint64_t stable_events) {
  // theta(g)/rho = g/(1 + rho (g-1)) and (1-theta(g))/(1-rho) = 1/(1 + rho (g-1)).
  auto mine = static_cast<double>(candidate_events);
  double all = mine + static_cast<double>(stable_events);
  for (size_t i = 0; i < grid_.size(); ++i) {
    logs_[i] += mine * std::log(grid_[i]) - all * std::log1p(share * (grid_[i] - 1));
  }
}

SafeTest::SafeTest(double margin) : GridEProcess(SafeGrid(margin)), margin_(margin) {
  CHECK(margin > 1);
}

void SafeTest::Update(const ArmCounts& candidate, const ArmCounts& stable) {
  if (!IsEvidence(candidate, stable)) return;
  double share = MeasuredShare(candidate, stable);
  auto mine = static_cast<double>(candidate.events);
  double all = mine + static_cast<double>(stable.events);
  double at_margin = std::log1p(share * (margin_ - 1));
  for (size_t i = 0; i < grid_.size(); ++i) {
    logs_[i] += mine * std::log(grid_[i] / margin_) -
                all * (std::log1p(share * (grid_[i] - 1)) - at_margin);
  }
}

FloorTest::FloorTest(double floor) : GridEProcess(FloorGrid(floor)), floor_(floor) {
  CHECK(floor > 0 && floor < 1);
}

void FloorTest::Update(const ArmCounts& candidate) {
  if (candidate.exposure == 0) return;
  auto bad = static_cast<double>(candidate.events);
  double good = std::max(0.0, static_cast<double>(candidate.exposure) - bad);
  for (size_t i = 0; i < grid_.size(); ++i) {
    // An event refutes rate 0 for good: its logarithm stays at minus infinity.
    if (bad > 0) logs_[i] += bad * std::log(grid_[i] / floor_);
    if (good > 0) logs_[i] += good * (std::log1p(-grid_[i]) - std::log1p(-floor_));
  }
}

namespace planning {

double BernoulliKl(double p, double q) {
  double kl = 0;
  if (p > 0) kl += q > 0 ? p * std::log(p / q) : kInfinity;
  if (p < 1) kl += q < 1 ? (1 - p) * std::log((1 - p) / (1 - q)) : kInfinity;
  return kl;
}

double HarmExposure(double log_bound, double share, double candidate_rate, double stable_rate) {
  if (share <= 0 || share >= 1 || candidate_rate <= stable_rate) return kInfinity;
  double event_rate = share * candidate_rate + (1 - share) * stable_rate;
  double theta = share * candidate_rate / event_rate;
  double events = (log_bound + kMixturePrice) / BernoulliKl(theta, share);
  return events * share / event_rate;
}

double SafeExposure(double log_bound, double share, double rate, double margin, double floor) {
  double relative = kInfinity, absolute = kInfinity;
  // The mean of two tests, of which one has to carry the bound alone, costs ln 2. The relative
  // test's grid is narrow: what it costs is about what the median is below Wald's mean.
  if (floor > 0) log_bound += std::log(2.0);
  if (rate > 0 && share > 0 && share < 1) {
    double at_margin = share * margin / (share * margin + 1 - share);
    relative = log_bound / BernoulliKl(share, at_margin) * share / rate;
  }
  if (floor > 0 && rate < floor) {
    absolute = (log_bound + kMixturePrice) / BernoulliKl(rate, floor);
  }
  return std::min(relative, absolute);
}

}  // namespace planning
}  // namespace leadsman
