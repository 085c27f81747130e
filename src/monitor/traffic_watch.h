#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "monitor/burn_rate_watch.h"
#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/request_meter.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// The chance that a model is without a request for `silence` although nothing has changed, judged by the time before it, told
/// in `periods` of which `busy` had requests: the larger of two. Poisson: exp(-rate × silence). And, because traffic comes in
/// bursts that Poisson knows nothing of: the share of periods without a request (at least one more than was seen, of two more),
/// to the power of the silence's periods. Pure.
double ChanceOfSilence(uint64_t requests, size_t busy, size_t periods, Duration period,
                       Duration silence);

/// A model that had traffic and has none any more, for longer than chance allows. Never one that is not expected to have
/// any: unloaded, forgotten. Only time that was watched is silent. After a restart what fired before is not known to be well
/// until a request comes. Confined to the thread that looks.
class TrafficWatch final : public Watch, public Kept {
 public:
  static constexpr double kChance = 1e-6;
  static constexpr uint64_t kEnoughRequests = 30;  ///< in the hour before the silence
  static constexpr std::chrono::minutes kShortestSilence{3};
  /// Of so little, but not less than a batch may take, half minutes are counted instead of minutes: it would take long else.
  static constexpr std::chrono::minutes kYoung{20}, kEnoughForHalves{5};
  /// A model may take so long to be loaded after a restart before what was known of its traffic is forgotten.
  static constexpr std::chrono::minutes kAwaitLoaded{30};

  /// `expected`: whether requests of this model can come at all.
  TrafficWatch(RequestMeter& meter, const WatchedTime& watched, ObjectivesOf objectives,
               std::function<bool(const std::string& model)> expected)
      : meter_(meter),
        watched_(watched),
        objectives_(std::move(objectives)),
        expected_(std::move(expected)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

  std::string_view name() const override { return AlarmKindName(AlarmKind::kTrafficStopped); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  struct Model {
    CountRing requests{std::chrono::seconds(30), 124};
    SteadyTime first{};
    SteadyTime last{};  ///< the look that found requests
    /// Of a model that had its requests before the start, until the first one here.
    struct Restored {
      SteadyTime at{};
      SteadyTime expected{};  ///< since when there may be requests; the epoch: not yet
    };
    std::optional<Restored> restored;
  };
  Finding Judge(const std::string& name, const Model& model, SteadyTime now) const;
  /// Of a model that cannot get requests now: whether it may still become what it was before the restart.
  static bool MayComeBack(const Model& model, SteadyTime now);
  static Finding NothingKnown(const std::string& name);

  RequestMeter& meter_;
  const WatchedTime& watched_;
  const ObjectivesOf objectives_;
  const std::function<bool(const std::string& model)> expected_;
  std::map<std::string, Model> models_;
};

}  // namespace leadsman
