#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"

namespace leadsman::bench {

/// A release that the judges of ./dev bench rollout are shown. A service of one model: errors come one by one, latencies
/// are lognormal, and of every fifth request the right answer becomes known.
struct Release {
  std::string name;
  bool worse =
      false;  ///< the candidate is, so that promoting it is a miss; else a rollback is a false one
  double requests_per_second = 50;
  double error_rate = 0.005;  ///< of the stable version
  double error_factor = 1;    ///< the candidate's, times
  double latency_factor = 1;
  double wrong_rate = 0.10;
  double more_wrong = 0;          ///< the candidate's, plus
  bool judged_by_labels = false;  ///< accuracy is among what is looked at
  /// Both versions fail at this rate from the second to the eighth minute; 0: nothing happens.
  double incident = 0;
  /// Both versions' error rate grows to this within the first 20 minutes and stays there; 0: it does not.
  double ramp_to = 0;

  double StableErrors(double seconds) const;
  double CandidateErrors(double seconds) const;
};

inline constexpr double kMedianMs = 50, kSigma = 0.5, kLabelShare = 0.2;

const std::vector<Release>& Releases();

/// What one version did in one window.
struct Window {
  uint64_t requests = 0, errors = 0, labelled = 0, wrong = 0;
  double mean_ms = 0;  ///< of the latencies; 0 without requests
  double p99_ms = 0;   ///< the order statistic itself, as no histogram would know it
};

/// Draws windows of a release. Deterministic for a seed; confined to one thread.
class World {
 public:
  World(const Release& release, uint64_t seed) : release_(release), rng_(seed) {}

  /// The window that ends at `end`: of the requests, each version gets its share.
  void Draw(double end, double seconds, double candidate_share, double baseline_share,
            Window& candidate, Window& baseline);

 private:
  Window Answers(uint64_t requests, double error_rate, double wrong_rate, double latency_factor);
  uint64_t Some(uint64_t of, double share);

  const Release& release_;
  Rng rng_;
};

}  // namespace leadsman::bench
