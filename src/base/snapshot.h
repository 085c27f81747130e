#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/mutex.h"

namespace leadsman {

/// Read-mostly state: an immutable value swapped whole by writers and read without a lock or a shared counter.
/// Each reading thread keeps its own shared_ptr and renews it only when the version counter has moved; an unchanged
/// read is one acquire load and a compare.
///
///   Snapshot<RouteTable> routes_;
///   routes_.Set(std::make_shared<const RouteTable>(…));        // any thread
///   const RouteTable& table = *routes_.Get();                  // any thread; valid until this thread's next Get()
///
/// Thread-safe. A thread that stops reading keeps the old value alive until it reads again or ends.
template <typename T>
class Snapshot {
 public:
  Snapshot() : Snapshot(std::make_shared<const T>()) {}
  explicit Snapshot(std::shared_ptr<const T> value) : id_(NextId()), value_(std::move(value)) {}

  void Set(std::shared_ptr<const T> value) {
    std::shared_ptr<const T> old;  // destroyed outside the lock
    MutexLock lock(mutex_);
    old = std::exchange(value_, std::move(value));
    version_.fetch_add(1);
  }

  /// The reference stays valid until this thread's next Get() on any Snapshot<T>; copy the pointer to keep the value.
  const std::shared_ptr<const T>& Get() const {
    thread_local std::unordered_map<uint64_t, Cached> cache;
    thread_local uint64_t last_id = 0;
    thread_local Cached* last = nullptr;
    if (last_id != id_) {
      last = &cache[id_];  // node-based: pointers survive rehashing
      last_id = id_;
    }
    // Pairs with the increment in Set: whoever sees the new version takes the lock and finds the new value.
    uint64_t version = version_.load(std::memory_order_acquire);
    if (last->version != version) {
      MutexLock lock(mutex_);
      last->value = value_;
      last->version = version_.load();
    }
    return last->value;
  }

 private:
  struct Cached {
    uint64_t version = 0;
    std::shared_ptr<const T> value;
  };
  static uint64_t NextId() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1);
  }

  const uint64_t id_;
  std::atomic<uint64_t> version_{1};
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
