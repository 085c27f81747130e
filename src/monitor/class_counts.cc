#include "monitor/class_counts.h"

#include <algorithm>
#include <cstring>

namespace leadsman {
namespace {

uint64_t Hash(std::string_view text) {
  // Classes are short: their first and last eight bytes and the length tell them apart, or the
  // comparison does.
  uint64_t head = 0;
  uint64_t tail = 0;
  size_t n = std::min<size_t>(text.size(), 8);
  if (n > 0) {
    std::memcpy(&head, text.data(), n);
    std::memcpy(&tail, text.data() + text.size() - n, n);
  }
  uint64_t h = (head ^ (tail * 0x9e3779b97f4a7c15ull) ^ text.size()) * 0xff51afd7ed558ccdull;
  return h ^ (h >> 32);
}

}  // namespace

size_t ClassTable::IndexOf(std::string_view text) {
  for (uint64_t h = Hash(text);; ++h) {
    uint16_t& slot = slots_[h % kSlots];
    if (slot == 0) {
      if (names_.size() >= kMaxClasses) return kOther;
      names_.emplace_back(text);
      slot = static_cast<uint16_t>(names_.size());
      return names_.size() - 1;
    }
    if (names_[slot - 1u] == text) return slot - 1u;
  }
}

std::map<std::string, uint64_t> ClassCounts::Summary(const ClassTable& table) const {
  std::vector<size_t> order;
  uint64_t other = counts_.size() > ClassTable::kOther ? counts_[ClassTable::kOther] : 0;
  for (size_t i = 0; i < std::min(counts_.size(), table.size()); ++i) {
    if (counts_[i] > 0) order.push_back(i);
  }
  size_t shown = std::min(order.size(), kMaxShown);
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(shown), order.end(),
                    [&](size_t a, size_t b) { return counts_[a] > counts_[b]; });
  std::map<std::string, uint64_t> summary;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i < shown) {
      summary[table.name(order[i])] = counts_[order[i]];
    } else {
      other += counts_[order[i]];
    }
  }
  if (other > 0) summary["(other)"] += other;
  return summary;
}

std::map<std::string, uint64_t> ClassCounts::Growing(const ClassTable& table) const {
  std::map<std::string, uint64_t> shown;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] > 0) shown[i < kMaxShown ? table.name(i) : "(other)"] += counts_[i];
  }
  return shown;
}

}  // namespace leadsman
