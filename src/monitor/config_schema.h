#pragma once

#include "base/schema.h"
#include "monitor/config.h"

namespace leadsman {

/// The table of one model's monitoring. Immutable; thread-safe.
const schema::Struct<MonitorConfig>& MonitorConfigSchema();

/// The table of when findings become alarms.
const schema::Struct<AlarmOptions>& AlarmOptionsSchema();

/// The table of the monitor of the process. The database's place is not part of it: it follows from
/// data_dir.
const schema::Struct<MonitorOptions>& MonitorOptionsSchema();

}  // namespace leadsman
