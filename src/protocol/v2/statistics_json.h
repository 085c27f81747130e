#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lifecycle/manager.h"
#include "serving/model_statistics.h"

namespace leadsman::v2 {

/// GET /v2/models[/M[/versions/V]]/stats: of every ready version in `table` (of that model, of that
/// version), zeros for those that `counted` does not have.
void AppendStatistics(std::string& out, const ServableTable& table,
                      std::span<const ModelStatistics> counted, std::string_view model,
                      std::optional<int64_t> version);

}  // namespace leadsman::v2
