#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "intake/shadow_book.h"
#include "monitor/monitor.h"
#include "rollout/controller.h"

namespace leadsman {

/// The monitor as the rollout's source of evidence, which is what the split has drawn. Quality counts requests, not
/// rows: the rows of one request are not independent answers. What copies tell is counted by `shadows`; null: there are none.
/// `not_taken`: how many copies a model's version is to blame for not getting.
class MonitorMetricSource final : public MetricSource {
 public:
  using NotTaken = std::function<uint64_t(const std::string& model, int64_t version)>;
  explicit MonitorMetricSource(Monitor& monitor,
                               std::shared_ptr<const intake::ShadowBook> shadows = nullptr,
                               NotTaken not_taken = nullptr)
      : monitor_(monitor), shadows_(std::move(shadows)), not_taken_(std::move(not_taken)) {}

  Result<ArmTotals> Read(const std::string& model, int64_t version) override {
    VersionTotals totals = monitor_.Totals(model, version);
    ArmTotals arm;
    arm.requests = totals.drawn_requests;
    arm.errors = totals.drawn_errors;
    arm.latency = totals.drawn_latency;
    arm.labelled = totals.drawn_labelled;
    arm.wrong = totals.drawn_wrong;
    arm.losses = totals.losses.drawn;
    arm.unmeasured = totals.losses.unmeasured;
    arm.baseline = {totals.requests,          totals.errors,         totals.latency,
                    totals.labelled_requests, totals.wrong_requests, totals.losses.all,
                    totals.longest_failure_ns};
    for (const auto& [segment, of] : monitor_.TotalsBySegment(model, version))
      arm.segments[segment] = {of.requests, of.errors, of.labelled, of.wrong, of.all_requests};
    return arm;
  }

  void CountLosses(const std::string& model, const LossMeasure& measure) override {
    monitor_.CountLosses(model, measure);
  }

  Result<PairTotals> ReadPairs(const std::string& model, int64_t stable,
                               int64_t candidate) override {
    using intake::ShadowResult;
    PairTotals pairs;
    if (!shadows_) return pairs;
    const intake::ShadowBook::Totals totals = shadows_->TotalsOf(model, stable, candidate);
    auto of = [&](ShadowResult result) { return totals.results[static_cast<size_t>(result)]; };
    for (uint64_t count : totals.results) pairs.pairs += count;
    pairs.stable_failed = of(ShadowResult::kLiveFailed);
    pairs.candidate_failed = of(ShadowResult::kShadowFailed);
    pairs.both_failed = of(ShadowResult::kBothFailed);
    pairs.differing = of(ShadowResult::kDiffers) + of(ShadowResult::kClassFlip);
    // What may be one counts as one: an answer that cannot be read must not look safe.
    pairs.flips = of(ShadowResult::kClassFlip) + totals.classes_unknown;
    pairs.compared =
        of(ShadowResult::kEqual) + of(ShadowResult::kWithinTolerance) + pairs.differing;
    pairs.uncompared = of(ShadowResult::kNotKept) + of(ShadowResult::kNotUnderstood);
    pairs.stable_latency = totals.live_latency;
    pairs.candidate_latency = totals.shadow_latency;
    // Who alone is right has the other one wrong.
    pairs.candidate_wrong = totals.live_right;
    pairs.stable_wrong = totals.shadow_right;
    pairs.both_wrong = totals.neither_right;
    if (not_taken_) pairs.unsent = not_taken_(model, candidate);
    return pairs;
  }

 private:
  Monitor& monitor_;
  const std::shared_ptr<const intake::ShadowBook> shadows_;
  const NotTaken not_taken_;
};

}  // namespace leadsman
