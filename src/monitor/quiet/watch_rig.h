#pragma once

#include <memory>
#include <vector>

#include "monitor/alarm_book.h"
#include "monitor/burn_rate_watch.h"
#include "monitor/config.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// One watch of the live monitor, of one model, with an alarm book of its own: it is told counts instead of requests, and says
/// when its alarm would begin. For a trial of "what if": what it knows can be kept and given to another one, as over a restart.
/// Times are from kFirst on. Confined to one thread.
class WatchRig {
 public:
  /// All that a watch looks back on was watched.
  static constexpr SteadyTime kFirst{std::chrono::hours(100)};

  virtual ~WatchRig() = default;
  WatchRig(const WatchRig&) = delete;
  WatchRig& operator=(const WatchRig&) = delete;

  /// Has come since the last look.
  virtual void Count(const ObjectiveCounts& more) = 0;
  /// True when its alarm begins to fire.
  bool Look(SteadyTime now);
  std::vector<KeptCounts> Keep(SteadyTime now);
  /// Before the first look, which is where counting begins.
  void Restore(const std::vector<KeptCounts>& kept, SteadyTime now);

 protected:
  explicit WatchRig(const AlarmBookOptions& options) : book_(options) {}
  virtual Watch& watch() = 0;
  virtual Kept& counts() = 0;

  WatchedTime watched_{SteadyTime{}};

 private:
  AlarmBook book_;
};

/// Counts are answers, of which failed, or took longer than the objective says.
std::unique_ptr<WatchRig> MakeBurnRateRig(BurnRateWatch::Of of, const Objectives& objectives,
                                          const AlarmBookOptions& options);
/// Of labels, that say wrong.
std::unique_ptr<WatchRig> MakeAccuracyRig(const Objectives& objectives,
                                          const AlarmBookOptions& options);
/// As QualityWatch::SharesOf has them; not of the mean absolute error.
std::unique_ptr<WatchRig> MakeQualityRig(const QualityObjective& objective,
                                         const AlarmBookOptions& options);
/// Of rows, that break the schema.
std::unique_ptr<WatchRig> MakeSchemaRig(double accepted_share, const AlarmBookOptions& options);
/// Requests; none of them is bad.
std::unique_ptr<WatchRig> MakeTrafficRig(const Objectives& objectives,
                                         const AlarmBookOptions& options);

}  // namespace leadsman
