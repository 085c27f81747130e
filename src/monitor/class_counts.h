#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// Numbers the first kMaxClasses different predictions of a version; all others share kOther. Finds
/// a known one in a few nanoseconds. Externally synchronised.
class ClassTable {
 public:
  static constexpr size_t kMaxClasses = 255;
  static constexpr size_t kOther = kMaxClasses;

  size_t IndexOf(std::string_view text);
  size_t size() const { return names_.size(); }
  const std::string& name(size_t index) const { return names_[index]; }

 private:
  static constexpr size_t kSlots = 512;   ///< at most half full
  std::array<uint16_t, kSlots> slots_{};  ///< 0: free; else class index + 1
  std::vector<std::string> names_;
};

/// How often each class of one ClassTable was predicted.
class ClassCounts {
 public:
  static constexpr size_t kMaxShown = 32;

  void Add(size_t index, uint64_t count = 1) {
    if (index >= counts_.size()) counts_.resize(index + 1);
    counts_[index] += count;
  }
  void Clear() { counts_.assign(counts_.size(), 0); }
  /// The kMaxShown most frequent by name, the rest as "(other)".
  std::map<std::string, uint64_t> Summary(const ClassTable& table) const;
  /// The first kMaxShown of the table by name, the rest as "(other)": which ones are shown never
  /// changes, so that no number falls but by Clear().
  std::map<std::string, uint64_t> Growing(const ClassTable& table) const;
  /// By index of the table; what is missing at the end is 0.
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  std::vector<uint64_t> counts_;
};

}  // namespace leadsman
