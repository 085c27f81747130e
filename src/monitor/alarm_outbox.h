#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "monitor/alarm_notice.h"
#include "monitor/alarm_store.h"

namespace leadsman {

/// What is still owed to whom. A notice stays in the box of each receiver, and on the disk, until the receiver has taken it:
/// what was not delivered when the process died is owed again by the next one, under the same delivery id. Each receiver gets
/// every notice at least once, in order, and can tell repeated ones by their ids.
///
///   AlarmOutbox::Box& box = outbox.Open("webhook:3f…", 1000);   // of each receiver, before Begin
///   outbox.Begin();                                             // what was owed to receivers that are gone is dropped
///   outbox.Add(notices);                                        // to all
///   for (item : box.Front(1)) … box.Delivered(*item.notice);    // by the receiver's sender
///
/// Thread-safe, but for Open and Begin, which come first. Must outlive the boxes' users.
class AlarmOutbox {
 public:
  struct Item {
    std::shared_ptr<const AlarmNotice> notice;
    SteadyTime since{};  ///< owed by this process
  };
  /// kNews: of a receiver that is told of alarms otherwise.
  enum class Takes { kAll, kAlarms, kNews };
  class Box {
   public:
    /// The oldest, in order.
    std::vector<Item> Front(size_t most) const;
    void Delivered(const AlarmNotice& notice);
    /// Gives it up.
    void Drop(const AlarmNotice& notice);
    /// Gives up what has been owed since `before` or longer, by this process. How many these were.
    size_t DropOlder(SteadyTime before);
    size_t waiting() const;
    uint64_t dropped() const;  ///< given up, or there was no room

   private:
    friend class AlarmOutbox;
    Box(AlarmOutbox& outbox, size_t room, Takes takes)
        : outbox_(outbox), room_(room), takes_(takes) {}
    size_t Remove(const std::function<bool(const Item&)>& which) REQUIRES(outbox_.mutex_);

    AlarmOutbox& outbox_;
    const size_t room_;
    const Takes takes_;
    // Both under the outbox's mutex.
    std::deque<Item> items_;
    uint64_t dropped_ = 0;
  };

  /// `owed`: what the store has found.
  AlarmOutbox(AlarmStore& store, Clock& clock, std::vector<AlarmStore::Owed> owed);

  /// `receiver`: a name that stays the same over restarts, and holds no secret. When `room` is full the oldest goes.
  Box& Open(const std::string& receiver, size_t room, Takes takes = Takes::kAll);
  void Begin();
  void Add(const std::vector<AlarmNotice>& notices);
  /// Gives the store alarms and silences, and with them what is owed at this moment.
  void Save(std::vector<Alarm> alarms, std::vector<Silence> silences);

 private:
  std::vector<AlarmStore::Owed> Owed() const REQUIRES(mutex_);

  AlarmStore& store_;
  Clock& clock_;
  mutable Mutex mutex_;
  std::vector<AlarmStore::Owed> found_ GUARDED_BY(mutex_);  ///< whose boxes are not open yet
  std::map<std::string, std::unique_ptr<Box>> boxes_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
