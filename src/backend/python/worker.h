#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "backend/python/worker_channel.h"
#include "backend/python/worker_log.h"
#include "backend/python/worker_process.h"
#include "base/clock.h"
#include "base/status.h"

namespace leadsman::python {

/// One worker of a pool, from its start until it has gone.
///
///   kStarting → kIdle ⇄ kBusy;  kBusy → kLate → kIdle;  any → kRetiring | kEnding → kGone
enum class Phase { kStarting, kIdle, kBusy, kLate, kRetiring, kEnding, kGone };
/// Why the server ended a worker; kNone: it ended by itself.
enum class EndReason { kNone, kHang, kMemory, kProtocol, kLoadTimeout, kRetired, kStopped };

struct Worker {
  Worker(WorkerChannel c, WorkerLog l) : channel(std::move(c)), log(std::move(l)) {}

  WorkerChannel
      channel;  ///< of whoever holds the worker: the caller while kBusy, else the loop's thread
  WorkerProcess process;
  WorkerLog log;  ///< loop's thread
  pid_t pid = 0;  ///< loop's thread
  size_t slot = 0;

  // Guarded by the pool's mutex.
  Phase phase = Phase::kStarting;
  EndReason end_reason = EndReason::kNone;
  SteadyTime since{};   ///< of its start, then of its readiness
  SteadyTime end_at{};  ///< kLate, kRetiring: it is ended then
  int64_t calls = 0;
  int64_t resident_bytes = 0;
  bool replaced = false;  ///< to be retired when it is free
  bool restart_counted =
      false;  ///< its replacement: once, also if it ends before its successor is there
  bool was_ready = false;
  std::string exit_text;
  Status load_error;
};
using WorkerPtr = std::shared_ptr<Worker>;

}  // namespace leadsman::python
