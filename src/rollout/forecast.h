#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "rollout/plan.h"
#include "rollout/record.h"
#include "rollout/step.h"

namespace leadsman {

/// The requests of a service before a rollout: what a plan is held against.
struct ServiceTraffic {
  double requests_per_second = 0;
  double error_rate = 0;
  double label_share = 0;  ///< of the requests, whose label comes
  double wrong_rate = 0;   ///< of these
  /// Of these, in the metric's units; absent: not known.
  struct Losses {
    std::optional<LossMetric> metric;  ///< absent: that of the plan
    double mean = 0;
    double spread = 0;  ///< standard deviation of one
  };
  std::optional<Losses> losses;
  SparseLatency latency;  ///< of the answers; empty: not known
  uint64_t requests = 0;  ///< that the rates are taken from; 0: they were said
  /// Requests in windows as they came, to be played again and again; empty: evenly.
  struct Window {
    double seconds = 0;
    uint64_t requests = 0;
  };
  std::vector<Window> arrivals;
};

/// What a plan will do to a service, before it does.
struct Forecast {
  struct Gate {
    std::string gate;
    bool counts = false;  ///< in this step
    double alpha = 0;     ///< its part of the plan's
    double rate = 0;      ///< of bad events, of the stable version
    /// Of mean losses: `rate` and what is found are means as shares of its highest.
    std::optional<LossMeasure> loss;
    double exposures_per_second = 0;  ///< requests, or labels, of both versions
    /// Until an equal candidate is shown to be safe at this share; infinite: never, also for want of traffic.
    double candidate_exposure = std::numeric_limits<double>::infinity();
    double seconds = std::numeric_limits<double>::infinity();  ///< that this takes at this share
    /// The least rate of a candidate that is found by the end of this step, and by `max_duration` at this share;
    /// above 1: none is.
    double found_in_step = 2, found_in_time = 2;
  };
  struct Step {
    double weight = 0;  ///< 0: it mirrors, or blue/green before its switch, where no gate counts
    double mirror = 0;  ///< share of the requests that is copied
    double candidate_per_second = 0;  ///< requests, or copies
    int64_t minimum_requests = 0;
    double seconds = 0;       ///< expected for an equal candidate; infinite: it is not left
    std::vector<Gate> gates;  ///< those that count by themselves, none that asks outside
  };
  std::vector<Step> steps;
  double seconds = 0;                 ///< until an equal candidate is promoted
  std::vector<std::string> warnings;  ///< where a gate cannot work, and what to do
  /// What no traffic decides (gates that ask outside, approvals, freezes), and what was taken for granted instead.
  std::vector<std::string> left_out;
};

Forecast MakeForecast(const RolloutPlan& plan, const ServiceTraffic& traffic);

/// What became of a plan that was played many times by the engine.
struct PlayedPlan {
  std::string candidate;  ///< "equal", "errors x2"
  int runs = 0, promoted = 0, rolled_back = 0, inconclusive = 0;
  double seconds_median = 0, seconds_p90 = 0;
  uint64_t exposed_median = 0;  ///< requests that the candidate answered
};

/// Plays the plan `runs` times with an equal candidate, and with one that has `worse` times the bad events of each gate.
/// Deterministic for a seed.
std::vector<PlayedPlan> PlayPlan(const RolloutPlan& plan, const ServiceTraffic& traffic, int runs,
                                 double worse, uint64_t seed);

/// The stable version's traffic of a record: its rates, latencies and arrivals. INVALID_ARGUMENT when it has none.
Result<ServiceTraffic> TrafficOf(const VerdictRecord& record);

/// What `leadsman rollout plan` asks, as JSON members of one object, and its answer as JSON:
///   plan                    a rollout plan as in the configuration; missing: that of the record, or the default one
///   record                  text of a verdict record, whose traffic is taken
///   traffic                 {requests_per_second, error_rate, label_share, wrong_rate,
///                           losses: {metric, mean, spread}, requests,
///                           latency: [[bucket, count], …], arrivals: [[seconds, requests], …]}, over the record's
///   runs, worse, seed       of the simulation; without runs none
/// INVALID_ARGUMENT names what is wrong.
Result<std::string> ForecastReport(std::string_view question);

}  // namespace leadsman
