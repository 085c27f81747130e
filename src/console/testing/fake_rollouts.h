#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "rollout/controller.h"

namespace leadsman {

/// A controller whose rollouts the test writes by hand. Thread-safe.
class FakeRollouts final : public RolloutController {
 public:
  static RolloutView Example(int64_t id, const std::string& model = "digits") {
    RolloutView view;
    view.id = id;
    view.model = model;
    view.stable = 1;
    view.candidate = 2;
    view.step = 1;
    view.step_count = 3;
    view.share = 0.25;
    view.started = FromUnixMillis(1'700'000'000'000);
    view.reason = "waiting for more labels";
    view.alpha = 0.01;
    view.beta = 0.05;
    view.stable_requests = 300;
    view.candidate_requests = 100;
    view.gates.push_back({.gate = "errors",
                          .harm_log_e = 2.3,
                          .harm_log_bound = 4.6,
                          .safe_log_e = 1.5,
                          .safe_log_bound = 3.0,
                          .stable_exposure = 300,
                          .stable_events = 3,
                          .candidate_exposure = 100,
                          .candidate_events = 1,
                          .candidate_exposure_needed = 400});
    view.gates.push_back(
        {.gate = "p99",
         .outside = GateView::Outside{.kind = "promql", .said = "0.2 is within its bounds"}});
    view.plan_notes = {"errors: about 400 candidate requests are needed"};
    return view;
  }

  void Put(RolloutView view) {
    MutexLock lock(mutex_);
    views_[view.id] = std::move(view);
  }
  void PutHistory(int64_t id, std::vector<TickView> ticks) {
    MutexLock lock(mutex_);
    history_[id] = std::move(ticks);
  }
  void SetJournalProblem(std::string problem) {
    MutexLock lock(mutex_);
    journal_problem_ = std::move(problem);
  }
  std::vector<std::string> calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }

  void Start() override {}
  void Stop() override {}
  void TickOnce() override {}
  void Apply(std::map<std::string, RolloutPlan>) override {}
  std::vector<RolloutView> List() const override {
    MutexLock lock(mutex_);
    std::vector<RolloutView> all;
    for (auto it = views_.rbegin(); it != views_.rend(); ++it) all.push_back(it->second);
    return all;
  }
  Result<RolloutView> Get(int64_t id) const override {
    MutexLock lock(mutex_);
    auto found = views_.find(id);
    if (found == views_.end()) return NotFoundError(StrCat("there is no rollout ", id));
    return found->second;
  }
  Result<std::vector<TickView>> History(int64_t id) const override {
    MutexLock lock(mutex_);
    auto found = history_.find(id);
    if (found == history_.end()) return NotFoundError(StrCat("there is no rollout ", id));
    return found->second;
  }
  Status Promote(int64_t id, const std::string& who) override {
    return Decide("promote fully", id, who);
  }
  Status Advance(int64_t id, const std::string& who, std::optional<int> step) override {
    const Result<RolloutView> view = Get(id);
    if (step && view.ok() && view->step != *step)
      return FailedPreconditionError(StrCat("rollout ", id, " is in step ", view->step));
    return Decide("promote", id, who);
  }
  Status Abort(int64_t id, const std::string& who) override { return Decide("abort", id, who); }
  Status Pause(int64_t id, const std::string& who) override { return Decide("pause", id, who); }
  Status Resume(int64_t id, const std::string& who) override { return Decide("resume", id, who); }
  Status Retry(int64_t id, const std::string& who) override {
    return BeginFrom("retry", RolloutPhase::kRolledBack, id, who);
  }
  Status Undo(int64_t id, const std::string& who) override {
    return BeginFrom("undo", RolloutPhase::kPromoted, id, who);
  }
  Status StartRollout(const std::string& model, int64_t candidate,
                      std::optional<RolloutPlan> plan) override {
    MutexLock lock(mutex_);
    calls_.push_back(StrCat("start ", model, " ", candidate,
                            plan ? StrCat(" alpha ", plan->alpha) : std::string()));
    for (const auto& [id, view] : views_) {
      if (view.model == model && view.phase == RolloutPhase::kProgressing) {
        return AlreadyExistsError(StrCat("rollout ", id, " of ", model, " is running"));
      }
    }
    return OkStatus();
  }
  std::vector<std::string> KeptByStart() const override { return {}; }
  Status LetGo(const std::string&) override { return OkStatus(); }
  Result<std::string> Record(int64_t id, const std::string&) const override {
    MutexLock lock(mutex_);
    auto found = records_.find(id);
    if (found == records_.end()) return NotFoundError(StrCat("there is no rollout ", id));
    return found->second;
  }
  Result<Standing> StandingOf(const std::string& model) const override {
    MutexLock lock(mutex_);
    auto found = standings_.find(model);
    if (found == standings_.end())
      return NotFoundError(StrCat("model ", model, " has no rollout plan"));
    return found->second;
  }
  void PutRecord(int64_t id, std::string record) {
    MutexLock lock(mutex_);
    records_[id] = std::move(record);
  }
  void PutStanding(const std::string& model, Standing standing) {
    MutexLock lock(mutex_);
    standings_[model] = std::move(standing);
  }
  std::string journal_problem() const override {
    MutexLock lock(mutex_);
    return journal_problem_;
  }

 private:
  Status Decide(const char* what, int64_t id, const std::string& who) {
    MutexLock lock(mutex_);
    auto found = views_.find(id);
    if (found == views_.end()) return NotFoundError(StrCat("there is no rollout ", id));
    calls_.push_back(StrCat(what, " ", id, " by ", who));
    if (found->second.phase != RolloutPhase::kProgressing)
      return FailedPreconditionError(StrCat("rollout ", id, " has ended"));
    return OkStatus();
  }

  Status BeginFrom(const char* what, RolloutPhase from, int64_t id, const std::string& who) {
    MutexLock lock(mutex_);
    calls_.push_back(StrCat(what, " ", id, " by ", who));
    if (views_.at(id).phase == from) return OkStatus();
    return FailedPreconditionError(StrCat("rollout ", id, " is none to ", what));
  }

  mutable Mutex mutex_;
  std::map<int64_t, RolloutView> views_ GUARDED_BY(mutex_);
  std::map<int64_t, std::vector<TickView>> history_ GUARDED_BY(mutex_);
  std::map<int64_t, std::string> records_ GUARDED_BY(mutex_);
  std::map<std::string, Standing> standings_ GUARDED_BY(mutex_);
  std::vector<std::string> calls_ GUARDED_BY(mutex_);
  std::string journal_problem_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
