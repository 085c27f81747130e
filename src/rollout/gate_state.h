#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "math/e_process.h"
#include "rollout/controller.h"
#include "rollout/plan.h"

namespace leadsman {

/// Latency counts that are not zero: (bucket of LatencyScheme, count), ascending.
using SparseLatency = std::vector<std::pair<uint32_t, uint64_t>>;

/// What one arm did between two ticks.
struct ArmDelta {
  uint64_t requests = 0;
  uint64_t errors = 0;
  uint64_t timed = 0;  ///< answers whose latency was measured
  std::vector<uint64_t>
      slow;  ///< of these, in or above each of RolloutState::thresholds; empty until they are fixed
  uint64_t labelled = 0;
  uint64_t wrong = 0;
  friend bool operator==(const ArmDelta&, const ArmDelta&) = default;
};

/// One gate's evidence: its e-processes and what they have counted. Part of RolloutState: a value,
/// compared and stored bit for bit.
struct GateState {
  RolloutGate config;
  std::vector<HarmTest> harm;  ///< one; kLatency: one for each threshold, none until they are fixed
  SafeTest safe;
  std::optional<FloorTest> floor;  ///< none when config.floor is 0
  /// One for each of `harm`: sums of what went into it.
  std::vector<ArmCounts> candidate, stable;
  /// One for each of `harm`: counted, but not yet enough for the harm and safe tests to take it.
  std::vector<EvidenceWindow> open;
  size_t safe_index = 0;  ///< kLatency: the threshold the safe test looks at
  ArmCounts before;       ///< the stable's own counts from before the rollout, for planning only
  int64_t needed =
      0;  ///< planning estimate of candidate exposure; 0: not planned yet, -1: will not happen

  explicit GateState(const RolloutGate& gate);

  double HarmLogE() const;
  double SafeLogE() const;
  /// Counts one tick, and gives the tests the open window once it is full. `index`: the threshold, 0
  /// for the other kinds.
  void Fold(size_t index, const ArmCounts& candidate_window, const ArmCounts& stable_window);
  /// Gives the tests the open windows as they are: what comes now is split by another share.
  void CloseWindows();
  /// kLatency: thresholds are known now.
  void SetThresholds(size_t count, size_t index_of_safe_quantile);
  bool HasThresholds() const { return !harm.empty(); }
  /// The stable's counts so far, those from before included.
  ArmCounts StableSoFar() const;
  /// Gives the tests one open window and begins the next.
  void CloseWindow(size_t index);

  friend bool operator==(const GateState&, const GateState&);
};

bool operator==(const RolloutGate& a, const RolloutGate& b);
std::string_view GateName(RolloutGate::Kind kind);  ///< "errors", "latency", "quality"
std::optional<RolloutGate::Kind> ParseGateName(std::string_view name);

/// The edges of LatencyScheme that stand for `gate.quantiles` (and `safe_quantile`) of this
/// histogram, none below `ignore_below`, ascending, each once; with the place of the safe
/// quantile's among them. An answer is slow for threshold t when its bucket is t or higher.
struct LatencyThresholds {
  std::vector<uint32_t> buckets;
  size_t safe_index = 0;
};
LatencyThresholds ChooseThresholds(const RolloutGate& gate, const SparseLatency& stable);

SparseLatency ToSparse(const LatencyBuckets& buckets);
uint64_t CountAll(const SparseLatency& latency);
uint64_t CountFrom(const LatencyBuckets& buckets, uint32_t first);

}  // namespace leadsman
