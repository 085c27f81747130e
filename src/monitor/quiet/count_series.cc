#include "monitor/quiet/count_series.h"

#include <algorithm>

namespace leadsman {

void CountSeries::Add(uint32_t look, const ObjectiveCounts& counts) {
  if (counts.total == 0) return;
  const ObjectiveCounts before = total();
  sums_.push_back({look, before.total + counts.total, before.bad + counts.bad});
}

ObjectiveCounts CountSeries::total() const {
  if (sums_.empty()) return {};
  return {sums_.back().total, sums_.back().bad};
}

ObjectiveCounts CountSeries::Before(int64_t look) const {
  const auto length = static_cast<int64_t>(looks_);
  const auto rounds = static_cast<uint64_t>(look / length);
  const ObjectiveCounts all = total();
  ObjectiveCounts counts{rounds * all.total, rounds * all.bad};
  auto next = std::lower_bound(sums_.begin(), sums_.end(), look % length,
                               [](const Sums& sums, int64_t at) { return sums.look < at; });
  if (next == sums_.begin()) return counts;
  --next;
  return {counts.total + next->total, counts.bad + next->bad};
}

ObjectiveCounts CountSeries::Between(int64_t from, int64_t to) const {
  if (looks_ == 0 || to <= from) return {};
  const auto length = static_cast<int64_t>(looks_);
  // Into the first round: rounded down, before the beginning too.
  const int64_t shift = (from < 0 ? (from - length + 1) / length : from / length) * length;
  const ObjectiveCounts before = Before(from - shift), with = Before(to - shift);
  return {with.total - before.total, with.bad - before.bad};
}

}  // namespace leadsman
