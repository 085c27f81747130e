#pragma once

#include "app/config.h"

namespace leadsman {

/// Reads what a configuration names beside models, as a start would: certificates, keys, tokens. INVALID_ARGUMENT has all
/// problems, one a line, each with its setting. Blocks for the files.
Status CheckNamedFiles(const Config& config);

}  // namespace leadsman
