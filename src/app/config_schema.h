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

/// Whether it is a service of the section gateway.
bool HasService(const Config& config, const std::string& name);
/// Why no requests of a model can be copied for a candidate; empty: they can.
std::string WhyNoCopies(const Config& config, const std::string& name);

/// What no single section of a file can know, "setting: what is wrong" each, of a configuration that was read before.
std::vector<std::string> ConfigConflicts(const Config& config);

}  // namespace leadsman
