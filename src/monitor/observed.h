#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "stats/fine_latency.h"
#include "stats/latency_scheme.h"

namespace leadsman {

/// How a request ended that was seen from outside.
enum class ObservedOutcome : uint8_t {
  kOk,
  kClientError,  ///< the request was at fault
  kServerError,
  kCancelled,  ///< nobody waited for the answer
  kUnknown,    ///< its source does not say: neither right nor wrong
};
inline constexpr size_t kObservedOutcomes = 5;
std::string_view ObservedOutcomeName(ObservedOutcome outcome);  ///< "ok", "client_error", …
ObservedOutcome ObservedOutcomeOf(StatusCode code);
ObservedOutcome ObservedOutcomeOf(const PredictionEvent& event);

/// Sums of what was observed of one version since the process started.
struct ObservedTotals {
  std::array<uint64_t, kObservedOutcomes> requests{};
  /// Of those that are not known to have failed and whose source says how long they took.
  LatencyBuckets latency{};
  FineLatencyBuckets fine_latency{};  ///< the same, for the native histogram
  double latency_seconds = 0;

  void Add(const PredictionEvent& event);
  void Merge(const ObservedTotals& other);
  uint64_t of(ObservedOutcome outcome) const { return requests[static_cast<size_t>(outcome)]; }
  uint64_t total() const;
};

struct ObservedVersion {
  std::string model;
  int64_t version = 0;  ///< 0: the source names none
  ObservedTotals totals;
  std::map<std::string, uint64_t> predicted;  ///< class → count, the most frequent ones
  uint64_t labelled = 0;                      ///< rows whose label is known
  uint64_t wrong = 0;                         ///< of these, predicted otherwise
  WallTime last_seen{};                       ///< its last event, or a label
};

/// One of which this process has seen nothing yet, but one before it has.
struct ObservedBefore {
  std::string model;
  int64_t version = 0;
  WallTime last_seen{};
};

}  // namespace leadsman
