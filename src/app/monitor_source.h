#pragma once

#include <string>

#include "monitor/monitor.h"
#include "rollout/controller.h"

namespace leadsman {

/// The monitor as the rollout's source of evidence. Quality counts requests, not rows: the rows of one request are not
/// independent answers.
class MonitorMetricSource final : public MetricSource {
 public:
  explicit MonitorMetricSource(const Monitor& monitor) : monitor_(monitor) {}

  Result<ArmTotals> Read(const std::string& model, int64_t version) override {
    VersionTotals totals = monitor_.Totals(model, version);
    ArmTotals arm;
    arm.requests = totals.requests;
    arm.errors = totals.errors;
    arm.latency = totals.latency;
    arm.labelled = totals.labelled_requests;
    arm.wrong = totals.wrong_requests;
    return arm;
  }

 private:
  const Monitor& monitor_;
};

}  // namespace leadsman
