#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/periodic.h"
#include "base/rng.h"
#include "base/status.h"
#include "gateway/upstreams.h"
#include "net/event_loop.h"
#include "net/stream_socket.h"

namespace leadsman::gateway {

/// Asks every endpoint of services with `health.path` again and again whether it is well, on one thread of its own, none
/// waiting for another; and looks the names of endpoints up, on a second one.
///
/// Thread-safe.
class HealthChecker {
 public:
  /// `services` must outlive it. Literal addresses are there when this returns; names as soon as they are found.
  static Result<std::unique_ptr<HealthChecker>> Start(
      const std::vector<std::unique_ptr<Service>>& services);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

 private:
  class Check;

  explicit HealthChecker(const std::vector<std::unique_ptr<Service>>& services);
  void LookUpNames();
  void ScheduleSweep();

  const std::vector<std::unique_ptr<Service>>& services_;
  net::EventLoop loop_;
  net::BufferPool pool_;
  Rng rng_;
  std::vector<std::shared_ptr<Check>> checks_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
  int name_round_ = 0;               ///< of the thread of names_
  std::unique_ptr<Periodic> names_;  ///< null: all addresses are literal
};

}  // namespace leadsman::gateway
