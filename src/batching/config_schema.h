#pragma once

#include "base/schema.h"
#include "batching/config.h"

namespace leadsman {

/// The table of a model's `batching:` section.
const schema::Struct<BatchingConfig>& BatchingConfigSchema();

}  // namespace leadsman
