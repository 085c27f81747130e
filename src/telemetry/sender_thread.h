#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace leadsman {

/// What became of the messages of one sender.
struct SenderCounters {
  uint64_t sent = 0;
  uint64_t failed = 0;   ///< attempts that failed; they are repeated
  uint64_t dropped = 0;  ///< given up, or there was no room
};

/// What a sender shares with its thread. The thread keeps it alive: a receiver that hangs is not waited for when the
/// process ends. A state has Run(), which ends soon after `stop`.
struct SenderState {
  Mutex mutex;
  CondVar changed;
  bool stop GUARDED_BY(mutex) = false;
  bool ended GUARDED_BY(mutex) = false;
  std::atomic<uint64_t> sent{0}, failed{0}, dropped{0};

  SenderCounters counters() const { return {sent, failed, dropped}; }

  template <typename State>
  static void Start(std::shared_ptr<State> state, const std::string& name) {
    std::thread thread([state] {
      state->Run();
      MutexLock lock(state->mutex);
      state->ended = true;
      state->changed.NotifyAll();
    });
    pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
    thread.detach();
  }
  void StopWithin(std::chrono::milliseconds wait) {
    MutexLock lock(mutex);
    stop = true;
    changed.NotifyAll();
    const auto until = std::chrono::steady_clock::now() + wait;
    while (!ended && std::chrono::steady_clock::now() < until)
      changed.WaitFor(mutex, until - std::chrono::steady_clock::now());
  }
};

/// How long to wait after so many failures in a row: 1 s, doubled each time, at most `most`.
inline Duration Backoff(int failures, Duration most) {
  Duration wait = std::chrono::seconds(1);
  for (int i = 1; i < failures && wait < most; ++i) wait *= 2;
  return wait < most ? wait : most;
}

}  // namespace leadsman
