#include "monitor/schema/schema_reports.h"

#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "monitor/schema/data_file.h"
#include "monitor/schema/row_check.h"
#include "monitor/schema/schema_builder.h"
#include "monitor/schema/schema_diff.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<DataSchema> InferSchema(const std::string& path, double margin, WallTime now) {
  SchemaBuilder builder(margin);
  RETURN_IF_ERROR(ReadDataFile(path, [&](const DataRow& row) { builder.Add(row); }));
  auto schema = builder.Build(SchemaOrigin::From::kFile, FormatRfc3339(now));
  if (!schema.ok()) return Annotate(schema.status(), path);
  return schema;
}

Result<DataSchema> ReadOrInferSchema(const std::string& path, double margin, WallTime now) {
  if (IsDataSchemaName(path)) return ReadDataSchema(path);
  if (IsDataFileName(path)) return InferSchema(path, margin, now);
  return InvalidArgumentError(StrCat(
      path,
      ": the name must end in .yaml, .yml or .json, or, of a table, in .csv, .jsonl, .ndjson "
      "or .npz"));
}

Result<std::string> CheckReport(const std::string& path, const std::string& schema_path) {
  ASSIGN_OR_RETURN(DataSchema schema, ReadDataSchema(schema_path));
  RowCheck check(std::make_shared<const DataSchema>(std::move(schema)));
  uint64_t last = 0;
  MisfitRows misfits;
  RETURN_IF_ERROR(ReadDataFile(
      path,
      [&](const DataRow& row) {
        check.Check(row);
        last = row.at;
      },
      &misfits));
  if (check.rows() == 0) return InvalidArgumentError(StrCat(path, ": has no rows"));
  check.CloseBlock(last);
  Json violations = Json::array();
  if (misfits.count > 0) {
    violations.push_back({{"feature", "(row)"},
                          {"rule", "columns"},
                          {"expected", StrCat(misfits.columns, " cells, as the header")},
                          {"count", misfits.count},
                          {"first_rows", misfits.first}});
  }
  for (const RowCheck::Violation& v : check.violations()) {
    Json rows = Json::array();
    for (size_t i = 0; i < v.tally.kept; ++i) rows.push_back(v.tally.first[i]);
    violations.push_back({{"feature", v.feature},
                          {"rule", SchemaRuleName(v.rule)},
                          {"expected", v.expected},
                          {"count", v.tally.count},
                          {"first_rows", std::move(rows)}});
  }
  return Dump({{"file", path},
               {"schema", schema_path},
               {"rows", check.rows() + misfits.count},
               {"violating_rows", check.violating() + misfits.count},
               {"row_word", RowWord(path)},
               {"violations", std::move(violations)}});
}

Result<std::string> DiffReport(const std::string& before_path, const std::string& after_path) {
  ASSIGN_OR_RETURN(DataSchema before, ReadDataSchema(before_path));
  ASSIGN_OR_RETURN(DataSchema after, ReadDataSchema(after_path));
  Json changes = Json::array();
  for (const SchemaChange& c : DiffSchemas(before, after)) {
    changes.push_back(
        {{"feature", c.feature}, {"what", c.what}, {"before", c.before}, {"after", c.after}});
  }
  return Dump({{"before", before_path}, {"after", after_path}, {"changes", std::move(changes)}});
}

}  // namespace leadsman
