#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lifecycle/manager.h"
#include "serving/model_statistics.h"

namespace leadsman::v2 {

/// What is shown of `counted`, over REST and gRPC alike: every ready version in `table` (of that model, of that version),
/// by model and version; zeros for those that `counted` does not have. An empty `model` means all.
std::vector<ModelStatistics> StatisticsOfReady(const ServableTable& table,
                                               std::span<const ModelStatistics> counted,
                                               std::string_view model,
                                               std::optional<int64_t> version);

/// GET /v2/models[/M[/versions/V]]/stats: StatisticsOfReady as JSON.
void AppendStatistics(std::string& out, const ServableTable& table,
                      std::span<const ModelStatistics> counted, std::string_view model,
                      std::optional<int64_t> version);

}  // namespace leadsman::v2
