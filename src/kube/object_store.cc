#include "kube/object_store.h"

#include <utility>

namespace leadsman::kube {
namespace {

bool IsSame(const Object& a, const Object& b) {
  return a.uid() == b.uid() && a.resource_version() == b.resource_version();
}

}  // namespace

std::vector<ObjectChange> ObjectStore::Replace(std::vector<Object> objects) {
  std::map<std::string, Object, std::less<>> fresh;
  for (Object& object : objects) fresh.insert_or_assign(object.key(), std::move(object));
  std::vector<ObjectChange> changes;
  MutexLock lock(mutex_);
  for (const auto& [key, before] : objects_) {
    if (fresh.find(key) == fresh.end()) changes.push_back({before, std::nullopt});
  }
  for (const auto& [key, after] : fresh) {
    const auto before = objects_.find(key);
    if (before == objects_.end()) {
      changes.push_back({std::nullopt, after});
    } else if (!IsSame(before->second, after)) {
      changes.push_back({before->second, after});
    }
  }
  objects_ = std::move(fresh);
  return changes;
}

std::optional<ObjectChange> ObjectStore::Take(const WatchEvent& event) {
  if (event.type == WatchEvent::Type::kBookmark) return std::nullopt;
  std::string key = event.object.key();
  MutexLock lock(mutex_);
  const auto known = objects_.find(key);
  ObjectChange change;
  if (known != objects_.end()) change.before = known->second;
  if (event.type == WatchEvent::Type::kDeleted) {
    if (known == objects_.end()) return std::nullopt;
    objects_.erase(known);
    // As it was when it went.
    change.before = event.object;
    return change;
  }
  if (known != objects_.end() && IsSame(known->second, event.object)) return std::nullopt;
  change.after = event.object;
  objects_.insert_or_assign(std::move(key), event.object);
  return change;
}

std::optional<Object> ObjectStore::Get(std::string_view ns, std::string_view name) const {
  const std::string key = ObjectKey(ns, name);
  MutexLock lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Object> ObjectStore::All() const {
  MutexLock lock(mutex_);
  std::vector<Object> all;
  all.reserve(objects_.size());
  for (const auto& [key, object] : objects_) all.push_back(object);
  return all;
}

size_t ObjectStore::size() const {
  MutexLock lock(mutex_);
  return objects_.size();
}

}  // namespace leadsman::kube
