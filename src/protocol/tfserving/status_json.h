#pragma once

#include <optional>
#include <string>

#include "lifecycle/types.h"

namespace leadsman::tfserving {

/// {"model_version_status": […]}, newest version first. NOT_FOUND when `only` is not among them.
Status AppendModelStatus(std::string& out, const ModelStatus& model, std::optional<int64_t> only);

/// GET …/metadata: the signature as a SignatureDefMap in proto3's JSON.
void AppendMetadata(std::string& out, const ServableVersion& version);

/// START, LOADING, AVAILABLE, UNLOADING or END.
std::string_view StateName(VersionState state);

}  // namespace leadsman::tfserving
