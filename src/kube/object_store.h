#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "kube/object.h"
#include "kube/watch_decoder.h"

namespace leadsman::kube {

/// What has become of one object. Added: no `before`; deleted: no `after`.
struct ObjectChange {
  std::optional<Object> before;
  std::optional<Object> after;
  const Object& latest() const { return after ? *after : *before; }
};

/// The objects of one resource as last heard of, and what changes when something new is heard. Thread-safe.
class ObjectStore {
 public:
  /// All that there is now. What is the same as before is no change.
  std::vector<ObjectChange> Replace(std::vector<Object> objects);
  /// Nothing for a bookmark, and for what was known already.
  std::optional<ObjectChange> Take(const WatchEvent& event);

  std::optional<Object> Get(std::string_view ns, std::string_view name) const;
  std::vector<Object> All() const;
  size_t size() const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::kube
