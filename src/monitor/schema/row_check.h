#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "monitor/schema/data_row.h"
#include "monitor/schema/data_schema.h"

namespace leadsman {

/// Holds rows against a schema and counts what they break, by feature and rule: a row once for each. Keeps counts and places,
/// never values. Bounded by the schema's features, and kMaxUnexpected others. Externally synchronised.
class RowCheck {
 public:
  static constexpr size_t kMaxUnexpected = 64;
  static constexpr size_t kKeptRows = 5;

  explicit RowCheck(std::shared_ptr<const DataSchema> schema);

  /// A row of numbers by place, NaN: missing; false when it breaks the schema. Texts cannot come so: features of that type are
  /// not looked at. `at`: its line, or its time.
  bool Check(std::span<const float> row, uint64_t at);
  bool Check(const DataRow& row);
  /// The names of the places of rows of numbers: from here on their values are those of the features of
  /// these names. While none of them is in the schema, features stand in its order.
  void NamePlaces(std::vector<std::string> names);
  /// What is missing or infinite now and then is judged by its share of the rows since the last call.
  void CloseBlock(uint64_t at);

  const DataSchema& schema() const { return *schema_; }
  uint64_t rows() const { return rows_; }
  uint64_t violating() const { return violating_; }
  uint64_t block_rows() const { return block_rows_; }

  struct Tally {
    uint64_t count = 0;
    std::array<uint64_t, kKeptRows>
        first{};  ///< `at` of the first ones, as many as `kept`: none of shares
    uint64_t last = 0;
    uint8_t kept = 0;
  };
  struct Violation {
    std::string feature;  ///< "(others)": further ones that the schema does not have
    SchemaRule rule = SchemaRule::kMissing;
    std::string expected;
    Tally tally;
    size_t place = SIZE_MAX;  ///< of the feature in the schema; none of those it does not have
  };
  /// The most frequent first.
  std::vector<Violation> violations() const;

 private:
  /// What one number may be; bounds of the width that it comes in.
  struct Limits {
    double min = 0, max = 0;
    bool numeric = false;  ///< else anything goes
    bool whole = false;
    bool boolean = false;
    std::vector<double> categories;  ///< empty: all
  };
  struct Feature {
    Limits wide, narrow;  ///< of doubles, of floats
    uint32_t block_missing = 0, block_infinite = 0;
    std::unique_ptr<std::array<Tally, kSchemaRules>> tallies;  ///< none while all is well
  };
  /// What is well at a glance; all else is looked at with care. Small: a row's lie together in the cache.
  struct Glance {
    float low = 1, high = -1;  ///< nothing is
    bool whole = false;
    bool Covers(float value) const {
      return value >= low && value <= high &&
             (!whole || value == static_cast<float>(static_cast<int32_t>(value)));
    }
  };
  using Broken = uint8_t;  ///< a bit for each rule

  static Glance GlanceOf(const Limits& narrow);
  static Broken BrokenBy(double value, const Limits& limits);
  Broken CheckValue(const DataValue& value, const FeatureSchema& schema,
                    const Limits& limits) const;
  Broken CheckFloats(std::span<const float> values, size_t feature) const;
  bool CheckFlat(std::span<const float> row, uint64_t at);
  bool CheckNamed(std::span<const float> row, uint64_t at);
  /// Counts what is broken; true when anything is, beyond what occurs now and then.
  bool Note(size_t feature, Broken broken, uint64_t at);
  void NoteUnexpected(std::string_view name, uint64_t at);
  bool EndRow(bool kept);
  void CloseShare(size_t feature, SchemaRule rule, double seen, uint32_t& count, uint64_t at);
  size_t IndexOf(const DataField& field, size_t place) const;

  const std::shared_ptr<const DataSchema> schema_;
  std::vector<Feature> features_;
  std::vector<Glance> glances_;  ///< of the features
  bool flat_ = true;             ///< each has one value
  std::unordered_map<std::string_view, size_t> by_name_;
  std::vector<std::string> place_names_;  ///< empty: features stand in the schema's order
  std::vector<size_t> by_place_;          ///< the feature of the place, or none
  std::vector<uint64_t> seen_;            ///< by feature: the row that had it last
  std::map<std::string, Tally, std::less<>> unexpected_;
  Tally more_unexpected_;
  uint64_t rows_ = 0, violating_ = 0;
  uint64_t block_rows_ = 0, block_violating_ = 0;
};

}  // namespace leadsman
