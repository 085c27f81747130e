#include "monitor/count_ring.h"

#include <algorithm>

#include "math/byte_form.h"

namespace leadsman {

int64_t CountRing::IndexOf(SteadyTime time) const {
  const Duration since = time.time_since_epoch();
  const int64_t index = since / slot_;
  return since % slot_ < Duration::zero() ? index - 1 : index;
}

size_t CountRing::PlaceOf(int64_t index) const {
  const auto size = static_cast<int64_t>(size_);
  return static_cast<size_t>((index % size + size) % size);
}

void CountRing::AddTo(int64_t index, const ObjectiveCounts& counts) {
  if (slots_.empty()) slots_.resize(size_);
  Slot& slot = slots_[PlaceOf(index)];
  if (slot.index > index) return;  // something newer is there
  ++adds_;
  if (slot.index != index) slot = {.index = index, .counts = {}};
  slot.counts.total += counts.total;
  slot.counts.bad += counts.bad;
}

void CountRing::Add(SteadyTime now, const ObjectiveCounts& counts) {
  if (counts.total == 0) return;
  AddTo(IndexOf(now), counts);
}

const CountRing::Slot* CountRing::Find(int64_t index) const {
  if (slots_.empty()) return nullptr;
  const Slot& slot = slots_[PlaceOf(index)];
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

size_t CountRing::BusyPeriods(SteadyTime now, size_t periods, size_t slots) const {
  size_t busy = 0;
  int64_t at = IndexOf(now);
  for (size_t period = 0; period < periods; ++period) {
    bool any = false;
    for (size_t i = 0; i < slots; ++i) any = Find(--at) != nullptr || any;
    busy += any ? 1 : 0;
  }
  return busy;
}

void CountRing::Write(SteadyTime now, ByteWriter& to) const {
  const int64_t newest = IndexOf(now);
  // How far the open slot is filled: ages are told from its beginning.
  const Duration open = now.time_since_epoch() - Duration(slot_) * newest;
  to.Varint(static_cast<uint64_t>(open.count()));
  uint64_t count = 0;
  for (size_t age = 0; age < size_; ++age)
    count += Find(newest - static_cast<int64_t>(age)) ? 1 : 0;
  to.Varint(count);
  for (size_t age = 0; age < size_; ++age) {
    const Slot* slot = Find(newest - static_cast<int64_t>(age));
    if (slot == nullptr) continue;
    to.Varint(age);
    to.Varint(slot->counts.total);
    to.Varint(slot->counts.bad);
  }
}

void CountRing::Read(ByteReader& from, SteadyTime then, SteadyTime now) {
  const uint64_t open = from.Varint();
  const uint64_t count = from.Varint();
  if (open >= static_cast<uint64_t>(Duration(slot_).count()) || count > size_) from.Fail();
  const int64_t newest = IndexOf(now);
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    const uint64_t age = from.Varint();
    const ObjectiveCounts counts{from.Varint(), from.Varint()};
    if (age >= size_ || counts.bad > counts.total) from.Fail();
    if (!from.ok()) return;
    // By the slot's middle, so that what many restarts round does not add up.
    const SteadyTime middle = then - Duration(static_cast<int64_t>(open)) -
                              Duration(slot_) * static_cast<int64_t>(age) + Duration(slot_) / 2;
    const int64_t index = std::min(IndexOf(middle), newest);
    if (newest - index < static_cast<int64_t>(size_)) AddTo(index, counts);
  }
}

}  // namespace leadsman
