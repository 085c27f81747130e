#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "monitor/database.h"

namespace leadsman {

/// Writes batches to the database on a thread of its own, one at a time. What could not be written
/// comes back and is tried again with the next batch; what has failed for so long that it no longer
/// fits the memory is given up and counted.
///
/// Offer is confined to one thread; the counters may be read from any.
class DatabaseWriter {
 public:
  static constexpr size_t kMaxRows = 200'000;

  explicit DatabaseWriter(Database& database);
  ~DatabaseWriter();  ///< finishes the batch in hand

  /// Moves `batch` into the writer's hands if they are empty; otherwise `batch` stays as it is, but
  /// for the oldest rows beyond kMaxRows of a kind, which are given up and counted.
  /// After a failure the next try waits a second, then longer, up to half a minute, unless `force`.
  bool Offer(Database::Batch& batch, const Database::Purge& purge, SteadyTime now, bool force);
  /// True when nothing is in hand and the last try did not fail. Waits at most `timeout`.
  bool WaitIdle(std::chrono::milliseconds timeout);

  uint64_t errors() const;
  uint64_t rows_lost() const;
  Duration cpu() const;
  /// What keeps the database from being written, and since when; a write that has not come back for a while is such, too.
  struct Trouble {
    std::string why;
    WallTime since{};
  };
  std::optional<Trouble> trouble() const;

 private:
  void Run();

  Database& database_;
  mutable Mutex mutex_;
  CondVar changed_;
  Database::Batch in_hand_ GUARDED_BY(mutex_);  ///< the writing thread owns it while `busy_`
  Database::Purge purge_ GUARDED_BY(mutex_);
  bool busy_ GUARDED_BY(mutex_) = false;
  bool failing_ GUARDED_BY(mutex_);
  Trouble trouble_ GUARDED_BY(mutex_);        ///< while `failing_`
  WallTime busy_since_ GUARDED_BY(mutex_){};  ///< while `busy_`
  bool stop_ GUARDED_BY(mutex_) = false;
  uint64_t errors_ GUARDED_BY(mutex_) = 0;
  uint64_t rows_lost_ GUARDED_BY(mutex_) = 0;
  Duration cpu_ GUARDED_BY(mutex_){};
  // Of the offering thread.
  SteadyTime not_before_{};
  Duration pause_{};
  std::thread thread_;
};

}  // namespace leadsman
