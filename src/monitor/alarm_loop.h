#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/periodic.h"
#include "base/status.h"
#include "monitor/alarm_book.h"
#include "monitor/alarm_outbox.h"
#include "monitor/alarm_store.h"
#include "monitor/count_keeper.h"
#include "monitor/finding.h"
#include "stats/registry.h"

namespace leadsman {

/// Carries alarms to people. Called by the loop's thread: takes what it is given and returns at once, whatever becomes of it.
class AlarmSender {
 public:
  virtual ~AlarmSender() = default;
  /// After every look: `firing` are all that fire and are not silenced. What is new is in the sender's box of the outbox, if it
  /// has one.
  virtual void Tell(const std::vector<Alarm>& firing) = 0;
  /// Begins to end, and returns at once: the destructor waits, and those of many share a time.
  virtual void BeginStop() {}
};

/// Asks all watches every interval, steps the book, puts what is new in the outbox, tells the senders, keeps all of it on the
/// disk, and what the watches have counted, once a minute and when an alarm changes. One thread of its own. A look that fails is
/// said and counted, and the next one is tried. What is to be told is on the disk first, unless that takes longer than a second.
///
///   AlarmLoop loop({clock, registry, *store}, options);
///   loop.Add(std::make_unique<BurnRateWatch>(…));
///   loop.AddSender(sender);
///   loop.Start(10s);   // or Begin() and Look() by hand, in tests
///
/// Readers and silences: thread-safe. Add, AddSender, Start, Stop: the owner's, Add and AddSender before Start. Senders must
/// live until Stop.
class AlarmLoop {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;
    AlarmStore& store;
    CountStore* counts = nullptr;  ///< null: what the watches have counted goes with the process
  };
  AlarmLoop(Deps deps, AlarmBookOptions options)
      : AlarmLoop(deps, options, deps.store.TakeFound()) {}
  ~AlarmLoop();
  AlarmLoop(const AlarmLoop&) = delete;
  AlarmLoop& operator=(const AlarmLoop&) = delete;

  void Add(std::unique_ptr<Watch> watch);
  /// Its counts outlive the process.
  void Keep(Kept& kept) { keeper_.Add(kept); }
  /// Since when watches can have counted.
  const WatchedTime& watched() const { return keeper_.watched(); }
  void AddSender(AlarmSender& sender);
  /// For the boxes of senders, before Start.
  AlarmOutbox& outbox() { return outbox_; }
  /// Receivers and watches are all there: what was owed and counted before the start is theirs.
  void Begin();
  /// Begin, and the first look, by the caller: it says where counting begins. RESOURCE_EXHAUSTED: no thread for the others.
  Status Start(std::chrono::milliseconds interval);
  /// No further looks; the present state is given to the stores.
  void Stop();
  void Look();

  struct View {
    std::vector<Alarm> alarms;  ///< pending, firing, and resolved for a day
    WallTime looked{};          ///< the epoch: not yet
    size_t watched = 0;         ///< subjects
    uint64_t dropped = 0;       ///< for want of room
  };
  /// As of the last look.
  std::shared_ptr<const View> view() const;
  /// NOT_FOUND.
  Result<Alarm> Get(int64_t id) const;
  std::vector<Silence> Silences() const;
  /// Tells them to all receivers, soon. What comes before Begin waits for it. Thread-safe; does not wait for a disk.
  void Announce(News news, const std::string& delivery);
  /// As of AlarmBook; takes effect at once.
  Result<Silence> AddSilence(Silence silence);
  Status RemoveSilence(int64_t id);

 private:
  AlarmLoop(Deps deps, AlarmBookOptions options, AlarmStore::Content found);
  void AddMetrics();
  void LookOrSay();
  void Save() REQUIRES(mutex_);
  void Publish() REQUIRES(mutex_);
  void TakeSilences() REQUIRES(mutex_);
  static void Log(const AlarmTransition& transition);

  const Deps deps_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::vector<AlarmSender*> senders_;
  CountKeeper keeper_;
  AlarmOutbox outbox_;
  mutable Mutex mutex_;
  AlarmBook book_ GUARDED_BY(mutex_);
  std::shared_ptr<const View> view_ GUARDED_BY(mutex_) = std::make_shared<const View>();
  WallTime looked_ GUARDED_BY(mutex_){};
  uint64_t failed_looks_ GUARDED_BY(mutex_) = 0;
  bool begun_ GUARDED_BY(mutex_) = false;
  std::vector<AlarmNotice> early_ GUARDED_BY(mutex_);         ///< announced before
  std::array<uint64_t, 4> transitions_ GUARDED_BY(mutex_){};  ///< by AlarmState
  std::vector<Registry::Registration> registrations_;
  std::unique_ptr<Periodic> thread_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
