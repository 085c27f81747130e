#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rollout_judges/world.h"

namespace leadsman::bench {

/// What a judge made of one release.
struct Verdict {
  enum class Kind {
    kPromoted,
    kRolledBack,
    kNone,  ///< time was over, and nothing had been shown
  };
  Kind kind = Kind::kNone;
  uint64_t exposed = 0;  ///< requests that the candidate answered until then
  double seconds = 0;
};

/// Flagger's canary analysis: `interval` 1m, `threshold` 10, `maxWeight` 50, `stepWeight` 5, success rate at least 99 %
/// and P99 at most 500 ms, of the canary alone. A failed check keeps the weight; `threshold` of them, one after another or
/// not, roll back.
struct FlaggerLimits {
  double success_rate = 0.99;
  double p99_ms = 500;
  double accuracy = 0;  ///< 0: not looked at
};
Verdict JudgeByFlagger(const Release& release, const FlaggerLimits& limits, uint64_t seed);
/// Limits of someone who knows the stable version's figures well and wants to find just what these releases have: half way
/// between the stable's and the worse candidate's.
FlaggerLimits TunedLimits(const Release& release);

/// Argo Rollouts: 20, 40, 60 and 80 % of ten minutes each; from 40 % on the success rate of five minutes, at least 95 %,
/// every five minutes; more than `failureLimit` 3 failed measurements abort.
Verdict JudgeByArgo(const Release& release, uint64_t seed);

/// Kayenta's judge: canary and an equally fresh baseline with 10 % of the traffic each, a point a minute and metric, three
/// hours with a judgement after each over all points so far. Mann-Whitney at confidence 0.98 with its tolerance of a
/// quarter of the estimated shift; groups of equal weight; below 75 it fails at once, at the end it has to reach 95.
Verdict JudgeByKayenta(const Release& release, uint64_t seed);

/// Whether Kayenta's classifier would call these values of the experiment too high: the lower end of the confidence
/// interval of the shift lies above a quarter of the shift.
bool IsHigh(const std::vector<double>& experiment, const std::vector<double>& control);

}  // namespace leadsman::bench
