#pragma once

#include "base/schema.h"
#include "intake/log_source.h"

namespace leadsman::intake {

/// The table of one source of logs. Immutable; thread-safe.
const schema::Struct<LogSource>& LogSourceSchema();

}  // namespace leadsman::intake
