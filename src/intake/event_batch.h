#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "events/prediction_event.h"
#include "intake/log_record.h"

namespace leadsman::intake {

inline constexpr size_t kMaxEventsPerCall = 10'000;
inline constexpr size_t kMaxEventBatchBytes = size_t{16} << 20;

/// One entry of a batch of predictions. Texts are valid during the visit.
struct EventEntry {
  size_t index = 0;
  std::string_view place;  ///< "events[3]", "line 4"; empty: the body is this one
  const LogRecord& record;
  std::span<const GroundTruth> labels;  ///< that came with it
  bool from_future = false;             ///< its time was later than now, which stands in its place
  bool before_1970 = false;             ///< likewise: earlier than there are times
  bool label_alone = false;  ///< it tells what was right of a request, and nothing of the request
};

/// Reads the body of POST /api/v1/events:
///
///   {"events": [{"model": "iris", "version": 3, "request_id": "r-17", "timestamp": "2026-03-01T12:00:00Z", "status": 200,
///                "latency_ms": 4.2, "features": {"age": 31}, "prediction": "virginica", "score": 0.93, "label": "virginica"}, …]}
///
/// a list of such objects, one alone, or one a line (JSON lines). An entry that is wrong is left out and told of by its place and
/// field; the others count. Whatever the bytes, it returns. Confined to one thread; keeps its buffers.
class EventBatchReader {
 public:
  struct Outcome {
    size_t entries = 0;    ///< that were looked at
    size_t invalid = 0;    ///< of these
    bool stopped = false;  ///< `visit` said so; the entry of the index `entries` was not taken
    std::vector<std::string> problems;  ///< the first kMaxProblems
  };
  static constexpr size_t kMaxProblems = 100;

  EventBatchReader();
  ~EventBatchReader();
  EventBatchReader(const EventBatchReader&) = delete;
  EventBatchReader& operator=(const EventBatchReader&) = delete;

  /// Calls `visit` for each valid entry, in order, until it says false. INVALID_ARGUMENT when the body as a whole cannot be
  /// read: then nothing was visited. `content_type` may be empty; application/x-ndjson and jsonlines tell lines.
  Status Read(std::string_view body, std::string_view content_type, int64_t now_unix_ms,
              const std::function<bool(const EventEntry&)>& visit, Outcome& outcome);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::intake
