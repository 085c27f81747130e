#pragma once

#include <optional>
#include <string>

#include "cli/commands.h"

namespace leadsman::cli {

/// Prints the verdict record of a rollout as the server has it.
int PrintRecord(ClientContext& c, const std::string& id);

struct ReplayOptions {
  std::string what;  ///< a file, "-" for standard input, a rollout's number or a model's name
  std::optional<double> alpha, beta;
};
/// Computes a record again and says whether it comes to the same: kOk, or kDiffers.
int ReplayRollout(ClientContext& c, const AppHooks& hooks, const ReplayOptions& options);

struct PlanOptions {
  std::string model;   ///< of the server, or in `config`; may be empty when the traffic is given
  std::string config;  ///< a configuration file that has the plan
  std::string plan;    ///< a file that is the plan, instead
  std::string record;  ///< a verdict record whose traffic is taken
  std::optional<double> requests_per_second;
  std::string error_rate, label_share, wrong_rate;  ///< as 0.5% or 0.005; empty: as seen
  std::optional<double> mean_loss, loss_spread;     ///< in the metric's units; absent: as seen
  int runs = 0;                                     ///< of the simulation; 0: none
  double worse = 2;
  int64_t seed = 1;
};
/// Begins a rollout; `plan_file` has its plan, empty: the model's.
int BeginRollout(ClientContext& c, const AppHooks& hooks, const std::string& model, int64_t version,
                 const std::string& plan_file);
/// What a plan will do in this traffic, before it does.
int PlanRollout(ClientContext& c, const AppHooks& hooks, const PlanOptions& options);

}  // namespace leadsman::cli
