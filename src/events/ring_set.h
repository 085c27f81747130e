#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "events/ring.h"

namespace leadsman {

/// One ByteRing for each thread that writes, made when the thread writes first, and one reader of
/// them all. When a thread ends its ring is emptied once more by the next Drain and then freed.
///
/// Thread safety: ForThisThread and dropped from any thread; Drain by one thread at a time. Nobody
/// may be between ForThisThread and Commit when the set is destroyed.
class RingSet {
 public:
  explicit RingSet(size_t ring_bytes, size_t max_rings = 256);
  ~RingSet();
  RingSet(const RingSet&) = delete;
  RingSet& operator=(const RingSet&) = delete;

  /// The calling thread's ring, for Reserve and Commit by this thread only. Null when `max_rings`
  /// threads have one already: counted as a drop. Takes a lock on a thread's first call (and while
  /// it has none).
  ByteRing* ForThisThread() {
    const LastUsed& last = last_used_;
    if (last.id == id_) return last.ring;
    return FindOrAdd();
  }

  /// As ByteRing::Drain, over all rings. `max_records` holds for each ring.
  template <typename Visitor>
  size_t Drain(Visitor&& visit, size_t max_records = SIZE_MAX) {
    size_t records = 0;
    for (const std::shared_ptr<Slot>& slot : Slots()) {
      bool retired = slot->retired.load();  // before draining: nothing is added after it
      records += slot->ring->Drain(visit, max_records);
      if (retired && slot->ring->empty()) Free(*slot);
    }
    return records;
  }

  uint64_t dropped() const;
  size_t size() const;

 private:
  struct Slot {
    std::unique_ptr<ByteRing> ring;
    std::atomic<bool> retired{false};
  };
  struct LastUsed {
    uint64_t id = 0;
    ByteRing* ring = nullptr;
  };
  struct ThreadTable;

  ByteRing* FindOrAdd();
  /// The present slots. Only the draining thread removes any, so that the reference stays good
  /// until its next call.
  const std::vector<std::shared_ptr<Slot>>& Slots();
  void Free(Slot& slot);

  static constinit thread_local LastUsed last_used_;

  const uint64_t id_;
  const size_t ring_bytes_;
  const size_t max_rings_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Slot>> slots_ GUARDED_BY(mutex_);
  uint64_t dropped_of_freed_ GUARDED_BY(mutex_) = 0;
  std::atomic<uint64_t> dropped_without_ring_{0};
  std::atomic<uint64_t> slots_version_{1};
  std::vector<std::shared_ptr<Slot>> draining_;  ///< the draining thread's copy
  uint64_t draining_version_ = 0;                ///< likewise
};

}  // namespace leadsman
