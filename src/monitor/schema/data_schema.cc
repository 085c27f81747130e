#include "monitor/schema/data_schema.h"

#include <algorithm>
#include <set>

#include "base/fs.h"
#include "base/strings.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

/// What infer writes at most: names and categories of kMaxName bytes, each of its bytes escaped.
constexpr ConfigLimits kLimits{.max_bytes = 16 << 20, .max_depth = 8, .max_nodes = 200'000};

std::string CheckName(const std::string& name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > DataSchema::kMaxName) return "must have at most 128 bytes";
  return "";
}

std::string CheckCategory(const std::string& name) {
  return name.size() > DataSchema::kMaxName ? "must have at most 128 bytes" : "";
}

bool IsNumeric(FeatureType type) {
  return type == FeatureType::kNumber || type == FeatureType::kInteger;
}

void CheckFeature(const FeatureSchema& feature, schema::Problems& problems) {
  const bool typed = problems.IsSound("type");
  if (typed && !IsNumeric(feature.type)) {
    for (const char* key : {"min", "max"}) {
      if (problems.IsGiven(key)) problems.Add(key, "is of types number and integer alone");
    }
  }
  if (feature.min && feature.max && *feature.max < *feature.min && problems.IsSound("min")) {
    problems.Add("max", "must not be below min");
  }
  if (!typed || feature.categories.empty()) return;
  if (feature.type == FeatureType::kBoolean || feature.type == FeatureType::kAny) {
    problems.Add("categories", "are of types text, number and integer alone");
  }
  for (size_t i = 0; IsNumeric(feature.type) && i < feature.categories.size(); ++i) {
    if (!ParseDouble(feature.categories[i]))
      problems.Add(StrCat("categories[", i, "]"), "must be a number, as the feature's type says");
  }
}

const schema::Struct<FeatureSchema>& FeatureSchemaTable() {
  static const auto table = [] {
    using Type = FeatureType;
    schema::Struct<FeatureSchema> s("FeatureSchema", "What the values of one feature have to be.");
    s.Required("name", &FeatureSchema::name, schema::TextWith("1 to 128 bytes", CheckName),
               "The column's or member's name; of rows without names the place alone counts.");
    s.Required(
        "type", &FeatureSchema::type,
        schema::Enum<Type>({{"number", Type::kNumber},
                            {"integer", Type::kInteger},
                            {"boolean", Type::kBoolean},
                            {"text", Type::kText},
                            {"any", Type::kAny}}),
        "integer: whole numbers, as 3 or 3.0; boolean: true, false, 1, 0; text: compared with "
        "the categories.");
    s.Field("min", &FeatureSchema::min, schema::Optional(schema::Number()),
            "The smallest value; absent: any.");
    s.Field("max", &FeatureSchema::max, schema::Optional(schema::Number()),
            "The largest value; absent: any.");
    s.Field("categories", &FeatureSchema::categories,
            schema::List(schema::TextWith("at most 128 bytes", CheckCategory), 0,
                         DataSchema::kMaxCategories),
            "The only values there are; empty: any. Of numbers too: [1, 2, 5].");
    s.Field("missing", &FeatureSchema::missing, schema::Share(),
            "In what share of rows it is null, empty or NaN; 0: never. More than twice that and a "
            "hundredth is a violation.");
    s.Field("non_finite", &FeatureSchema::non_finite, schema::Share(), "The same of infinities.");
    s.Field("values", &FeatureSchema::values,
            schema::Integer<size_t>(0, static_cast<int64_t>(DataSchema::kMaxValues)),
            "How many values a row has of it: 784 of an image; 0: any number.");
    s.Field("optional", &FeatureSchema::optional, schema::Boolean(),
            "Whether a row need not have it at all.");
    s.Check(CheckFeature);
    return s;
  }();
  return table;
}

