#include "monitor/count_ring.h"

#include <algorithm>

namespace leadsman {

void CountRing::Add(SteadyTime now, const ObjectiveCounts& counts) {
  if (counts.total == 0) return;
  if (slots_.empty()) slots_.resize(size_);
  const int64_t index = IndexOf(now);
  Slot& slot = slots_[static_cast<size_t>(index) % size_];
  if (slot.index != index) slot = {.index = index, .counts = {}};
  slot.counts.total += counts.total;
  slot.counts.bad += counts.bad;
}

const CountRing::Slot* CountRing::Find(int64_t index) const {
  if (slots_.empty() || index < 0) return nullptr;
  const Slot& slot = slots_[static_cast<size_t>(index) % size_];
  return slot.index == index ? &slot : nullptr;
}

ObjectiveCounts CountRing::Last(SteadyTime now, Duration back) const {
  ObjectiveCounts sum;
  const int64_t newest = IndexOf(now);
  const auto slots =
      std::min<int64_t>((back + slot_ - Duration(1)) / slot_, static_cast<int64_t>(size_));
  for (int64_t i = newest - slots + 1; i <= newest; ++i) {
    if (const Slot* slot = Find(i)) {
      sum.total += slot->counts.total;
      sum.bad += slot->counts.bad;
    }
  }
  return sum;
}

size_t CountRing::BusySlots(SteadyTime now, size_t slots) const {
  size_t busy = 0;
  const int64_t open = IndexOf(now);
  for (int64_t i = open - static_cast<int64_t>(slots); i < open; ++i) busy += Find(i) ? 1 : 0;
  return busy;
}

}  // namespace leadsman
