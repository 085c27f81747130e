#pragma once

#include <span>
#include <string>
#include <string_view>

#include "lifecycle/types.h"

namespace leadsman::v2 {

/// GET /v2
void AppendServerMetadata(std::string& out, std::string_view server_version);
/// GET /v2/models/M[/versions/V]; `versions` are the ready ones.
void AppendModelMetadata(std::string& out, const ServableVersion& version,
                         std::span<const int64_t> versions);

}  // namespace leadsman::v2
