#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "lifecycle/given_model.h"
#include "lifecycle/types.h"

namespace leadsman::v2 {

/// The model repository extension's bodies. Pure functions.

/// POST /v2/repository/index: {"ready": bool} or nothing.
Status ReadIndexRequest(std::string_view body, bool& only_ready);
/// The answer: one entry a version, and one without a version for a model that has none.
void AppendIndex(std::string& out, std::span<const ModelStatus> models, bool only_ready);

/// READY, LOADING, UNLOADING or UNAVAILABLE, as the index says it, over REST and gRPC alike.
std::string_view RepositoryStateName(VersionState state);
/// Why a version is in that state; empty when there is nothing to say.
std::string_view RepositoryReason(const VersionStatus& version);

/// POST …/load and …/unload: {"parameters": {…}} or nothing. `given`: what a load sends along, null for an unload.
Status ReadLoadRequest(std::string_view body, GivenModel* given);

}  // namespace leadsman::v2
