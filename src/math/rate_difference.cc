#include "math/rate_difference.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "math/special_functions.h"

namespace leadsman {
namespace {

constexpr int kHalvings = 40;
/// The largest of a curve is flat: its value is known far better than its place.
constexpr int kThirds = 36;

/// One arm's e-process against each rate, as its logarithm: convex, least at the measured rate.
class RateEvidence {
 public:
  explicit RateEvidence(const ArmCounts& counts)
      : events_(static_cast<double>(std::min(counts.events, counts.exposure))),
        others_(static_cast<double>(counts.exposure) - events_),
        mixture_(LogBeta(events_ + 0.5, others_ + 0.5) - LogBeta(0.5, 0.5)) {}

  double LogE(double rate) const {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if ((rate <= 0 && events_ > 0) || (rate >= 1 && others_ > 0)) return kInfinity;
    double of_rate = 0;
    if (events_ > 0) of_rate += events_ * std::log(rate);
    if (others_ > 0) of_rate += others_ * std::log1p(-rate);
    return mixture_ - of_rate;
  }
  double Measured() const { return events_ + others_ == 0 ? 0.5 : events_ / (events_ + others_); }
  /// The rate furthest from the measured one towards `end` (0 or 1) that has no more than this against it.
  double Furthest(double end, double log_bound) const {
    if (LogE(end) <= log_bound) return end;
    double inside = Measured(), outside = end;
    for (int i = 0; i < kHalvings; ++i) {
      const double middle = (inside + outside) / 2;
      (LogE(middle) <= log_bound ? inside : outside) = middle;
    }
    return inside;
  }

 private:
  double events_, others_, mixture_;
};

/// The largest difference a - b of two rates that together have no more than `log_bound` against them.
double LargestDifference(const RateEvidence& a, const RateEvidence& b, double log_bound) {
  const double least_b = b.LogE(b.Measured());
  auto difference = [&](double rate) { return rate - b.Furthest(0, log_bound - a.LogE(rate)); };
  // Along a's rate it rises to its largest and falls from there, for the set is convex.
  double low = a.Measured(), high = a.Furthest(1, log_bound - least_b);
  for (int i = 0; i < kThirds; ++i) {
    const double first = low + (high - low) / 3, second = high - (high - low) / 3;
    if (difference(first) < difference(second)) {
      low = first;
    } else {
      high = second;
    }
  }
  return difference((low + high) / 2);
}

}  // namespace

RateDifference DifferenceOfRates(const ArmCounts& candidate, const ArmCounts& stable,
                                 double level) {
  if (candidate.exposure == 0 || stable.exposure == 0) return {};
  const RateEvidence mine(candidate), theirs(stable);
  const double log_bound = -std::log1p(-level);
  return {std::max(-1.0, -LargestDifference(theirs, mine, log_bound)),
          std::min(1.0, LargestDifference(mine, theirs, log_bound))};
}

}  // namespace leadsman
