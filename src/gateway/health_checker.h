#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <thread>

#include "base/mutex.h"
#include "base/periodic.h"
#include "base/rng.h"
#include "base/status.h"
#include "gateway/table.h"
#include "net/event_loop.h"
#include "net/stream_socket.h"

namespace leadsman::gateway {

/// Asks every endpoint of services with `health.path` again and again whether it is well, on one thread of its own, none
/// waiting for another; and looks the names of endpoints up, on a second one.
///
/// Thread-safe.
class HealthChecker {
 public:
  static Result<std::unique_ptr<HealthChecker>> Create();
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  /// All that can fail of what Adopt will need; externally synchronised. Literal addresses are there when this returns. Names that are
  /// not known yet are looked up first, for at most `patience`; those that are not found by then come later.
  Status Prepare(const Table& table, std::chrono::milliseconds patience);
  /// The endpoints of this table from now on. Checks whose options are as before go on, also one that is under way.
  void Adopt(std::shared_ptr<const Table> table);

 private:
  class Check;

  HealthChecker();
  void LookUpNames();
  void ScheduleSweep();
  void AdoptNow(const std::shared_ptr<const Table>& table);

  net::EventLoop loop_;
  net::BufferPool pool_;
  Rng rng_;
  std::map<const Endpoint*, std::shared_ptr<Check>> checks_;  ///< of the loop's thread
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  int name_round_ = 0;  ///< of the thread of names_
  Mutex mutex_;
  std::shared_ptr<const Table> table_
      GUARDED_BY(mutex_);            ///< for the thread of names_; null at first
  std::unique_ptr<Periodic> names_;  ///< null: all addresses are literal
};

}  // namespace leadsman::gateway
