#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "monitor/labels/label_store.h"
#include "monitor/labels/redis_connection.h"
#include "monitor/labels/redis_label_task.h"

namespace leadsman {

/// Predictions wait in a Redis that several processes share (redis_label_task.h says how they lie there).
///
/// All talk is on a thread of its own, many commands a round trip. While Redis is away or takes nothing, everything waits and
/// is tried again after 0.25 s to 5 s, predictions up to kMostKept and kMostBytes: the oldest make room, and are counted.
/// Nobody else waits.
class RedisLabelStore final : public LabelStore {
 public:
  static constexpr size_t kMostKept = 100'000;
  static constexpr size_t kMostBytes = 64 << 20;

  struct Counters {
    uint64_t errors = 0;  ///< connections and round trips that failed, and tasks that Redis refused
    uint64_t predictions_lost = 0;  ///< there was no room for them, or Redis refused them for good
    uint64_t queued = 0;            ///< predictions that wait to be written
  };
  struct State {
    bool ready = false;
    WallTime since{};  ///< of this
    Status why = {};   ///< it is not ready; OK before the first try
  };

  /// Does not need Redis to be there. Errors name the option: a file that cannot be read. RESOURCE_EXHAUSTED: no thread.
  static Result<std::unique_ptr<RedisLabelStore>> Create(const RedisOptions& options, Clock& clock);
  /// What waits is dropped; see Settle.
  ~RedisLabelStore() override;

  void Keep(const KeptPrediction& prediction) override;
  void Find(uint64_t ticket, const std::string& request_id, uint32_t row) override;
  void Claim(uint64_t ticket, const KeptPrediction& prediction, const std::string& label,
             WallTime wall) override;
  std::vector<Answer> Take() override;
  bool ready() const override { return ready_; }
  bool shared() const override { return true; }
  bool Settle(std::chrono::milliseconds timeout) override;

  // Thread-safe.
  Counters counters() const;
  State state() const;
  const RedisOptions& options() const { return options_; }

 private:
  using RealClock = std::chrono::steady_clock;  // of waiting, which no test's clock shortens
  using Tasks = std::vector<RedisLabelTask>;

  RedisLabelStore(const RedisOptions& options, Clock& clock);
  void Run();
  std::optional<Tasks> Await();
  bool IsDue(RealClock::time_point now) const REQUIRES(mutex_);
  RealClock::time_point NextDue() const REQUIRES(mutex_);
  Tasks TakeTasks() REQUIRES(mutex_);
  Status Connect();
  Status Do(Tasks tasks);
  Status Read(Tasks tasks, std::span<const RedisConnection::Reply> replies);
  void Ask(RedisLabelTask task);
  void PutBack(Tasks tasks) REQUIRES(mutex_);
  void MakeRoom() REQUIRES(mutex_);
  void NoteReady();
  void NoteAway(const Status& why);
  void NoteStrange(const Status& why);

  const RedisOptions options_;
  Clock& clock_;
  const RedisLabelTaskCodec codec_;
  std::shared_ptr<const net::TlsClient> tls_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> ready_{false};

  mutable Mutex mutex_;
  CondVar changed_;  ///< something is to be done, or done
  std::deque<RedisLabelTask> keeps_ GUARDED_BY(mutex_);
  std::deque<RedisLabelTask> asks_ GUARDED_BY(mutex_);
  size_t keep_bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<Answer> answers_ GUARDED_BY(mutex_);
  bool working_ GUARDED_BY(mutex_) = false;
  bool hurry_ GUARDED_BY(mutex_) = false;  ///< somebody waits in Settle
  bool stop_ GUARDED_BY(mutex_) = false;
  Counters counters_ GUARDED_BY(mutex_);
  State state_ GUARDED_BY(mutex_);

  // Of the thread alone.
  std::unique_ptr<RedisConnection> connection_;
  RealClock::time_point not_before_{};
  RealClock::time_point next_keeps_{};
  RealClock::time_point next_ping_{};
  std::chrono::milliseconds pause_{0};
  std::optional<StatusCode> told_;  ///< of what was logged last
  std::optional<RealClock::time_point> strange_told_;
  std::thread thread_;
};

}  // namespace leadsman
