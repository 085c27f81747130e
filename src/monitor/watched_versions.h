#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/database.h"

namespace leadsman {

/// One version as a book of them sees it.
struct WatchedVersion {
  bool retired = false;  ///< nothing more is folded in: the book has put
                         ///< something else in its place
  bool active = false;   ///< asked since it was last forgotten
  SteadyTime last_used = SteadyTime::min();
};

/// What is watched of all versions: at most kMaxVersions. One that has been
/// quiet for a minute makes room for another. `Version` is a WatchedVersion
/// that says by worth_keeping() whether there is anything to come back to.
/// Externally synchronised.
template <typename Version>
class WatchedVersions {
 public:
  static constexpr size_t kMaxVersions = 256;
  static constexpr std::chrono::minutes kQuiet{1};

  std::shared_ptr<Version> Find(const VersionKey& key) const {
    auto it = versions_.find(key);
    return it == versions_.end() ? nullptr : it->second;
  }
  bool full() const { return versions_.size() >= kMaxVersions; }
  void Add(const VersionKey& key, std::shared_ptr<Version> version, SteadyTime now) {
    version->last_used = now;
    versions_.emplace(key, std::move(version));
  }
  /// Retires the version that has been quiet for the longest; false when all
  /// are busy.
  bool MakeRoom(SteadyTime now) {
    auto quietest = std::min_element(
        versions_.begin(), versions_.end(),
        [](const auto& a, const auto& b) { return a.second->last_used < b.second->last_used; });
    if (quietest == versions_.end() || now - quietest->second->last_used < kQuiet) return false;
    Retire(quietest);
    return true;
  }
  /// No longer asked. Null when there is no such version any more.
  std::shared_ptr<Version> Forget(const VersionKey& key) {
    auto it = versions_.find(key);
    if (it == versions_.end()) return nullptr;
    it->second->active = false;
    if (it->second->worth_keeping()) return it->second;
    Retire(it);
    return nullptr;
  }
  /// Of those that are not asked any more: the ones that were last used before.
  void DropForgotten(SteadyTime before) {
    for (auto it = versions_.begin(); it != versions_.end();) {
      const bool gone = !it->second->active && it->second->last_used < before;
      it = gone ? Retire(it) : std::next(it);
    }
  }
  /// Of one model, in their order.
  std::vector<int64_t> Numbers(const std::string& model) const {
    std::vector<int64_t> numbers;
    for (auto it = versions_.lower_bound({model, std::numeric_limits<int64_t>::min()});
         it != versions_.end() && it->first.first == model; ++it) {
      numbers.push_back(it->first.second);
    }
    return numbers;
  }
  auto begin() const { return versions_.begin(); }
  auto end() const { return versions_.end(); }

 private:
  using Map = std::map<VersionKey, std::shared_ptr<Version>>;
  typename Map::iterator Retire(typename Map::iterator it) {
    it->second->retired = true;
    return versions_.erase(it);
  }

  Map versions_;
};

}  // namespace leadsman
