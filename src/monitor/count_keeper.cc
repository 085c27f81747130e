#include "monitor/count_keeper.h"

#include <algorithm>

#include "base/log.h"

namespace leadsman {
namespace {

/// Of a row that an earlier process has stored.
constexpr uint64_t kBefore = UINT64_MAX;

}  // namespace

void CountKeeper::Restore(WallTime wall, SteadyTime now) {
  kept_ = watched_kept_ = now;
  if (store_ == nullptr) return;
  int64_t ahead_ms = 0;
  size_t unreadable = 0;
  for (const CountStore::Stored& stored : store_->TakeStored()) {
    const KeptCounts& counts = stored.counts;
    const auto since = std::chrono::milliseconds(UnixMillis(wall) - stored.at_ms);
    ahead_ms = std::max<int64_t>(ahead_ms, -since.count());
    // Longer ago than anybody looks back: the steady clock could not tell it.
    const Duration ago =
        std::clamp<Duration>(since, Duration::zero(), std::chrono::hours(24 * 366));
    bool good = true;
    if (counts.watch == WatchedTime::kName) {
      good = watched_.Restore(counts.bytes, now - ago, now);
    } else {
      stored_[{counts.watch, counts.model}] = kBefore;
      auto of = std::find_if(all_.begin(), all_.end(),
                             [&](const Kept* kept) { return kept->name() == counts.watch; });
      good = of == all_.end() || (*of)->Restore(counts, now - ago, now);
    }
    unreadable += good ? 0 : 1;
  }
  if (unreadable > 0) {
    LOG_WARN("counts of before the start cannot be read; what they tell of begins anew",
             {"rows", unreadable});
  }
  if (ahead_ms > 0) {
    LOG_WARN(
        "the clock is behind the time at which counts were kept; they are taken for those of now",
        {"behind_ms", ahead_ms});
  }
}

void CountKeeper::Keep(WallTime wall, SteadyTime now, bool at_once) {
  if (store_ == nullptr || (!at_once && now - kept_ < kEvery)) return;
  kept_ = now;
  std::vector<KeptCounts> rows;
  for (const Kept* kept : all_) kept->Keep(now, rows);
  std::vector<CountStore::Stored> changed;
  std::map<Key, uint64_t> present;
  for (KeptCounts& row : rows) {
    Key key(row.watch, row.model);
    auto before = stored_.find(key);
    const uint64_t stamp = row.stamp;
    if (before == stored_.end() || before->second != stamp)
      changed.push_back({std::move(row), UnixMillis(wall)});
    present.emplace(std::move(key), stamp);
  }
  for (const auto& [key, stamp] : stored_) {
    if (!present.contains(key))
      changed.push_back({{key.first, key.second, 0, ""}, UnixMillis(wall)});
  }
  stored_ = std::move(present);
  if (changed.empty() && !at_once && now - watched_kept_ < kWatchedEvery) return;
  watched_kept_ = now;
  changed.push_back(
      {{std::string(WatchedTime::kName), "", 0, watched_.Bytes(now)}, UnixMillis(wall)});
  store_->Store(std::move(changed));
}

}  // namespace leadsman
