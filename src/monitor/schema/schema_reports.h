#pragma once

#include <cstddef>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/schema/data_schema.h"

namespace leadsman {

/// The schema of a table, or the one that a schema's own file holds. Blocks while it reads.
Result<DataSchema> InferSchema(const std::string& path, double margin, WallTime now);
Result<DataSchema> ReadOrInferSchema(const std::string& path, double margin, WallTime now);

/// What rows of a table do not keep, as JSON: file, schema, rows, violating_rows, row_word, violations (feature, rule, expected,
/// count, first_rows). For the command line.
Result<std::string> CheckReport(const std::string& path, const std::string& schema_path);
/// What differs, as JSON: changes (feature, what, before, after).
Result<std::string> DiffReport(const std::string& before_path, const std::string& after_path);

}  // namespace leadsman
