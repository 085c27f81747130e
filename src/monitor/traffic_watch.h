#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "monitor/burn_rate_watch.h"
#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/request_meter.h"

namespace leadsman {

/// The chance that a model is without a request for `silence` although nothing has changed, judged by the hour before it:
/// the larger of two. Poisson: exp(-rate × silence). And, because traffic comes in bursts that Poisson knows nothing of:
/// the share of minutes without a request (at least one more than was seen, of as many more), to the power of the silence's
/// minutes. Pure.
double ChanceOfSilence(uint64_t requests, size_t busy_minutes, size_t minutes, Duration silence);

/// A model that had traffic and has none any more, for longer than chance allows. Never one that is not expected to have
/// any: unloaded, forgotten. Confined to the thread that looks.
class TrafficWatch final : public Watch {
 public:
  static constexpr double kChance = 1e-6;
  static constexpr uint64_t kEnoughRequests = 30;  ///< in the hour before the silence

  /// `expected`: whether requests of this model can come at all.
  TrafficWatch(RequestMeter& meter, ObjectivesOf objectives,
               std::function<bool(const std::string& model)> expected)
      : meter_(meter), objectives_(std::move(objectives)), expected_(std::move(expected)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

 private:
  struct Model {
    CountRing minutes{std::chrono::minutes(1), 64};
    SteadyTime first{};
    SteadyTime last{};  ///< the look that found requests
  };
  static Finding Judge(const std::string& name, const Model& model, SteadyTime now);

  RequestMeter& meter_;
  const ObjectivesOf objectives_;
  const std::function<bool(const std::string& model)> expected_;
  std::map<std::string, Model> models_;
};

}  // namespace leadsman
