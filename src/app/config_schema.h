#pragma once

#include <functional>
#include <string>

#include "app/config.h"
#include "base/schema.h"

namespace leadsman {

/// The tables of the configuration that more than the reader of files needs: flags are words of the same types.
const schema::Struct<Config::Model>& ConfigModelSchema();
schema::TypePtr<std::string> AddressType();
schema::TypePtr<LogLevel> LogLevelType();
schema::TypePtr<Config::LogFormat> LogFormatType();
schema::TypePtr<Config::Reload> ReloadType();

/// What a check may ask and say; a file answers from its text, flags were read before.
struct CheckSink {
  std::function<void(const std::string& path, std::string message)> add;
  std::function<bool(const std::string& path)> is_sound;
  std::function<bool(const std::string& path)> is_given;
};

/// What no single section can know. Used on files and, once more, after flags were put over them.
void CheckConfig(const Config& config, const CheckSink& sink);

}  // namespace leadsman
