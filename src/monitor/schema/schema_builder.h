#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "monitor/schema/data_row.h"
#include "monitor/schema/data_schema.h"

namespace leadsman {

/// Makes a schema that all rows it has seen keep.
///
/// Ranges are as wide as the values and `margin` of that on both sides more, though never across zero: what was never negative
/// must not be; integers that are 0 and 1 alone stay so. Texts of at most kMaxCategories different ones, each there twice on average, become categories; those of
/// numbers never do. Bounded: kMaxFeatures, and of each a few numbers and kMaxCategories texts. Externally synchronised.
class SchemaBuilder {
 public:
  explicit SchemaBuilder(double margin) : margin_(margin) {}

  void Add(const DataRow& row);
  /// A row of numbers by place; NaN: missing. Those that are not as wide as the first one are passed over while they are one in
  /// a hundred at most; else rows vary, and there is one feature for all that comes.
  void Add(std::span<const float> row);
  /// The same of named values: rows may differ in what they have. `names` has one for each place.
  void Add(std::span<const float> row, std::span<const std::string> names);
  uint64_t rows() const { return rows_ + passed_over_; }

  /// INVALID_ARGUMENT without a row, or with too many features.
  Result<DataSchema> Build(SchemaOrigin::From from, std::string at) const;

 private:
  /// The two smallest and largest values: what one of the rows alone makes the range, and what it
  /// would be without.
  struct Extremes {
    double lowest = 0, second_lowest = 0, highest = 0, second_highest = 0;
    uint64_t count = 0;
    void Add(double value);
  };
  struct Feature {
    std::string name;
    uint64_t rows = 0;           ///< that have it
    uint64_t missing_rows = 0;   ///< of these, with a value that is missing
    uint64_t infinite_rows = 0;  ///< likewise
    uint64_t booleans = 0, texts = 0, fractions = 0;
    uint64_t without_text = 0;  ///< values that are there, but not as text
    Extremes extremes;          ///< of finite numbers
    size_t values = 0;          ///< of the first row
    bool ragged = false;        ///< others had another number of values
    bool many = false;          ///< more texts than categories: these are not counted any more
    std::map<std::string, uint64_t, std::less<>> categories;
  };
  struct Range {
    double min = 0, max = 0;
  };
  void TakeValues(std::span<const float> row);
  Feature* Find(const DataField& field, size_t place);
  Feature& Append(std::string name);
  static void AddRow(std::span<const DataValue> values, Feature& feature);
  static void AddValue(const DataValue& value, Feature& feature, bool& missing, bool& infinite);
  static FeatureType TypeOf(const Feature& feature);
  static bool HasCategories(const Feature& feature);
  Range RangeOf(double low, double high, bool whole) const;
  FeatureSchema Describe(const Feature& feature, uint64_t rows) const;
  /// How many rows would break what the others make of this feature.
  double Unseen(const Feature& feature, const FeatureSchema& schema, uint64_t rows) const;

  const double margin_;
  uint64_t rows_ = 0;
  bool too_many_ = false;
  std::vector<Feature> features_;
  std::unordered_map<std::string, size_t> by_name_;
  // Of rows of numbers.
  size_t width_ = 0;  ///< of the first one
  uint64_t passed_over_ = 0;
  Feature all_;  ///< of whatever width
  std::vector<DataValue> values_;
};

}  // namespace leadsman
