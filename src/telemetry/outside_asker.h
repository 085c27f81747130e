#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "rollout/outside_reader.h"
#include "telemetry/sender_http.h"

namespace leadsman {

/// Where a gate's question goes, and as whom.
SenderTarget TargetOf(const RolloutGate& gate);
/// The same of the approval of a step.
SenderTarget TargetOf(const ApprovalWebhook& hook);

/// Asks Prometheuses and webhooks on behalf of rollouts: each question by one HTTP call with the gate's deadline, on one of
/// a few threads, which begin with the first question. A peer that hangs holds one of them until the deadline; beyond
/// kThreads of these, questions wait. Of a gate one question at a time, so that what waits is bounded by the gates there are.
/// Secrets are read from their files for each.
///
///   OutsideAsker asker(clock);
///   RolloutController::Create({…, .outside = &asker}, plans);
///
/// Thread-safe. At its end what is under way is cancelled, which takes a tenth of a second.
class OutsideAsker final : public OutsideReader {
 public:
  static constexpr size_t kThreads = 8;

  /// `clock`: for the time in signatures; must outlive it.
  explicit OutsideAsker(Clock& clock) : clock_(clock) {}
  ~OutsideAsker() override;
  OutsideAsker(const OutsideAsker&) = delete;
  OutsideAsker& operator=(const OutsideAsker&) = delete;

  void Ask(OutsideQuestion question) override;
  std::vector<OutsideReading> Take(int64_t rollout) override;
  void Forget(int64_t rollout) override;

 private:
  using Gate = std::pair<int64_t, size_t>;  ///< of a rollout

  void Run();
  std::optional<OutsideQuestion> Next();
  OutsideReading AnswerTo(const OutsideQuestion& question);
  OutsideReading AskApproval(const OutsideQuestion& question);
  void PutLocked(const OutsideQuestion& question, OutsideReading reading) REQUIRES(mutex_);
  bool StartThreadLocked() REQUIRES(mutex_);

  Clock& clock_;
  std::atomic<bool> cancelled_{false};
  Mutex mutex_;
  CondVar wake_;
  std::deque<OutsideQuestion> waiting_ GUARDED_BY(mutex_);
  std::set<Gate> open_ GUARDED_BY(mutex_);  ///< waiting or under way
  std::map<int64_t, std::vector<OutsideReading>> answers_ GUARDED_BY(mutex_);
  size_t idle_ GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
