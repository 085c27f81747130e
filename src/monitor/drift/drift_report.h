#pragma once

#include <array>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/clock.h"
#include "math/independence.h"
#include "monitor/drift/drift_track.h"

namespace leadsman {

/// What the budget allows one detector: from the numbers of detectors of each kind in the process
/// (HarmFirstShares, without a list of them all).
struct BudgetShares {
  AlarmBudget budget;
  std::array<size_t, 3> detectors{};  ///< by Harm

  double ShareOf(Harm harm) const;
  /// The evidence at which a detector of this track raises an alarm by itself; 0 before its first look.
  double ThresholdOf(const DriftTrack& track, SteadyTime now) const;
};

/// A distance of the last window from the reference, beside what to expect of it without change.
struct DistanceReport {
  double value = 0;
  double noise = 0;      ///< its mean when nothing has changed
  double noise_p99 = 0;  ///< exceeded once in a hundred such windows
};
struct NumberDistances {
  DistanceReport psi, kolmogorov_smirnov, jensen_shannon;
  DistanceReport wasserstein;  ///< in the reference's standard deviations, between bins
};
/// Of reference()->numbers[number]; the track has a window. Sample sizes are divided by the number's
/// memory, so that floors hold for rows that depend on each other.
NumberDistances DistancesOf(const DriftTrack& track, size_t number);

/// "age of credit:3 has moved up by 0.31 σ (mean 41.2, reference 38) over the last 1600 requests; …":
/// what a firing stream says.
std::string SummaryOf(const std::string& model, int64_t version, const DriftTrack& track,
                      const DriftTrack::Stream& stream);

/// Why the bound on false alarms is not proven for a stream whose reference is as independent as this; empty: it is.
std::string WhyNotGuaranteed(const IndependenceCheck& reference);
/// The same in a word, for metrics: "few_blocks", "dependent_blocks"; empty: it is.
std::string_view NotGuaranteedReason(const IndependenceCheck& reference);
inline constexpr std::array<std::string_view, 2> kNotGuaranteedReasons{"few_blocks",
                                                                       "dependent_blocks"};

nlohmann::ordered_json TrackJson(const DriftTrack& track, const BudgetShares& shares,
                                 SteadyTime now);

}  // namespace leadsman
