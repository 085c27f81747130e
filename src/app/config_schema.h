#pragma once

#include <string>
#include <vector>

#include "app/config.h"
#include "base/schema.h"

namespace leadsman {

/// The tables of the configuration that more than the reader of files needs: flags are words of the same types.
const schema::Struct<Config::Model>& ConfigModelSchema();
schema::TypePtr<std::string> AddressType();
schema::TypePtr<LogLevel> LogLevelType();
schema::TypePtr<Config::LogFormat> LogFormatType();
schema::TypePtr<Config::Reload> ReloadType();

/// What no single section of a file can know, "setting: what is wrong" each, of a configuration that was read before.
std::vector<std::string> ConfigConflicts(const Config& config);

}  // namespace leadsman
