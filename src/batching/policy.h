#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace leadsman {

/// Why a batch was closed.
///   kFull          it has as many rows as it may have, or the next request does not fit any more
///   kPreferred     it has a preferred size
///   kIdle          there is no delay: an instance was idle and took what was there
///   kDelay         its first request has waited for max_delay
///   kDeadline      a request in it would miss its deadline by waiting on
///   kPadding       a request that waits and could join would make it several times as large by padding
///   kIncompatible  enough rows wait for a full batch, but they are of another shape and cannot join this one
///   kDrain         the model or the server is going away
enum class CloseReason {
  kFull,
  kPreferred,
  kIdle,
  kDelay,
  kDeadline,
  kPadding,
  kIncompatible,
  kDrain
};
inline constexpr size_t kCloseReasonCount = 8;
std::string_view CloseReasonName(CloseReason reason);  ///< "full"

/// What a batch may be.
struct BatchPolicy {
  uint32_t max_rows = 32;
  Duration max_delay{};
  std::vector<uint32_t> preferred;  ///< ascending
};

/// The queue as the policy sees it, when an instance asks what to run.
struct QueueView {
  struct Request {
    uint32_t rows = 1;
    SteadyTime arrived{};
    std::optional<SteadyTime> start_by;  ///< a batch that starts later makes it miss its deadline
  };
  /// The request to be served next, and behind it, in the order of service, those that could share its batch: at least
  /// so many that they fill it, if there are.
  std::span<const Request> candidates;
  uint64_t other_rows = 0;  ///< rows that wait and cannot join
  bool padded_out = false;  ///< some of them for the padding alone that it would take
  bool draining = false;
};

/// What to do now: run the first `count` candidates, or ask again at `wait_until` at the latest.
struct BatchDecision {
  bool close = false;
  CloseReason reason = CloseReason::kFull;  ///< when closing
  size_t count = 0;                         ///< when closing
  SteadyTime wait_until{};                  ///< when waiting
};

/// Stateless: the same view gives the same answer. `view.candidates` must not be empty.
///
/// The first candidate is in every batch, also when it alone has more rows than max_rows.
BatchDecision DecideBatch(const BatchPolicy& policy, const QueueView& view, SteadyTime now);

}  // namespace leadsman
