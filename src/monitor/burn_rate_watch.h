#pragma once

#include <map>
#include <string>

#include "monitor/config.h"
#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/request_meter.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// Objectives of the models: which `of` they have, a function rather than a map, so that models without a configuration
/// get the defaults.
using ObjectivesOf = std::function<Objectives(const std::string& model)>;

/// Errors or slow answers that use up a model's error budget too fast, by the rules of math/burn_rate.h over what it has
/// counted itself, for up to three days, and processes before it. An error is a failure of the server: what the request was to blame for, and what
/// nobody waited for, is none. Slow is what took longer than the threshold, within the 12.5 % of a latency bucket.
/// While the long window of a rule burns and less than half of its short one was watched, it is not known whether it still
/// goes on. Confined to the thread that looks.
class BurnRateWatch final : public Watch, public Kept {
 public:
  enum class Of { kErrors, kLatency };
  BurnRateWatch(Of of, RequestMeter& meter, const WatchedTime& watched, ObjectivesOf objectives)
      : of_(of), meter_(meter), watched_(watched), objectives_(std::move(objectives)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;
  /// What it counts of some sums.
  static ObjectiveCounts Count(Of of, const VersionTotals& totals, const Objectives& objectives);

  std::string_view name() const override { return AlarmKindName(kind()); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  struct Model {
    CountHistory history;
    std::map<int64_t, CountRing> versions;  ///< the last hour, to say which it is
  };
  AlarmKind kind() const {
    return of_ == Of::kErrors ? AlarmKind::kErrorBurn : AlarmKind::kLatencyBurn;
  }
  /// What the counts are of, beside the model: with another threshold they are others.
  uint64_t ThresholdOf(const std::string& model) const;
  double ObjectiveOf(const Objectives& objectives) const;
  Finding Judge(const std::string& name, const Model& model, const Objectives& objectives,
                SteadyTime now) const;

  const Of of_;
  RequestMeter& meter_;
  const WatchedTime& watched_;
  const ObjectivesOf objectives_;
  std::map<std::string, Model> models_;
};

}  // namespace leadsman