const schema::Struct<SchemaOrigin>& SchemaOriginTable() {
  static const auto table = [] {
    using From = SchemaOrigin::From;
    schema::Struct<SchemaOrigin> s("SchemaOrigin", "What an inferred schema was made of.");
    s.Field("from", &SchemaOrigin::from,
            schema::Enum<From>({{"first_requests", From::kFirstRequests}, {"file", From::kFile}}),
            "Of requests, or of a table.");
    s.Field("rows", &SchemaOrigin::rows, schema::Integer<uint64_t>(0), "How many.");
    s.Field("unseen_share", &SchemaOrigin::unseen_share, schema::Share(),
            "The share of rows to expect beyond the schema though nothing has changed; what alarms "
            "accept in addition.");
    s.Field("at", &SchemaOrigin::at, schema::Text(), "When.");
    return s;
  }();
  return table;
}

void CheckSchema(const DataSchema& schema, schema::Problems& problems) {
  std::set<std::string_view> names;
  size_t categories = 0;
  for (size_t i = 0; i < schema.features.size(); ++i) {
    const FeatureSchema& feature = schema.features[i];
    const std::string name = StrCat("features[", i, "].name");
    if (problems.IsSound(name) && !names.insert(feature.name).second)
      problems.Add(name, StrCat("there is another feature ", CutUtf8(feature.name, 40)));
    categories += feature.categories.size();
  }
  if (categories > DataSchema::kMaxAllCategories)
    problems.Add("features", StrCat("have more than ", DataSchema::kMaxAllCategories,
                                    " categories in all; leave those of some away"));
}

std::string RangeText(const FeatureSchema& f) {
  if (f.min && f.max) return StrCat("must be from ", *f.min, " to ", *f.max);
  return f.min ? StrCat("must be at least ", *f.min)
               : StrCat("must be at most ", f.max.value_or(0));
}

std::string ShareText(double share, std::string_view what) {
  if (share <= 0) return StrCat("must not be ", what);
  return StrCat("may be ", what, " in ", PercentText(AllowedShare(share)), " of the rows at most");
}

std::string TypeText(FeatureType type) {
  switch (type) {
    case FeatureType::kNumber:
      return "must be a number";
    case FeatureType::kInteger:
      return "must be a whole number";
    case FeatureType::kBoolean:
      return "must be true or false";
    case FeatureType::kText:
      return "must be a text";
    case FeatureType::kAny:
      break;
  }
  return "may be anything";
}

}  // namespace

std::string_view FeatureTypeName(FeatureType type) {
  constexpr std::string_view kNames[] = {"number", "integer", "boolean", "text", "any"};
  return kNames[static_cast<size_t>(type)];
}

std::string_view SchemaRuleName(SchemaRule rule) {
  constexpr std::string_view kNames[] = {"missing",    "type",  "range",  "category",
                                         "non_finite", "shape", "absent", "unexpected"};
  static_assert(std::size(kNames) == kSchemaRules);
  return kNames[static_cast<size_t>(rule)];
}

const schema::Struct<DataSchema>& DataSchemaTable() {
  static const auto table = [] {
    schema::Struct<DataSchema> s("DataSchema",
                                 "What the rows of a model's input have to look like.");
    s.Required("features", &DataSchema::features,
               schema::List(schema::Of(FeatureSchemaTable()), 1, DataSchema::kMaxFeatures),
               "The features, in the order of the model's input.");
    s.Field("allow_others", &DataSchema::allow_others, schema::Boolean(),
            "Whether rows may have features that are not named here, as ids and labels.");
    s.Field("inferred", &DataSchema::inferred, schema::Optional(schema::Of(SchemaOriginTable())),
            "What it was made of; absent when somebody has written it.");
    s.Check(CheckSchema);
    return s;
  }();
  return table;
}

std::string DataSchemaReference(bool json_schema) {
  if (json_schema) {
    return schema::JsonSchema(DataSchemaTable(), "urn:leadsman:data-schema",
                              "Schema of a model's input");
  }
  return schema::MarkdownReference(DataSchemaTable(), "Data schema",
                                   "<!-- Generated by `leadsman reference schema`; a test "
                                   "compares. Change the tables in the code "
                                   "instead. -->\n\n"
                                   "What `leadsman schema infer` writes, `schema check` and "
                                   "`monitoring.schema.path` read: YAML or "
                                   "JSON. Unknown keys are errors.\n"
                                   "For editors there is a JSON Schema: `data-schema.schema.json` "
                                   "beside this page. What is done "
                                   "with it stands in\n"
                                   "[schema.md](../schema.md).\n\n"
                                   "```yaml\n"
                                   "features:\n"
                                   "  - {name: age, type: integer, min: 18, max: 95}\n"
                                   "  - {name: income, type: number, min: 0, missing: 2%}\n"
                                   "  - {name: colour, type: text, categories: [blue, red]}\n"
                                   "```");
}

