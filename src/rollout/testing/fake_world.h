#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "rollout/controller.h"

namespace leadsman {

/// A server with traffic, labels and versions, as a rollout sees it: metrics, actuator and versions
/// in one. Counts are deterministic: a version with an error rate of 0.1 answers every tenth
/// request with an error. Confined to one thread.
class FakeWorld final : public MetricSource, public Actuator, public VersionObserver {
 public:
  struct Behaviour {
    double error_rate = 0.01;
    double wrong_rate = 0.02;
    double label_share = 1;
    uint64_t latency_ns = 20'000'000;
    double loss = 0.1;  ///< of each labelled answer, as a share of the highest
  };

  std::map<int64_t, Behaviour> behaviour;
  ObservedVersions observed;
  DesiredTraffic traffic;  ///< as last applied
  std::vector<DesiredTraffic> applied;
  Status apply_status;                 ///< what Apply answers
  Status read_status;                  ///< what Read answers
  std::function<void()> before_apply;  ///< called before a change takes effect

  std::optional<LossMeasure> measure;  ///< as asked for last; none: losses are not counted

  /// By version, as the test counts them: `Serve` does not.
  std::map<int64_t, std::map<std::string, ArmTotals::Segment>> segments;
  /// One of so many copies is answered otherwise; 0: none is.
  uint64_t differs_every = 0;

  /// So many requests arrive and are split as the traffic says.
  void Serve(uint64_t requests) {
    Copy(static_cast<uint64_t>(std::llround(static_cast<double>(requests) * traffic.mirror_share)));
    owed_ += static_cast<double>(requests) * traffic.candidate_share;
    auto mine = static_cast<uint64_t>(owed_);
    owed_ -= static_cast<double>(mine);
    const bool drawn = traffic.candidate != 0 && traffic.candidate_share > 0;
    Serve(traffic.candidate, mine, drawn);
    Serve(traffic.stable, requests - mine, drawn);
  }
  /// So many requests are answered by this version as if the split had drawn it.
  void ServeDrawn(int64_t version, uint64_t requests) { Serve(version, requests, true); }
  /// So many requests name this version.
  void ServeNamed(int64_t version, uint64_t requests) { Serve(version, requests, false); }
  /// Labels of predictions that no split has drawn arrive, of which so many say that they were wrong.
  void LabelUndrawn(int64_t version, uint64_t labels, uint64_t wrong) {
    totals_[version].baseline.labelled += labels;
    totals_[version].baseline.wrong += wrong;
  }
  /// The same of predictions that the split has drawn.
  void LabelDrawn(int64_t version, uint64_t labels, uint64_t wrong) {
    totals_[version].labelled += labels;
    totals_[version].wrong += wrong;
  }
  /// The counters start anew, as after a restart of the server.
  void ForgetCounts() {
    totals_.clear();
    pairs_ = {};
  }

  Result<ArmTotals> Read(const std::string&, int64_t version) override {
    if (!read_status.ok()) return Status(read_status);
    ArmTotals totals = totals_[version];
    totals.segments = segments[version];
    return totals;
  }
  Result<PairTotals> ReadPairs(const std::string&, int64_t, int64_t) override {
    if (!read_status.ok()) return Status(read_status);
    return pairs_;
  }
  void CountLosses(const std::string&, const LossMeasure& by) override {
    if (measure == by) return;
    measure = by;
    for (auto& [version, totals] : totals_) totals.losses = totals.baseline.losses = {};
  }
  Status Apply(const DesiredTraffic& desired) override {
    if (before_apply) before_apply();
    if (!apply_status.ok()) return apply_status;
    traffic = desired;
    applied.push_back(desired);
    return OkStatus();
  }
  ObservedVersions Observe(const std::string&) override { return observed; }

 private:
  void Serve(int64_t version, uint64_t requests, bool drawn) {
    if (version == 0) return;
    ArmTotals& t = totals_[version];
    Count(t.baseline, behaviour[version], requests);
    if (drawn) Count(t, behaviour[version], requests);
  }
  void Count(auto& t, const Behaviour& b, uint64_t requests) {
    const uint64_t labelled_before = t.labelled;
    t.requests += requests;
    t.errors = Share(t.requests, b.error_rate);
    t.latency[LatencyScheme::Index(b.latency_ns)] += requests;
    t.labelled = Share(t.requests, b.label_share);
    t.wrong = Share(t.labelled, b.wrong_rate);
    for (uint64_t i = labelled_before; measure && i < t.labelled; ++i) t.losses.Add(b.loss, 1);
  }
  void Copy(uint64_t requests) {
    pairs_.pairs += requests;
    pairs_.compared += requests;
    if (differs_every > 0) pairs_.differing = pairs_.compared / differs_every;
    pairs_.stable_latency[LatencyScheme::Index(behaviour[traffic.stable].latency_ns)] += requests;
    pairs_.candidate_latency[LatencyScheme::Index(behaviour[traffic.candidate].latency_ns)] +=
        requests;
  }
  static uint64_t Share(uint64_t of, double share) {
    return static_cast<uint64_t>(std::floor(static_cast<double>(of) * share));
  }
  std::map<int64_t, ArmTotals> totals_;
  PairTotals pairs_;
  double owed_ = 0;
};

/// Answers what a test has put there. Confined to one thread.
class FakeOutside final : public OutsideReader {
 public:
  std::vector<OutsideQuestion> asked;
  std::vector<int64_t> forgotten;
  /// What the next questions get; nothing: none answers.
  std::function<std::optional<OutsideReading>(const OutsideQuestion&)> answer;

  void Ask(OutsideQuestion question) override {
    if (answer) {
      if (auto reading = answer(question)) {
        reading->gate = question.gate;
        reading->step = question.step;
        reading->step_elapsed = question.step_elapsed;
        answers_.push_back(*reading);
      }
    }
    asked.push_back(std::move(question));
  }
  std::function<void()> on_take;  ///< called within a tick, after its command was looked for
  std::vector<OutsideReading> Take(int64_t) override {
    if (on_take) on_take();
    return std::exchange(answers_, {});
  }
  void Forget(int64_t rollout) override { forgotten.push_back(rollout); }

 private:
  std::vector<OutsideReading> answers_;
};

}  // namespace leadsman
