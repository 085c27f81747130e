#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leadsman::intake {

/// Names → values, filled once and asked for every field of every line: open addressing, and a hash of the length and of both
/// ends, since names differ there. Names come from the configuration and from our own tables, never from a log, so that nobody
/// can make them collide.
template <typename Value>
class NameTable {
 public:
  /// The value of `name`, made when it was not there. Earlier references become invalid.
  Value& operator[](std::string_view name) {
    if ((count_ + 1) * 4 > slots_.size()) Grow();
    Slot& slot = slots_[IndexOf(name)];
    if (!slot.used) {
      slot.used = true;
      slot.name = name;
      ++count_;
    }
    return slot.value;
  }
  /// Null when absent.
  const Value* Find(std::string_view name) const {
    if (count_ == 0) return nullptr;
    const Slot& slot = slots_[IndexOf(name)];
    return slot.used ? &slot.value : nullptr;
  }
  bool empty() const { return count_ == 0; }

 private:
  struct Slot {
    bool used = false;
    std::string name;
    Value value{};
  };

  static uint64_t Hash(std::string_view name) {
    uint64_t head = 0, tail = 0;
    if (name.size() >= 8) {
      std::memcpy(&head, name.data(), 8);
      std::memcpy(&tail, name.data() + name.size() - 8, 8);
    } else {
      for (char c : name) head = head << 8 | static_cast<unsigned char>(c);
    }
    uint64_t mixed = (head ^ (tail * 0x9E3779B97F4A7C15) ^ name.size()) * 0xD6E8FEB86659FD93;
    return mixed ^ (mixed >> 32);
  }

  size_t IndexOf(std::string_view name) const {
    size_t mask = slots_.size() - 1;
    size_t at = Hash(name) & mask;
    while (slots_[at].used && slots_[at].name != name) at = (at + 1) & mask;
    return at;
  }

  void Grow() {
    std::vector<Slot> old = std::exchange(slots_, {});
    slots_.resize(old.empty() ? 16 : old.size() * 2);
    for (Slot& slot : old)
      if (slot.used) slots_[IndexOf(slot.name)] = std::move(slot);
  }

  std::vector<Slot> slots_;  ///< a power of two, at most a quarter full
  size_t count_ = 0;
};

}  // namespace leadsman::intake
