#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "monitor/edges/interval_profile.h"
#include "stats/registry.h"
#include "telemetry/courier.h"
#include "telemetry/sender_http.h"

namespace leadsman {

/// A monitor that is sent profiles. Parsed from the configuration (monitor.send_profiles).
struct ProfileSenderOptions {
  SenderTarget target;
  std::chrono::milliseconds every{5'000};
  std::string edge;  ///< empty: the host's name and the admin port
};

/// Sends what this process has seen to another monitor, an interval at a time. One message is under way at most, and is sent until
/// it is answered; the monitor knows it again. Meanwhile nothing further is taken, so that the interval behind it grows longer,
/// not the memory: a monitor that is away for an hour loses nothing. Not thread-safe but for the counters and Note(); has a thread of
/// its own.
class ProfileSender {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;
    std::function<std::vector<IntervalProfile>()> take;  ///< what was seen since the last call
    std::string edge;                                    ///< where the options name none
    uint64_t process = 0;                                ///< by chance
  };
  /// How often a message is tried that the monitor says is wrong; it may be of another release, and changed soon.
  static constexpr int kRefusals = 5;

  /// Errors name the option: the URL, a TLS file, a token that cannot be read. Begins to send.
  static Result<std::unique_ptr<ProfileSender>> Create(Deps deps, ProfileSenderOptions options);
  /// What was seen until now is sent, for at most a second.
  ~ProfileSender();

  /// For an operator while the monitor does not take what it is sent, and why; empty: it does. Thread-safe.
  std::string Note() const;

 private:
  ProfileSender(Deps deps, ProfileSenderOptions options);
  Courier::Report Carry(const Courier::Errand& errand);
  void Seal(bool last);
  void AddMetrics(Registry& registry);

  Clock& clock_;
  const std::function<std::vector<IntervalProfile>()> take_;
  const ProfileSenderOptions options_;
  const std::string edge_;
  const uint64_t process_;
  std::unique_ptr<SenderHttp> http_;
  // Of the courier's thread.
  std::vector<IntervalProfile> waiting_;  ///< taken, and in no message yet
  std::string message_;                   ///< under way; empty: none
  uint64_t sequence_ = 0;                 ///< of the newest message
  int refusals_ = 0;                      ///< of `message_`
  bool said_last_ = false;
  std::atomic<uint64_t> given_up_{0};
  std::atomic<int64_t> answered_at_;  ///< steady nanoseconds
  mutable Mutex mutex_;
  Status last_ GUARDED_BY(mutex_);  ///< what came of the last try
  std::unique_ptr<Courier> courier_;
  std::vector<Registry::Registration> registrations_;  ///< last: they read the above
};

}  // namespace leadsman
