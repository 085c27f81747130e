#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/clock.h"

namespace leadsman::intake {

/// The ids of what was taken lately, for an intake whose senders may send again what has come: after a timeout nobody knows whether
/// it has. Ids are remembered by a hash of 64 bits, so that one takes some 60 bytes however long it is; two that meet in one (of
/// 200,000 remembered ones a new id does with probability 10⁻¹⁴) would be taken for one.
///
/// Confined to one thread, or externally synchronised.
class RecentIds {
 public:
  struct Options {
    size_t max = 200'000;  ///< beyond, the oldest is forgotten
    Duration age = std::chrono::hours(1);
  };
  explicit RecentIds(Options options) : options_(options) {}

  /// Of an id and what says whose it is, as its model and version.
  static uint64_t KeyOf(std::initializer_list<std::string_view> parts);

  bool Contains(uint64_t key, SteadyTime now);
  void Add(uint64_t key, SteadyTime now);
  size_t size() const { return keys_.size(); }

 private:
  void Forget(SteadyTime now);

  const Options options_;
  std::unordered_set<uint64_t> keys_;
  std::deque<std::pair<SteadyTime, uint64_t>> order_;  ///< the same, the oldest first
};

}  // namespace leadsman::intake
