// Schemas and the tables that they are inferred from. Whatever the bytes, the parsers answer; a schema that one takes is written
// to text that reads as the same; what a table makes, its own rows keep. The first byte chooses the parser.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "monitor/schema/data_file.h"
#include "monitor/schema/data_schema.h"
#include "monitor/schema/row_check.h"
#include "monitor/schema/schema_builder.h"
#include "monitor/schema/schema_diff.h"

namespace leadsman {
namespace {

void CheckSome(const DataSchema& schema) {
  RowCheck check(std::make_shared<const DataSchema>(schema));
  const float row[] = {0,
                       -1,
                       0.5f,
                       std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN(),
                       1e30f};
  for (size_t width = 0; width <= std::size(row); ++width)
    check.Check(std::span(row).first(width), width);
  check.CloseBlock(7);
  CHECK(check.violating() <= check.rows());
  (void)check.violations();
}

void Schemas(std::string_view text, std::string_view file) {
  auto schema = ParseDataSchema(text, file);
  if (!schema.ok()) return;
  auto yaml = ParseDataSchema(DataSchemaYaml(*schema), "again.yaml");
  CHECK(yaml.ok() && *yaml == *schema);
  auto json = ParseDataSchema(DataSchemaJson(*schema), "again.json");
  CHECK(json.ok() && *json == *schema);
  CHECK(DiffSchemas(*schema, *json).empty());
  CheckSome(*schema);
}

void Tables(std::string_view text, Status (*read)(std::string_view, const DataRowSink&)) {
  SchemaBuilder builder(0.1);
  if (!read(text, [&](const DataRow& row) { builder.Add(row); }).ok()) return;
  auto schema = builder.Build(SchemaOrigin::From::kFile, "now");
  if (!schema.ok()) return;
  Schemas(DataSchemaYaml(*schema), "made.yaml");
  CHECK(ParseDataSchema(DataSchemaYaml(*schema), "made.yaml").ok());
  RowCheck check(std::make_shared<const DataSchema>(std::move(*schema)));
  CHECK(read(text, [&](const DataRow& row) { CHECK(check.Check(row)); }).ok());
  check.CloseBlock(0);
  CHECK(check.violating() == 0);
}

}  // namespace
}  // namespace leadsman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      Schemas(bytes, "schema.yaml");
      break;
    case 1:
      Schemas(bytes, "schema.json");
      break;
    case 2:
      Tables(bytes, ReadCsvRows);
      break;
    default:
      Tables(bytes, ReadJsonRows);
      break;
  }
  return 0;
}
