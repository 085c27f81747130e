#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config_node.h"
#include "base/schema.h"
#include "base/status.h"

namespace leadsman {

enum class FeatureType : uint8_t { kNumber, kInteger, kBoolean, kText, kAny };
std::string_view FeatureTypeName(FeatureType type);  ///< "number", "integer", …

/// What a row can do wrong with a feature. A value breaks the first one only, in the order type, range, category.
enum class SchemaRule : uint8_t {
  kMissing,     ///< null, empty, NaN: where that does not occur, or more often than it may
  kType,        ///< a text for a number, 0.5 for an integer
  kRange,       ///< below min or above max
  kCategory,    ///< none of the categories
  kNonFinite,   ///< an infinity, likewise as missing
  kShape,       ///< another number of values
  kAbsent,      ///< the row does not have the feature
  kUnexpected,  ///< the schema does not have the feature
};
inline constexpr size_t kSchemaRules = 8;
std::string_view SchemaRuleName(SchemaRule rule);  ///< "missing", "type", …

/// What the values of one feature have to be: a column of a table, one value of the model's input, or all of them.
struct FeatureSchema {
  std::string name;
  FeatureType type = FeatureType::kNumber;
  std::optional<double> min, max;
  std::vector<std::string> categories;  ///< sorted; empty: all
  double missing = 0;                   ///< share of rows in which it occurs; 0: it must not
  double non_finite = 0;                ///< likewise
  size_t values = 1;                    ///< of one row; 0: any number of them
  bool optional = false;                ///< a row need not have it

  friend bool operator==(const FeatureSchema&, const FeatureSchema&) = default;
};

/// Where a schema came from that nobody has written.
struct SchemaOrigin {
  enum class From : uint8_t { kFirstRequests, kFile };
  From from = From::kFile;
  uint64_t rows = 0;
  /// Share of rows that would break it if nothing changed: of the rows it was made of, how many would
  /// break what the others alone make (Good 1953, for ranges and categories alike).
  double unseen_share = 0;
  std::string at;  ///< when, as 2026-03-01T12:00:00Z

  friend bool operator==(const SchemaOrigin&, const SchemaOrigin&) = default;
};

/// What rows have to look like. Features are matched by name where rows have names, else by their place. A value type; made by
/// SchemaBuilder or read from a file; RowCheck holds rows against it.
struct DataSchema {
  static constexpr size_t kMaxFeatures = 1024;
  static constexpr size_t kMaxCategories = 100;  ///< of a feature
  static constexpr size_t kMaxAllCategories = 10'000;
  static constexpr size_t kMaxName = 128;        ///< bytes of a name or a category
  static constexpr size_t kMaxValues = 1 << 20;  ///< of a row
  /// Rows without names of up to so many values have a feature for each; longer ones have one for all.
  static constexpr size_t kMaxPlaces = 64;

  std::vector<FeatureSchema> features;
  bool allow_others = false;  ///< features that are not named here are none of its business
  std::optional<SchemaOrigin> inferred;

  friend bool operator==(const DataSchema&, const DataSchema&) = default;
};

/// The table of the file's form: reads it, writes it, documents it.
const schema::Struct<DataSchema>& DataSchemaTable();

/// Its reference page as Markdown, or as JSON Schema.
std::string DataSchemaReference(bool json_schema);

/// The share of rows that may do so before it counts as broken: what was seen, and as much again and one in a hundred, since
/// shares move by themselves. 0: none.
double AllowedShare(double seen);

/// What the rule asks of the feature, without a value of any row: "must be from 18 to 95".
std::string ExpectedText(const FeatureSchema& feature, SchemaRule rule);

/// INVALID_ARGUMENT with one problem a line, as "schema.yaml:3:5: features[0].min: …".
Result<DataSchema> ParseDataSchema(std::string_view text, std::string_view file);
/// A .yaml, .yml or .json file.
Result<DataSchema> ReadDataSchema(const std::string& path);
bool IsDataSchemaName(std::string_view path);

/// Both are read back as the same schema.
std::string DataSchemaYaml(const DataSchema& schema);
std::string DataSchemaJson(const DataSchema& schema);

}  // namespace leadsman
