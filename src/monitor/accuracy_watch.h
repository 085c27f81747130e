#pragma once

#include <map>
#include <string>
#include <utility>

#include "monitor/burn_rate_watch.h"
#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/request_meter.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// The interval of Clopper and Pearson (1934) for a share of `hits` in `n`: each side misses it with a chance of at most
/// `level`. Pure; 0 <= hits <= n.
std::pair<double, double> ExactInterval(uint64_t hits, uint64_t n, double level);

/// Whether the labels of the last 24 hours say that a model's accuracy is below its objective: the whole interval is.
/// Counts requests, by their first row, never weighted. Confined to the thread that looks.
class AccuracyWatch final : public Watch, public Kept {
 public:
  static constexpr double kLevel = 0.001;
  static constexpr std::chrono::hours kWindow{24};

  AccuracyWatch(RequestMeter& meter, const WatchedTime& watched, ObjectivesOf objectives)
      : meter_(meter), watched_(watched), objectives_(std::move(objectives)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

  std::string_view name() const override { return AlarmKindName(AlarmKind::kAccuracy); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  struct Version {
    CountRing labels{std::chrono::minutes(10), 144};
    CountRing requests{std::chrono::minutes(10), 144};
  };
  Finding Judge(const std::string& name, const std::map<int64_t, Version>& versions,
                double objective, SteadyTime now) const;

  RequestMeter& meter_;
  const WatchedTime& watched_;
  const ObjectivesOf objectives_;
  std::map<std::string, std::map<int64_t, Version>> models_;
};

}  // namespace leadsman
