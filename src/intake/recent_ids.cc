#include "intake/recent_ids.h"

#include <functional>
#include <string>

#include "base/strings.h"

namespace leadsman::intake {

uint64_t RecentIds::KeyOf(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (std::string_view part : parts) key += StrCat(part.size(), ":", part);
  return std::hash<std::string>()(key);
}

bool RecentIds::Contains(uint64_t key, SteadyTime now) {
  Forget(now);
  return keys_.contains(key);
}

void RecentIds::Add(uint64_t key, SteadyTime now) {
  if (!keys_.insert(key).second) return;
  order_.emplace_back(now, key);
  Forget(now);
}

void RecentIds::Forget(SteadyTime now) {
  while (!order_.empty() &&
         (order_.size() > options_.max || order_.front().first + options_.age <= now)) {
    keys_.erase(order_.front().second);
    order_.pop_front();
  }
}

}  // namespace leadsman::intake
