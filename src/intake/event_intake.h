#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "events/prediction_event.h"
#include "intake/event_batch.h"
#include "intake/event_feed.h"
#include "intake/recent_ids.h"
#include "intake/source_counters.h"
#include "intake/source_view.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// What became of a batch of predictions.
struct EventReceipt {
  uint64_t accepted = 0;
  uint64_t rejected = 0;     ///< invalid, or of a model that was never found
  uint64_t duplicate = 0;    ///< of a request id that was taken lately; their labels count
  uint64_t from_future = 0;  ///< accepted, with the present as their time
  uint64_t before_1970 = 0;  ///< likewise
  bool full =
      false;  ///< there was no room for the entry of the index `next`, nor for those behind it
  uint64_t next = 0;
  std::vector<std::string> errors;  ///< the first hundred, each naming its entry and field
  std::vector<GroundTruth> labels;  ///< of accepted and duplicate entries: the caller's to give on
  std::vector<std::string> label_places;  ///< of each: "events[3].label"
};

/// Predictions that a service reports by itself, in batches: POST /api/v1/events.
///
/// A sender that got no answer sends again what may have been taken: an entry with the model, version and request id of one of the last
/// 200,000 that were taken, an hour old at most, is told as a duplicate, and counts no further.
///
/// Thread-safe; batches take turns. Never waits for the sink: what it has no room for stays with the caller.
class EventIntake {
 public:
  EventIntake(const Clock& clock, Sink& sink, Registry& registry);

  /// INVALID_ARGUMENT when nothing of the body can be read.
  Result<EventReceipt> Add(std::string_view body, std::string_view content_type);
  /// As of a log; its source is "events API".
  SourceView view() const;

  /// What came and what of it was lost; sums. Thread-safe.
  struct Losses {
    uint64_t entries = 0;  ///< that were taken
    uint64_t invalid = 0;  ///< and bodies of which nothing could be read
    uint64_t batches = 0;  ///< that were taken whole
    uint64_t refused = 0;  ///< batches that there was no room for, or not for all of them
  };
  Losses losses() const;

 private:
  const Clock& clock_;
  SourceCounters counters_;
  std::atomic<uint64_t> rejected_{0};
  std::atomic<uint64_t> invalid_{0};
  std::atomic<uint64_t> batches_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> duplicate_{0};
  std::atomic<uint64_t> from_future_{0};
  std::atomic<uint64_t> before_1970_{0};
  mutable Mutex mutex_;
  EventBatchReader reader_ GUARDED_BY(mutex_);
  RecentIds taken_ GUARDED_BY(mutex_){RecentIds::Options()};
  EventFeed feed_;                                     ///< Offer under mutex_
  std::vector<Registry::Registration> registrations_;  ///< last: they read the above
};

}  // namespace leadsman::intake
