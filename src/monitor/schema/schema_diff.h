#pragma once

#include <string>
#include <vector>

#include "monitor/schema/data_schema.h"

namespace leadsman {

/// One difference of two schemas, as text: "min", "18", "21".
struct SchemaChange {
  std::string feature;        ///< empty: of the schema as a whole
  std::string what;           ///< "feature", "place", "type", "min", "categories", …
  std::string before, after;  ///< "-": not there
};

/// What differs, in the order of `before`, then what is new. Where a schema came from is no difference.
std::vector<SchemaChange> DiffSchemas(const DataSchema& before, const DataSchema& after);

}  // namespace leadsman
