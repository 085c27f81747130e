#include "monitor/alarm_outbox.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace leadsman {

std::vector<AlarmOutbox::Item> AlarmOutbox::Box::Front(size_t most) const {
  MutexLock lock(outbox_.mutex_);
  const auto count = static_cast<std::ptrdiff_t>(std::min(most, items_.size()));
  return {items_.begin(), items_.begin() + count};
}

size_t AlarmOutbox::Box::Remove(const std::function<bool(const Item&)>& which) {
  const size_t removed = std::erase_if(items_, which);
  if (removed > 0) outbox_.store_.SaveOwed(outbox_.Owed());
  return removed;
}

void AlarmOutbox::Box::Delivered(const AlarmNotice& notice) {
  MutexLock lock(outbox_.mutex_);
  Remove([&](const Item& item) { return item.notice->delivery == notice.delivery; });
}

void AlarmOutbox::Box::Drop(const AlarmNotice& notice) {
  MutexLock lock(outbox_.mutex_);
  // None when it has made room meanwhile: it is counted then.
  dropped_ += Remove([&](const Item& item) { return item.notice->delivery == notice.delivery; });
}

size_t AlarmOutbox::Box::DropOlder(SteadyTime before) {
  MutexLock lock(outbox_.mutex_);
  const size_t removed = Remove([&](const Item& item) { return item.since <= before; });
  dropped_ += removed;
  return removed;
}

size_t AlarmOutbox::Box::waiting() const {
  MutexLock lock(outbox_.mutex_);
  return items_.size();
}

uint64_t AlarmOutbox::Box::dropped() const {
  MutexLock lock(outbox_.mutex_);
  return dropped_;
}

AlarmOutbox::AlarmOutbox(AlarmStore& store, Clock& clock, std::vector<AlarmStore::Owed> owed)
    : store_(store), clock_(clock), found_(std::move(owed)) {}

AlarmOutbox::Box& AlarmOutbox::Open(const std::string& receiver, size_t room, Takes takes) {
  const SteadyTime now = clock_.SteadyNow();
  MutexLock lock(mutex_);
  std::unique_ptr<Box>& box = boxes_[receiver];
  if (box == nullptr) box.reset(new Box(*this, room, takes));
  for (AlarmStore::Owed& owed : found_) {
    if (owed.receiver != receiver) continue;
    box->items_.push_back({std::move(owed.notice), now});
  }
  std::erase_if(found_, [](const AlarmStore::Owed& owed) { return owed.notice == nullptr; });
  return *box;
}

void AlarmOutbox::Begin() {
  size_t gone = 0;
  {
    MutexLock lock(mutex_);
    gone = found_.size();
    found_.clear();
    if (gone > 0) store_.SaveOwed(Owed());
  }
  if (gone > 0)
    LOG_WARN("notices to receivers that are no longer configured are dropped", {"count", gone});
}

void AlarmOutbox::Add(const std::vector<AlarmNotice>& notices) {
  const SteadyTime now = clock_.SteadyNow();
  MutexLock lock(mutex_);
  for (const AlarmNotice& added : notices) {
    const auto notice = std::make_shared<const AlarmNotice>(added);
    for (auto& [receiver, box] : boxes_) {
      if (box->takes_ == (notice->news ? Takes::kAlarms : Takes::kNews)) continue;
      if (box->items_.size() >= box->room_) {
        box->items_.pop_front();
        ++box->dropped_;
      }
      box->items_.push_back({notice, now});
    }
  }
}

std::vector<AlarmStore::Owed> AlarmOutbox::Owed() const {
  std::vector<AlarmStore::Owed> owed = found_;
  for (const auto& [receiver, box] : boxes_) {
    for (const Item& item : box->items_) owed.push_back({receiver, item.notice});
  }
  return owed;
}

void AlarmOutbox::Save(std::vector<Alarm> alarms, std::vector<Silence> silences) {
  MutexLock lock(mutex_);
  store_.Save({std::move(alarms), std::move(silences), Owed()});
}

}  // namespace leadsman
