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

}  // namespace leadsman::cli
