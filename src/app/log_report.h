#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "app/config.h"
#include "intake/source_view.h"
#include "monitor/observed.h"

namespace leadsman {

/// What was observed, one object a model and version.
nlohmann::ordered_json ObservedJson(const std::vector<ObservedVersion>& models);

/// What logs tell, as JSON: {"models": […], "sources": […]}; GET /api/v1/logs and `leadsman monitor --once` answer with it.
std::string LogReportJson(const std::vector<ObservedVersion>& models,
                          const std::vector<intake::SourceView>& sources);

/// What keeps logs from being read: none is there yet, or it is not recognised. One sentence each.
std::vector<std::string> LogNotes(const std::vector<intake::SourceView>& sources);

/// Reads the logs of `config` to their end, in memory, and reports. NOT_FOUND when no file is there.
Result<std::string> ReportLogsOnce(const Config& config);

}  // namespace leadsman
