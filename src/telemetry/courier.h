#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace leadsman {

/// Carries messages to one peer, one after the other, on a thread of its own, so that a peer that hangs holds nobody up.
/// What is to be carried and how is its owner's affair: the courier calls `carry` whenever something may be to do, waits
/// longer and longer when the peer does not take it, says so in the log once, and ends in bounded time.
///
///   courier_ = Courier::Start({.peer = "alarms.webhooks[0]"}, clock, [this](const Errand& errand) { return Carry(errand); });
///   …  queue.push(message);  courier_->Wake();
///
/// Thread-safe. `carry` is called by the courier's thread alone and must not outlive what it uses: declare the courier last.
class Courier {
 public:
  /// What one call of `carry` may do.
  struct Errand {
    std::chrono::milliseconds most;      ///< no try may take longer
    const std::atomic<bool>& cancelled;  ///< once true, a try under way is to end at once
    bool
        last;  ///< the courier is being stopped: what waits is tried once more, whatever the pauses
  };
  enum class Outcome {
    kNothing,  ///< there is nothing to carry
    kSent,     ///< and there may be more
    kAgain,    ///< not taken: after a pause
    kRefused,  ///< given up for good, and there may be more
  };
  struct Report {
    Outcome outcome = Outcome::kNothing;
    Status why = {};                        ///< of kAgain and kRefused
    Duration rest{0};                       ///< of kSent and kAgain: no other before
    std::optional<Duration> again_in = {};  ///< of kSent: even when nobody calls Wake
  };
  using Carry = std::function<Report(const Errand&)>;

  struct Options {
    std::string thread;  ///< its name
    std::string peer;    ///< for the log: a place in the configuration, or a URL without secrets
    std::chrono::milliseconds timeout{10'000};  ///< of one try
    std::chrono::milliseconds longest_pause{
        60'000};  ///< between two tries; the first is 1 s, each twice the one before
    std::chrono::milliseconds grace{1'000};  ///< for what waits, when it is stopped
  };
  struct Counters {
    uint64_t sent = 0;
    uint64_t failed = 0;  ///< tries that failed, or were refused
  };

  /// RESOURCE_EXHAUSTED: there is no thread to be had.
  static Result<std::unique_ptr<Courier>> Start(Options options, Clock& clock, Carry carry);
  /// As BeginStop; then waits for the end of `grace`, cancels what is under way, and waits for the thread.
  ~Courier();
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;

  /// There may be something to carry. Does not shorten a rest or the pause after a failure.
  void Wake();
  /// Begins to end, and returns at once: several couriers share one grace.
  void BeginStop();
  Counters counters() const { return {sent_, failed_}; }
  /// Why the peer has taken nothing since then; nothing while all is well.
  struct Trouble {
    std::string why;
    WallTime since{};
  };
  std::optional<Trouble> trouble() const;

 private:
  Courier(Options options, Clock& clock, Carry carry);
  void Run();
  std::optional<Errand> Await();
  void Note(const Report& report);
  void Plan(const Report& report, WallTime began);
  void Count(Outcome outcome);

  const Options options_;
  Clock& clock_;
  const Carry carry_;
  std::atomic<bool> cancelled_{false};
  std::atomic<uint64_t> sent_{0}, failed_{0};
  int failures_ = 0;  ///< in a row; of the thread alone
  mutable Mutex mutex_;
  CondVar changed_;
  std::optional<Trouble> trouble_ GUARDED_BY(mutex_);
  bool woken_ GUARDED_BY(mutex_) = false;
  SteadyTime not_before_ GUARDED_BY(mutex_){};
  std::optional<SteadyTime> again_at_ GUARDED_BY(mutex_);
  std::optional<std::chrono::steady_clock::time_point> end_ GUARDED_BY(mutex_);  ///< of the grace
  bool ended_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

/// How long to wait after so many failures in a row: 1 s, doubled each time, at most `most`.
Duration Backoff(int failures, Duration most);

}  // namespace leadsman
