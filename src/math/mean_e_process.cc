#include "math/mean_e_process.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"

namespace leadsman {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMixturePrice = 2;  // nats that the grid costs against knowing the best bet
constexpr uint64_t kCentred = 10;    // losses of an arm, before bets are made on it
constexpr int kPoints = 24;
constexpr double kLow = 0.003, kHigh = 0.95;

std::vector<double> BetGrid() {
  std::vector<double> grid(kPoints);
  for (int i = 0; i < kPoints; ++i) grid[i] = kLow * std::pow(kHigh / kLow, i / (kPoints - 1.0));
  return grid;
}

/// What a bet pays for each squared distance from the centre.
double Psi(double bet) { return -std::log1p(-bet) - bet; }

/// Squared distances from the centre.
double Around(double centre, const LossSums& window) {
  const auto n = static_cast<double>(window.count);
  return std::max(0.0, window.squares - 2 * centre * window.sum + n * centre * centre);
}

/// A bet on each loss of both arms. The means cancel where candidate * n_c * ratio = stable * n_s; the larger one is `bet`.
struct Bets {
  double candidate = 0, stable = 0;
};
Bets BetsOf(double bet, double candidate_count, double stable_count, double ratio) {
  const double odds = ratio * candidate_count / stable_count;
  return odds <= 1 ? Bets{bet, bet * odds} : Bets{bet / odds, bet};
}

}  // namespace

void LossSums::Add(double loss, double highest) {
  const bool too_high = !(loss <= highest);  // and what is no number
  const double part = too_high ? 1 : std::max(0.0, loss / highest);
  ++count;
  sum += part;
  squares += part * part;
  if (too_high) ++clipped;
}

void LossSums::Add(const LossSums& other) {
  count += other.count;
  sum += other.sum;
  squares += other.squares;
  clipped += other.clipped;
}

void LossSums::Subtract(const LossSums& earlier) {
  count -= earlier.count;
  clipped -= earlier.clipped;
  // Sums of many losses are rounded: those of a few must be possible ones.
  sum = std::clamp(sum - earlier.sum, 0.0, static_cast<double>(count));
  squares = std::clamp(squares - earlier.squares, 0.0, sum);
}

double LossSums::Mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }

double LossSums::Spread() const {
  if (count == 0) return 0;
  const double mean = Mean();
  return std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean * mean));
}

MeanEProcess::MeanEProcess() : GridEProcess(BetGrid()) {}

bool MeanEProcess::Set(std::span<const double> logs, const Seen& seen) {
  if (!SetLogs(logs)) return false;
  seen_ = seen;
  return true;
}

void MeanEProcess::Compare(const LossSums& candidate, const LossSums& stable, double ratio,
                           bool more) {
  const bool centred = seen_.candidate.count >= kCentred && seen_.stable.count >= kCentred;
  if (centred && candidate.count > 0 && stable.count > 0) {
    const auto n_c = static_cast<double>(candidate.count);
    const auto n_s = static_cast<double>(stable.count);
    const double around_c = Around(seen_.candidate.Mean(), candidate);
    const double around_s = Around(seen_.stable.Mean(), stable);
    for (size_t i = 0; i < grid_.size(); ++i) {
      const Bets bets = BetsOf(grid_[i], n_c, n_s, ratio);
      const double gain = bets.candidate * candidate.sum - bets.stable * stable.sum;
      logs_[i] +=
          (more ? gain : -gain) - Psi(bets.candidate) * around_c - Psi(bets.stable) * around_s;
    }
  }
  seen_.candidate.Add(candidate);
  seen_.stable.Add(stable);
}

void MeanEProcess::Hold(const LossSums& candidate, double bound, bool more) {
  if (seen_.candidate.count >= kCentred) {
    const double over = candidate.sum - bound * static_cast<double>(candidate.count);
    const double around = Around(seen_.candidate.Mean(), candidate);
    for (size_t i = 0; i < grid_.size(); ++i)
      logs_[i] += grid_[i] * (more ? over : -over) - Psi(grid_[i]) * around;
  }
  seen_.candidate.Add(candidate);
}

void MeanHarmTest::Update(const LossSums& candidate, const LossSums& stable) {
  Compare(candidate, stable, 1, true);
}

void MeanHarmTest::UpdateAgainst(double bound, const LossSums& candidate) {
  Hold(candidate, bound, true);
}

MeanSafeTest::MeanSafeTest(double margin) : margin_(margin) { CHECK(margin > 1); }

void MeanSafeTest::Update(const LossSums& candidate, const LossSums& stable) {
  Compare(candidate, stable, margin_, false);
}

MeanFloorTest::MeanFloorTest(double floor) : floor_(floor) { CHECK(floor > 0 && floor < 1); }

void MeanFloorTest::Update(const LossSums& candidate) { Hold(candidate, floor_, false); }

namespace planning {
namespace {

/// What the best bet gains with each loss of the candidate: `edge` for each unit of its bet.
double BestGain(double edge, double spread, double candidate_count, double stable_count,
                double ratio) {
  double best = 0;
  for (double bet : BetGrid()) {
    const Bets bets = BetsOf(bet, candidate_count, stable_count, ratio);
    const double paid = Psi(bets.candidate) + stable_count / candidate_count * Psi(bets.stable);
    best = std::max(best, bets.candidate * edge - paid * spread * spread);
  }
  return best;
}

}  // namespace

double MeanHarmExposure(double log_bound, double share, double difference, double spread) {
  if (share <= 0 || share >= 1 || difference <= 0) return kInfinity;
  const double gain = BestGain(difference, spread, share, 1 - share, 1);
  return gain > 0 ? (log_bound + kMixturePrice) / gain : kInfinity;
}

double MeanSafeExposure(double log_bound, double share, double mean, double spread, double margin,
                        double floor) {
  double relative = kInfinity, absolute = kInfinity;
  if (floor > 0) log_bound += std::log(2.0);  // as of SafeExposure
  if (share > 0 && share < 1 && mean > 0) {
    const double gain = BestGain((margin - 1) * mean, spread, share, 1 - share, margin);
    if (gain > 0) relative = (log_bound + kMixturePrice) / gain;
  }
  if (floor > 0 && mean < floor) {
    double gain = 0;
    for (double bet : BetGrid())
      gain = std::max(gain, bet * (floor - mean) - Psi(bet) * spread * spread);
    if (gain > 0) absolute = (log_bound + kMixturePrice) / gain;
  }
  return std::min(relative, absolute);
}

double SmallestMeanHarm(double log_bound, double share, double spread, double exposures) {
  double low = 0, high = 1;
  if (MeanHarmExposure(log_bound, share, high, spread) > exposures) return kInfinity;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (MeanHarmExposure(log_bound, share, middle, spread) > exposures ? low : high) = middle;
  }
  return high;
}

}  // namespace planning
}  // namespace leadsman
