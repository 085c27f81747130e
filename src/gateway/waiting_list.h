#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <vector>

#include "gateway/upstreams.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// Who waits on one thread for a place at a version's endpoints, in the order in which they came. Confined. A Waiter has a
/// `bool OnPending()`: a place may be free; it leaves the list by itself when there was one (true), else it goes on waiting.
template <typename Waiter>
class WaitingList {
  using Queue = std::list<Waiter*>;

 public:
  using Place = typename Queue::iterator;

  Place Add(const Version& version, Waiter& waiter) {
    Queue& queue = queues_[&version];
    return queue.insert(queue.end(), &waiter);
  }
  void Remove(const Version& version, Place place) {
    const auto queue = queues_.find(&version);
    queue->second.erase(place);
    if (queue->second.empty()) queues_.erase(queue);
  }
  bool Any(const Version& version) const { return queues_.contains(&version); }
  /// Of the version by any configuration. `state` is compared with alone.
  bool AnyOf(const VersionState* state) const {
    return std::any_of(queues_.begin(), queues_.end(),
                       [&](const auto& one) { return one.first->state.get() == state; });
  }
  /// Asks one after the other, as long as there are places. Null: of all versions.
  void Serve(const VersionState* state) {
    if (queues_.empty()) return;
    std::vector<const Version*> of;
    for (const auto& [version, queue] : queues_) {
      if (state == nullptr || version->state.get() == state) of.push_back(version);
    }
    for (const Version* version : of) {
      // Who leaves the queue as the last one takes it away.
      for (auto queue = queues_.find(version); queue != queues_.end();
           queue = queues_.find(version)) {
        if (!queue->second.front()->OnPending()) break;
      }
    }
  }

 private:
  std::map<const Version*, Queue>
      queues_;  ///< of the table in force, and of those before; none is empty
};

}  // namespace leadsman::gateway
