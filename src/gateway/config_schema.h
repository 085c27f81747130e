#pragma once

#include "base/schema.h"
#include "gateway/config.h"

namespace leadsman::gateway {

/// The table of the section `gateway`. Immutable; thread-safe.
const schema::Struct<Options>& OptionsSchema();

}  // namespace leadsman::gateway
