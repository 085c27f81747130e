#include "batching/policy.h"

#include <algorithm>

#include "base/check.h"

namespace leadsman {

std::string_view CloseReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kFull:
      return "full";
    case CloseReason::kPreferred:
      return "preferred";
    case CloseReason::kIdle:
      return "idle";
    case CloseReason::kDelay:
      return "delay";
    case CloseReason::kDeadline:
      return "deadline";
    case CloseReason::kPadding:
      return "padding";
    case CloseReason::kIncompatible:
      return "incompatible";
    case CloseReason::kDrain:
      break;
  }
  return "drain";
}

BatchDecision DecideBatch(const BatchPolicy& policy, const QueueView& view, SteadyTime now) {
  DCHECK(!view.candidates.empty());
  BatchDecision decision;
  uint64_t rows = view.candidates[0].rows;
  size_t count = 1;
  size_t preferred_count = 0;
  auto note_preferred = [&] {
    if (std::binary_search(policy.preferred.begin(), policy.preferred.end(), rows))
      preferred_count = count;
  };
  note_preferred();
  while (count < view.candidates.size() && rows + view.candidates[count].rows <= policy.max_rows) {
    rows += view.candidates[count++].rows;
    note_preferred();
  }
  const bool full = rows >= policy.max_rows || count < view.candidates.size();
  auto close = [&](CloseReason reason, size_t how_many) {
    decision.close = true;
    decision.reason = reason;
    decision.count = how_many;
    return decision;
  };
  if (full) return close(CloseReason::kFull, count);
  if (preferred_count > 0) return close(CloseReason::kPreferred, preferred_count);
  if (view.padded_out) return close(CloseReason::kPadding, count);
  if (view.draining) return close(CloseReason::kDrain, count);

  SteadyTime latest = view.candidates[0].arrived;
  std::optional<SteadyTime> start_by;
  for (size_t i = 0; i < count; ++i) {
    const QueueView::Request& request = view.candidates[i];
    // Of all that would be in it: with priorities the first one is not always the oldest.
    latest = std::min(latest, request.arrived);
    if (request.start_by && (!start_by || *request.start_by < *start_by))
      start_by = request.start_by;
  }
  latest += policy.max_delay;
  if (now >= latest) {
    return close(policy.max_delay > Duration::zero() ? CloseReason::kDelay : CloseReason::kIdle,
                 count);
  }
  if (start_by && now >= *start_by) return close(CloseReason::kDeadline, count);
  if (rows + view.other_rows >= policy.max_rows) return close(CloseReason::kIncompatible, count);
  decision.wait_until = start_by ? std::min(latest, *start_by) : latest;
  return decision;
}

}  // namespace leadsman
