#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/mutex.h"
#include "base/strings.h"
#include "storage/remote_store.h"

namespace leadsman {

/// A RemoteStore in memory whose answers a test can spoil. Thread-safe.
class MemoryStore final : public RemoteStore {
 public:
  struct Object {
    std::string content;
    int revision = 1;
  };
  /// "1/model.onnx" → its content.
  void Put(const std::string& path, std::string content) {
    MutexLock lock(mutex_);
    objects_[path] = {std::move(content), objects_[path].revision + 1};
  }
  std::string Content(const std::string& path) const {
    MutexLock lock(mutex_);
    return objects_.at(path).content;
  }
  void Remove(const std::string& path) {
    MutexLock lock(mutex_);
    objects_.erase(path);
  }
  void FailListing(Status status) {
    MutexLock lock(mutex_);
    list_ = std::move(status);
  }
  /// Lists no sizes from now on, as a server that sends what it makes at that moment.
  void HideSizes() {
    MutexLock lock(mutex_);
    sizes_ = false;
  }
  /// Looks at every read: what to send instead, and how the read ends.
  using Spoil = std::function<Status(const RemoteFile&, int64_t offset, std::string& bytes)>;
  void SpoilReads(Spoil spoil) {
    MutexLock lock(mutex_);
    spoil_ = std::move(spoil);
  }
  /// What it answers together with the error of a spoilt read.
  void AskToWait(Duration at_least) {
    MutexLock lock(mutex_);
    wait_ = at_least;
  }
  int reads() const {
    MutexLock lock(mutex_);
    return reads_;
  }

  Result<RemoteListing> List(const StoreCall&) override {
    MutexLock lock(mutex_);
    if (!list_.ok()) return list_;
    VersionCollector versions;
    for (const auto& [path, object] : objects_) {
      RemoteFile file{.key = path};
      if (sizes_) file.size = static_cast<int64_t>(object.content.size());
      file.revision = std::to_string(object.revision);
      RETURN_IF_ERROR(versions.Add(path, std::move(file)));
    }
    return versions.Finish();
  }
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink, const StoreCall&) override {
    std::string bytes;
    Spoil spoil;
    Duration wait;
    {
      MutexLock lock(mutex_);
      ++reads_;
      auto it = objects_.find(file.key);
      if (it == objects_.end()) return NotFoundError("gone");
      if (std::to_string(it->second.revision) != file.revision) return AbortedError("replaced");
      bytes = it->second.content.substr(static_cast<size_t>(offset));
      spoil = spoil_;
      wait = wait_;
    }
    Status status;
    if (spoil) status = spoil(file, offset, bytes);
    if (!status.ok()) sink.AskedToWait(wait);
    for (size_t at = 0; at < bytes.size(); at += 3)
      RETURN_IF_ERROR(sink.Append(std::string_view(bytes).substr(at, 3)));
    return status;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, Object> objects_ GUARDED_BY(mutex_);
  Status list_ GUARDED_BY(mutex_);
  bool sizes_ GUARDED_BY(mutex_) = true;
  Spoil spoil_ GUARDED_BY(mutex_);
  Duration wait_ GUARDED_BY(mutex_){};
  int reads_ GUARDED_BY(mutex_) = 0;
};

}  // namespace leadsman
