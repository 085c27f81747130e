#pragma once

#include <string>

#include "app/config.h"

namespace leadsman {

/// What of requests a process with this configuration keeps where and for how long, and what leaves the machine: JSON with the
/// keys `kept` (a list of `what`, `where`, `how_long`, `texts`), `leaves` (`what`, `to`), `never` and `redact`. Reads no file.
std::string PrivacyReportJson(const Config& config);

/// The same for people; `json` is what PrivacyReportJson gave.
std::string PrivacyReportText(const std::string& json);

}  // namespace leadsman
