#pragma once

#include <string>
#include <vector>

#include "app/config.h"

namespace leadsman {

/// Reads what a configuration names beside models, as a start would: certificates, keys, tokens. INVALID_ARGUMENT has all
/// problems, one a line, each with its setting. Blocks for the files.
Status CheckNamedFiles(const Config& config);

/// That each model's format is one that can be served: of the built-in ones or `of_plugins`. And that a model's path on a file
/// system, where there is something, is a folder. INVALID_ARGUMENT as above.
Status CheckModels(const Config& config, const std::vector<std::string>& of_plugins);

}  // namespace leadsman
