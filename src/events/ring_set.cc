#include "events/ring_set.h"

#include <algorithm>
#include <unordered_map>

namespace leadsman {

constinit thread_local RingSet::LastUsed RingSet::last_used_;

/// The rings of one thread, one for each set it has written to. Its end retires them.
struct RingSet::ThreadTable {
  std::unordered_map<uint64_t, std::shared_ptr<Slot>> slots;
  ~ThreadTable() {
    last_used_ = LastUsed();
    for (auto& [id, slot] : slots) slot->retired = true;
  }
  static ThreadTable& Get() {
    thread_local ThreadTable table;
    return table;
  }
};

namespace {
uint64_t NextId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}
}  // namespace

RingSet::RingSet(size_t ring_bytes, size_t max_rings)
    : id_(NextId()), ring_bytes_(ring_bytes), max_rings_(max_rings) {}

RingSet::~RingSet() {
  MutexLock lock(mutex_);
  // Threads keep their slots until they end; the buffers need not stay that long. Ids are never
  // used again, so nobody looks into such a slot.
  for (auto& slot : slots_) slot->ring.reset();
}

ByteRing* RingSet::FindOrAdd() {
  ThreadTable& table = ThreadTable::Get();
  auto it = table.slots.find(id_);
  if (it == table.slots.end()) {
    auto slot = std::make_shared<Slot>();
    {
      MutexLock lock(mutex_);
      if (slots_.size() >= max_rings_) {
        ++dropped_without_ring_;
        return nullptr;
      }
      slot->ring = std::make_unique<ByteRing>(ring_bytes_);
      slots_.push_back(slot);
      ++slots_version_;
    }
    // A thread that outlives many sets (tests, reloads) does not collect their remains for ever.
    std::erase_if(table.slots, [](const auto& entry) { return entry.second.use_count() == 1; });
    it = table.slots.emplace(id_, std::move(slot)).first;
  }
  last_used_ = LastUsed{id_, it->second->ring.get()};
  return last_used_.ring;
}

const std::vector<std::shared_ptr<RingSet::Slot>>& RingSet::Slots() {
  if (slots_version_.load() != draining_version_) {
    MutexLock lock(mutex_);
    draining_ = slots_;
    draining_version_ = slots_version_.load();
  }
  return draining_;
}

void RingSet::Free(Slot& slot) {
  MutexLock lock(mutex_);
  dropped_of_freed_ += slot.ring->dropped();
  std::erase_if(slots_, [&](const auto& s) { return s.get() == &slot; });
  ++slots_version_;
}

uint64_t RingSet::dropped() const {
  MutexLock lock(mutex_);
  uint64_t dropped = dropped_of_freed_ + dropped_without_ring_;
  for (const auto& slot : slots_) dropped += slot->ring->dropped();
  return dropped;
}

size_t RingSet::size() const {
  MutexLock lock(mutex_);
  return slots_.size();
}

}  // namespace leadsman
