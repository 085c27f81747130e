#include "kube/work_queue.h"

#include <algorithm>
#include <utility>

namespace leadsman::kube {

bool WorkQueue::Add(const std::string& key) {
  MutexLock lock(mutex_);
  return AddLocked(key);
}

bool WorkQueue::AddLocked(const std::string& key) {
  if (shut_down_) return false;
  if (waiting_.count(key) != 0) return true;
  if (IsFull()) {
    ++counters_.refused;
    return false;
  }
  ++counters_.added;
  waiting_.insert(key);
  if (working_.count(key) == 0) {
    order_.push_back(key);
    changed_.NotifyOne();
  }
  return true;
}

bool WorkQueue::AddAfter(const std::string& key, Duration delay) {
  MutexLock lock(mutex_);
  return PutOff(key, delay);
}

bool WorkQueue::PutOff(const std::string& key, Duration delay) {
  if (shut_down_) return false;
  if (delay <= Duration::zero()) return AddLocked(key);
  const SteadyTime when = clock_.SteadyNow() + delay;
  const auto known = due_.find(key);
  if (known != due_.end()) {
    if (known->second <= when) return true;
    by_time_.erase({known->second, key});
    known->second = when;
  } else {
    if (IsFull()) {
      ++counters_.refused;
      return false;
    }
    due_.emplace(key, when);
  }
  by_time_.emplace(when, key);
  changed_.NotifyOne();
  return true;
}

bool WorkQueue::Retry(const std::string& key) {
  MutexLock lock(mutex_);
  ++counters_.retried;
  // Of keys that nobody forgets there must not be more and more.
  if (retries_.size() >= options_.max_keys && retries_.find(key) == retries_.end()) {
    return PutOff(key, options_.longest_retry);
  }
  int& count = retries_[key];
  const int doublings = std::min(count, 40);
  count = std::min(count + 1, 1'000'000);
  const auto most = uint64_t(options_.longest_retry.count());
  const auto first = uint64_t(options_.first_retry.count());
  const uint64_t delay = first > (most >> doublings) ? most : first << doublings;
  return PutOff(key, Duration(int64_t(delay)));
}

void WorkQueue::Forget(const std::string& key) {
  MutexLock lock(mutex_);
  retries_.erase(key);
}

int WorkQueue::retries(const std::string& key) const {
  MutexLock lock(mutex_);
  const auto found = retries_.find(key);
  return found == retries_.end() ? 0 : found->second;
}

void WorkQueue::TakeUpDue() {
  const SteadyTime now = clock_.SteadyNow();
  while (!by_time_.empty() && by_time_.begin()->first <= now) {
    const std::string key = by_time_.begin()->second;
    by_time_.erase(by_time_.begin());
    due_.erase(key);
    (void)AddLocked(key);  // there is room: it has just left
  }
}

std::optional<std::string> WorkQueue::Take(std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  for (;;) {
    if (shut_down_) return std::nullopt;
    TakeUpDue();
    if (!order_.empty()) {
      std::string key = std::move(order_.front());
      order_.pop_front();
      waiting_.erase(key);
      working_.insert(key);
      ++counters_.taken;
      WakeAnother();
      return key;
    }
    Duration left = until - std::chrono::steady_clock::now();
    if (left <= Duration::zero()) {
      WakeAnother();
      return std::nullopt;
    }
    if (!by_time_.empty()) left = std::min(left, by_time_.begin()->first - clock_.SteadyNow());
    (void)changed_.WaitFor(mutex_, left);
  }
}

/// Of a taker that leaves: the others may wait without knowing of what comes due meanwhile.
void WorkQueue::WakeAnother() {
  if (!order_.empty() || !by_time_.empty()) changed_.NotifyOne();
}

void WorkQueue::Done(const std::string& key) {
  MutexLock lock(mutex_);
  working_.erase(key);
  if (waiting_.count(key) == 0) return;
  order_.push_back(key);
  changed_.NotifyOne();
}

void WorkQueue::ShutDown() {
  MutexLock lock(mutex_);
  shut_down_ = true;
  changed_.NotifyAll();
}

bool WorkQueue::shut_down() const {
  MutexLock lock(mutex_);
  return shut_down_;
}

size_t WorkQueue::size() const {
  MutexLock lock(mutex_);
  return order_.size();
}

WorkQueue::Counters WorkQueue::counters() const {
  MutexLock lock(mutex_);
  return counters_;
}

}  // namespace leadsman::kube
