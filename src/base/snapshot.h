#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace leadsman {

/// Read-mostly state: an immutable value swapped whole by writers and read without a shared lock or a shared counter.
/// Each reading thread keeps a reference of its own, under a lock that only the writer ever contends for; Set() clears
/// those references, so that a thread that has gone quiet does not keep an old value (and the models it holds) alive.
///
///   Snapshot<RouteTable> routes_;
///   routes_.Set(std::make_shared<const RouteTable>(…));        // any thread
///   std::shared_ptr<const RouteTable> table = routes_.Get();   // any thread
///
/// Thread-safe. The old value is destroyed on the thread that lets go of it last.
template <typename T>
class Snapshot {
 public:
  Snapshot() : Snapshot(std::make_shared<const T>()) {}
  explicit Snapshot(std::shared_ptr<const T> value) : id_(NextId()), value_(std::move(value)) {}
  ~Snapshot() {
    ClearSlots(nullptr);
    MutexLock lock(mutex_);
    for (const std::weak_ptr<Slot>& weak : slots_) {
      if (const std::shared_ptr<Slot> slot = weak.lock()) slot->over = true;
    }
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  void Set(std::shared_ptr<const T> value) { ClearSlots(std::move(value)); }

  std::shared_ptr<const T> Get() const {
    thread_local SlotTable slots;
    Slot& slot = slots.Find(id_, *this);
    slot.Lock();
    std::shared_ptr<const Holder> holder = slot.holder;
    slot.Unlock();
    if (!holder) holder = Refill(slot);
    const T* value = holder->value.get();
    return std::shared_ptr<const T>(std::move(holder), value);
  }

 private:
  /// A control block per thread: copying it never touches a cache line of another thread.
  struct Holder {
    std::shared_ptr<const T> value;
  };
  struct Slot {
    std::atomic<bool> locked{false};
    std::atomic<bool> over{false};  ///< its snapshot is gone: nobody asks for it any more
    std::shared_ptr<const Holder> holder;
    void Lock() {
      while (locked.exchange(true, std::memory_order_acquire)) {  // pairs with Unlock
      }
    }
    void Unlock() { locked.store(false, std::memory_order_release); }
  };
  struct SlotTable {
    std::unordered_map<uint64_t, std::shared_ptr<Slot>> slots;
    uint64_t last_id = 0;
    Slot* last = nullptr;
    Slot& Find(uint64_t id, const Snapshot& owner) {
      if (last_id != id) {
        auto at = slots.find(id);
        if (at == slots.end()) {
          std::erase_if(slots, [](const auto& one) { return one.second->over.load(); });
          at = slots.emplace(id, owner.NewSlot()).first;
        }
        last = at->second.get();
        last_id = id;
      }
      return *last;
    }
  };
  static uint64_t NextId() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1);
  }

  std::shared_ptr<Slot> NewSlot() const {
    auto slot = std::make_shared<Slot>();
    MutexLock lock(mutex_);
    std::erase_if(slots_, [](const std::weak_ptr<Slot>& s) { return s.expired(); });
    slots_.push_back(slot);
    return slot;
  }
  std::shared_ptr<const Holder> Refill(Slot& slot) const {
    // Under the mutex: a writer either comes before (the new value is taken) or after (it clears this slot).
    MutexLock lock(mutex_);
    auto holder = std::make_shared<const Holder>(Holder{value_});
    slot.Lock();
    slot.holder = holder;
    slot.Unlock();
    return holder;
  }
  void ClearSlots(std::shared_ptr<const T> next) {
    std::vector<std::shared_ptr<const Holder>> old;  // destroyed outside the locks
    MutexLock lock(mutex_);
    std::swap(value_, next);
    for (const std::weak_ptr<Slot>& weak : slots_) {
      std::shared_ptr<Slot> slot = weak.lock();
      if (!slot) continue;
      slot->Lock();
      old.push_back(std::move(slot->holder));
      slot->holder = nullptr;
      slot->Unlock();
    }
  }

  const uint64_t id_;
  mutable Mutex mutex_;
  std::shared_ptr<const T> value_ GUARDED_BY(mutex_);
  mutable std::vector<std::weak_ptr<Slot>> slots_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
