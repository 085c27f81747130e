#pragma once

#include <cstdint>
#include <vector>

#include "math/burn_rate.h"

namespace leadsman {

/// What a watch has counted, look by look of a replay. A look that has counted nothing takes no room, others 24 bytes. A value.
class CountSeries {
 public:
  /// Looks are numbered from 0, and come in order.
  void Add(uint32_t look, const ObjectiveCounts& counts);
  /// How many looks there were, those without anything too.
  void End(uint32_t looks) { looks_ = looks; }

  uint32_t looks() const { return looks_; }
  ObjectiveCounts total() const;
  /// Of the looks from `from` up to, and without, `to`. Before its beginning and after its end the past repeats itself.
  ObjectiveCounts Between(int64_t from, int64_t to) const;

 private:
  struct Sums {
    uint32_t look = 0;
    uint64_t total = 0, bad = 0;  ///< up to and with this look
  };
  /// Of the looks before this one, which is not negative.
  ObjectiveCounts Before(int64_t look) const;

  uint32_t looks_ = 0;
  std::vector<Sums> sums_;
};

}  // namespace leadsman
