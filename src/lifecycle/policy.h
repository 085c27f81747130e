#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lifecycle/types.h"

namespace leadsman {

/// One version as the policy sees it.
struct VersionView {
  int64_t version = 0;
  VersionState state = VersionState::kNew;
  /// It may be wanted: its folder is complete, or it is in memory and its folder is still there.
  bool available = false;
  bool moved_away = false;       ///< it is from a place that its model was moved away from
  bool failed_before = false;    ///< an attempt to load it failed and none has succeeded since
  bool failed_for_good = false;  ///< the last attempt failed and no other is planned
  bool retry_due = false;        ///< kFailed, and the next attempt may begin
};

/// One model as the policy sees it.
struct ModelView {
  SwapPolicy swap = SwapPolicy::kAvailabilityPreserving;
  VersionPolicy policy;
  VersionPins pins;
  bool removed = false;               ///< no longer configured: nothing is wanted
  std::vector<VersionView> versions;  ///< ascending
};

struct Action {
  enum class Kind { kNothing, kLoad, kUnload };
  Kind kind = Kind::kNothing;
  int64_t version = 0;
  friend bool operator==(const Action&, const Action&) = default;
};

/// Below versions that fail, latest(n) wants at most this many further ones in their stead, or as many as it takes to have one
/// that serves.
inline constexpr int kMaxFallbacks = 3;

/// The versions that should be in memory: pins.keep ∪ policy(available − pins.exclude). Of
/// latest(n) a version that failed does not count: it stays wanted (it is tried again), and so does
/// the next lower one, so that a broken newest version never leaves a model without any. With a
/// resource-preserving swap that holds only once it failed for good.
std::set<int64_t> WantedVersions(const ModelView& model);

/// The next thing to do for one model. Stateless: the same view gives the same action. The caller
/// carries the action out (which changes the version's state) and asks again until there is nothing
/// to do.
///
/// - A wanted version that is not in memory is loaded; kLoad of one that is draining means: take it
/// back.
/// - Availability-preserving: an unwanted version goes only after each wanted one is ready or has
/// failed, and the last
///   ready version never goes because its successor failed (unless it is excluded by a pin or not
///   there any more, where the model still is). A model that was moved keeps it, also with the other swap, while there is
///   nothing to be wanted where it is now.
/// - Resource-preserving: no load begins before all unwanted versions are out of memory.
Action NextAction(const ModelView& model);

}  // namespace leadsman