double AllowedShare(double seen) { return seen > 0 ? std::min(1.0, 2 * seen + 0.01) : 0; }

std::string ExpectedText(const FeatureSchema& feature, SchemaRule rule) {
  switch (rule) {
    case SchemaRule::kMissing:
      return ShareText(feature.missing, "missing");
    case SchemaRule::kType:
      return TypeText(feature.type);
    case SchemaRule::kRange:
      return RangeText(feature);
    case SchemaRule::kCategory:
      return StrCat("must be one of ", feature.categories.size(), " categories");
    case SchemaRule::kNonFinite:
      return ShareText(feature.non_finite, "infinite");
    case SchemaRule::kShape:
      return StrCat("must have ", feature.values, feature.values == 1 ? " value" : " values");
    case SchemaRule::kAbsent:
      return "must be there";
    case SchemaRule::kUnexpected:
      break;
  }
  return "is not in the schema";
}

Result<DataSchema> ParseDataSchema(std::string_view text, std::string_view file) {
  std::vector<ConfigProblem> problems;
  ConfigNode root;
  DataSchema schema;
  const bool parsed = file.ends_with(".json") ? ParseJson(text, kLimits, root, problems)
                                              : ParseYaml(text, kLimits, root, problems);
  if (parsed) {
    if (root.kind == ConfigNode::Kind::kNull) root.kind = ConfigNode::Kind::kMap;  // an empty file
    schema::Reader reader(problems);
    DataSchemaTable().Read(root, schema, reader);
  }
  if (!problems.empty()) {
    std::string all = FormatProblems(file, problems);
    while (all.ends_with('\n')) all.pop_back();
    return InvalidArgumentError(std::move(all));
  }
  for (FeatureSchema& feature : schema.features)
    std::sort(feature.categories.begin(), feature.categories.end());
  return schema;
}

bool IsDataSchemaName(std::string_view path) {
  return path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json");
}

Result<DataSchema> ReadDataSchema(const std::string& path) {
  if (!IsDataSchemaName(path)) {
    return InvalidArgumentError(
        StrCat(path, ": the name of a schema must end in .yaml, .yml or .json"));
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kLimits.max_bytes));
  return ParseDataSchema(text, path);
}

std::string DataSchemaJson(const DataSchema& schema) {
  return schema::WriteJson(DataSchemaTable(), schema);
}

std::string DataSchemaYaml(const DataSchema& schema) {
  std::string out;
  auto line = [&out](std::string_view key, const auto& value) {
    out += StrCat(key, ": ", value, "\n");
  };
  if (schema.inferred) {
    out += "inferred:\n";
    const bool file = schema.inferred->from == SchemaOrigin::From::kFile;
    line("  from", file ? "file" : "first_requests");
    line("  rows", schema.inferred->rows);
    line("  unseen_share", schema.inferred->unseen_share);
    if (!schema.inferred->at.empty()) {
      out += "  at: ";
      AppendJsonString(out, schema.inferred->at);
      out += '\n';
    }
  }
  if (schema.allow_others) line("allow_others", "true");
  out += "features:\n";
  for (const FeatureSchema& f : schema.features) {
    out += "  - name: ";
    AppendJsonString(out, f.name);
    out += '\n';
    line("    type", FeatureTypeName(f.type));
    if (f.min) line("    min", *f.min);
    if (f.max) line("    max", *f.max);
    for (size_t i = 0; i < f.categories.size(); ++i) {
      out += i == 0 ? "    categories: [" : ", ";
      AppendJsonString(out, f.categories[i]);
    }
    if (!f.categories.empty()) out += "]\n";
    if (f.missing > 0) line("    missing", f.missing);
    if (f.non_finite > 0) line("    non_finite", f.non_finite);
    if (f.values != 1) line("    values", f.values);
    if (f.optional) line("    optional", "true");
  }
  return out;
}

}  // namespace leadsman
