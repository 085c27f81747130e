#include "batching/request_queue.h"

#include <algorithm>

#include "base/check.h"

namespace leadsman {
namespace {

/// How many requests are looked at for one batch: a queue full of other shapes must not be walked to its end each time.
constexpr size_t kLookedAt = 4096;

}  // namespace

template <typename Visit>
void RequestQueue::ForEach(Visit visit) const {
  for (const List& list : lists_) {
    for (BatchTask* task = list.first; task != nullptr;) {
      BatchTask* next = task->next_;  // `visit` may take it out
      if (!visit(*task)) return;
      task = next;
    }
  }
}

bool RequestQueue::HasRoom(uint32_t level) const {
  if (size_ >= limits_.max_requests) return false;
  size_t own = level - 1 < limits_.per_level.size() ? limits_.per_level[level - 1] : 0;
  return own == 0 || lists_[level - 1].size < own;
}

void RequestQueue::Link(BatchTask& task, size_t index) {
  List& list = lists_[index];
  task.previous_ = list.last;
  task.next_ = nullptr;
  task.list_ = static_cast<uint32_t>(index + 1);
  (list.last != nullptr ? list.last->next_ : list.first) = &task;
  list.last = &task;
  ++list.size;
  list.cost += task.cost;
  ++size_;
  rows_ += task.rows;
  bytes_ += task.bytes;
}

void RequestQueue::Unlink(BatchTask& task) {
  List& list = lists_[task.list_ - 1];
  (task.previous_ != nullptr ? task.previous_->next_ : list.first) = task.next_;
  (task.next_ != nullptr ? task.next_->previous_ : list.last) = task.previous_;
  task.previous_ = task.next_ = nullptr;
  task.list_ = 0;
  --list.size;
  list.cost -= task.cost;
  --size_;
  rows_ -= task.rows;
  bytes_ -= task.bytes;
}

void RequestQueue::Add(BatchTask& task) {
  DCHECK(task.list_ == 0);
  CHECK(task.level >= 1 && task.level <= kMaxLevels);
  Link(task, task.level - 1);
  if (task.deadline) next_expiry_ = std::min(next_expiry_, *task.deadline);
  if (task.wait_until) next_expiry_ = std::min(next_expiry_, *task.wait_until);
}

bool RequestQueue::Remove(BatchTask& task) {
  if (task.list_ == 0) return false;
  Unlink(task);
  return true;
}

void RequestQueue::Sweep(SteadyTime now, std::vector<BatchTask*>& expired) {
  if (now < next_expiry_) return;
  ForEach([&](BatchTask& task) {
    if (task.deadline && now >= *task.deadline) {
      Unlink(task);
      expired.push_back(&task);
    } else if (task.wait_until && now >= *task.wait_until) {
      Unlink(task);
      if (task.delay_when_late) {
        task.wait_until.reset();
        Link(task, kLate);
      } else {
        expired.push_back(&task);
      }
    }
    return true;
  });
  next_expiry_ = NextExpiry().value_or(SteadyTime::max());
}

std::optional<SteadyTime> RequestQueue::NextExpiry() const {
  std::optional<SteadyTime> next;
  auto take = [&](const std::optional<SteadyTime>& time) {
    if (time && (!next || *time < *next)) next = time;
  };
  ForEach([&](BatchTask& task) {
    take(task.deadline);
    take(task.wait_until);
    return true;
  });
  return next;
}

void RequestQueue::TakeAll(std::vector<BatchTask*>& out) {
  ForEach([&](BatchTask& task) {
    Unlink(task);
    out.push_back(&task);
    return true;
  });
}

Duration RequestQueue::CostAhead(uint32_t level) const {
  Duration cost{};
  for (uint32_t i = 0; i < level; ++i) cost += lists_[i].cost;
  return cost;
}

BatchTask& RequestQueue::Leader() const {
  BatchTask* first = nullptr;
  BatchTask* oldest = nullptr;
  for (const List& list : lists_) {
    if (list.first == nullptr) continue;
    if (first == nullptr) first = list.first;
    if (oldest == nullptr || list.first->arrived < oldest->arrived) oldest = list.first;
  }
  return (batches_ + 1) % kOldestEvery == 0 ? *oldest : *first;
}

void RequestQueue::Gather(BatchTask& leader, const BatchPolicy& policy) {
  candidates_.assign(1, &leader);
  padded_out_ = false;
  if (leader.padded) padded_size_.Begin(leader.inputs, leader.rows);
  uint64_t rows = leader.rows;
  size_t looked_at = 0;
  if (leader.may_join && rows < policy.max_rows) {
    ForEach([&](BatchTask& task) {
      if (++looked_at > kLookedAt) return false;
      if (&task == &leader || !task.may_join || task.rules != leader.rules ||
          task.key != leader.key || !may_share_(leader, task)) {
        return true;
      }
      if (leader.padded && !padded_size_.Join(task.inputs, task.rows)) {
        padded_out_ = true;
        return true;
      }
      candidates_.push_back(&task);
      rows += task.rows;
      return rows < policy.max_rows;
    });
  }
  views_.clear();
  for (const BatchTask* task : candidates_) {
    views_.push_back({.rows = task->rows, .arrived = task->arrived, .start_by = task->StartBy()});
  }
}

BatchDecision RequestQueue::Ask(const BatchPolicy& policy, SteadyTime now, bool draining,
                                std::vector<BatchTask*>& batch) {
  BatchTask& leader = Leader();
  Gather(leader, policy);
  uint64_t joining = 0;
  for (const BatchTask* task : candidates_) joining += task->rows;
  BatchDecision decision;
  if (leader.may_join) {
    decision = DecideBatch(policy,
                           {.candidates = views_,
                            .other_rows = rows_ - joining,
                            .padded_out = padded_out_,
                            .draining = draining},
                           now);
  } else {
    decision = {.close = true, .reason = CloseReason::kFull, .count = 1};
  }
  if (!decision.close) return decision;
  ++batches_;
  batch.assign(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(decision.count));
  for (BatchTask* task : batch) Unlink(*task);
  return decision;
}

}  // namespace leadsman
