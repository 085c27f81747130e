#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kube/object.h"

namespace leadsman::kube {

/// What a watch says has become of an object.
struct WatchEvent {
  enum class Type {
    kAdded,
    kModified,
    kDeleted,
    kBookmark,  ///< only its resource version says something: up to there all has been told
  };
  Type type = Type::kAdded;
  Object object;
};

/// Takes the events out of the bytes of a watch: a JSON document a line. Pure; takes any bytes. Externally synchronised.
class WatchDecoder {
 public:
  using Take = std::function<Status(WatchEvent)>;

  explicit WatchDecoder(size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}
  /// Hands over each event that is whole. The first error ends it and is the result: the one of `take`; of an ERROR event
  /// as ApiFailure (OUT_OF_RANGE: list again); DATA_LOSS for what is no event; RESOURCE_EXHAUSTED for one that is too large.
  Status Feed(std::string_view bytes, const Take& take);

 private:
  Status TakeLine(std::string_view line, const Take& take);

  const size_t max_event_bytes_;
  std::string begun_;  ///< of an event whose end has not come
};

}  // namespace leadsman::kube
