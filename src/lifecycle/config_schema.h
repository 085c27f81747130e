#pragma once

#include <string>

#include "base/schema.h"
#include "lifecycle/manager.h"
#include "lifecycle/types.h"

namespace leadsman {

/// The table of what the lifecycle and the serving room need to know of one model. Immutable;
/// thread-safe.
const schema::Struct<ModelConfig>& ModelConfigSchema();

/// The table of the loading of models in the whole process.
const schema::Struct<LifecycleManager::Options>& LifecycleOptionsSchema();

/// What is wrong with a model name or a label, or nothing: letters, digits and "_-.", not at the
/// front a "-" or ".".
std::string CheckModelName(const std::string& name);

}  // namespace leadsman
