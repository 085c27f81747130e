#pragma once

#include <string>

#include "monitor/monitor.h"
#include "rollout/controller.h"

namespace leadsman {

/// The monitor as the rollout's source of evidence, which is what the split has drawn. Quality counts requests, not
/// rows: the rows of one request are not independent answers.
class MonitorMetricSource final : public MetricSource {
 public:
  explicit MonitorMetricSource(const Monitor& monitor) : monitor_(monitor) {}

  Result<ArmTotals> Read(const std::string& model, int64_t version) override {
    VersionTotals totals = monitor_.Totals(model, version);
    ArmTotals arm;
    arm.requests = totals.drawn_requests;
    arm.errors = totals.drawn_errors;
    arm.latency = totals.drawn_latency;
    arm.labelled = totals.drawn_labelled;
    arm.wrong = totals.drawn_wrong;
    arm.baseline = {totals.requests, totals.errors, totals.latency, totals.labelled_requests,
                    totals.wrong_requests};
    return arm;
  }

 private:
  const Monitor& monitor_;
};

}  // namespace leadsman
