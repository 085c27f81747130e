#include "monitor/schema/schema_builder.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace leadsman {
namespace {

using Kind = DataValue::Kind;

/// The shortest number that is the same as a float: 0.1 for 0.1f, not 0.10000000149011612.
double Widened(float value) {
  if (value == std::trunc(value)) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double wide = value;
  std::from_chars(text, end, wide);
  return wide;
}

/// In millionths, upwards.
double RoundedShare(double part, double of) {
  return std::min(1.0, std::ceil(part / of * 1e6) / 1e6);
}

/// `value` moved by less than a hundredth of `width`, down or up, to one with few digits.
double Rounded(double value, double width, bool up) {
  const double step = std::pow(10, std::floor(std::log10(width)) - 2);
  const double steps = value / step;
  if (!std::isfinite(steps) || step <= 0) return value;
  const double rounded = (up ? std::ceil(steps) : std::floor(steps)) * step;
  // 30 * 0.1 is 3.0000000000000004: the last digits are no part of it.
  char text[40];
  const auto end =
      std::to_chars(text, text + sizeof text, rounded, std::chars_format::general, 14).ptr;
  double clean = value;
  std::from_chars(text, end, clean);
  return up ? std::max(clean, value) : std::min(clean, value);
}

}  // namespace

void SchemaBuilder::Extremes::Add(double value) {
  if (count++ == 0) {
    lowest = second_lowest = highest = second_highest = value;
    return;
  }
  if (count == 2) {
    second_lowest = std::max(lowest, value);
    second_highest = std::min(highest, value);
  } else {
    second_lowest = std::min(second_lowest, std::max(lowest, value));
    second_highest = std::max(second_highest, std::min(highest, value));
  }
  lowest = std::min(lowest, value);
  highest = std::max(highest, value);
}

SchemaBuilder::Feature& SchemaBuilder::Append(std::string name) {
  by_name_.emplace(name, features_.size());
  Feature& feature = features_.emplace_back();
  feature.name = std::move(name);
  return feature;
}

SchemaBuilder::Feature* SchemaBuilder::Find(const DataField& field, size_t place) {
  if (place < features_.size() && (field.name.empty() || features_[place].name == field.name))
    return &features_[place];
  std::string name(field.name);
  if (name.empty()) {
    name = field.values.size() > DataSchema::kMaxPlaces ? "values" : StrCat("f", place);
    while (by_name_.contains(name)) name += '_';
  } else if (auto found = by_name_.find(name); found != by_name_.end()) {
    return &features_[found->second];
  }
  if (features_.size() == DataSchema::kMaxFeatures) {
    too_many_ = true;
    return nullptr;
  }
  return &Append(std::move(name));
}

void SchemaBuilder::AddValue(const DataValue& value, Feature& feature, bool& missing,
                             bool& infinite) {
  if (value.kind == Kind::kMissing) {
    missing = true;
    return;
  }
  if (value.kind == Kind::kBoolean) ++feature.booleans;
  if (value.kind == Kind::kText) ++feature.texts;
  if (!value.has_text()) ++feature.without_text;
  if (value.kind == Kind::kNumber) {
    if (std::isinf(value.number)) {
      infinite = true;
    } else {
      feature.extremes.Add(value.number);
      if (value.number != std::trunc(value.number)) ++feature.fractions;
    }
  }
  if (!value.has_text() || feature.many) return;
  auto known = feature.categories.find(value.text);
  if (known != feature.categories.end()) {
    ++known->second;
  } else if (feature.categories.size() < DataSchema::kMaxCategories &&
             value.text.size() <= DataSchema::kMaxName) {
    feature.categories.emplace(value.text, 1);
  } else {
    feature.many = true;
    feature.categories.clear();
  }
}

void SchemaBuilder::AddRow(std::span<const DataValue> values, Feature& feature) {
  if (feature.rows++ == 0) feature.values = values.size();
  feature.ragged = feature.ragged || feature.values != values.size();
  bool missing = false, infinite = false;
  for (const DataValue& value : values) AddValue(value, feature, missing, infinite);
  feature.missing_rows += missing ? 1 : 0;
  feature.infinite_rows += infinite ? 1 : 0;
}

void SchemaBuilder::Add(const DataRow& row) {
  ++rows_;
  for (size_t place = 0; place < row.fields.size(); ++place) {
    const DataField& field = row.fields[place];
    if (Feature* feature = Find(field, place)) AddRow(field.values, *feature);
  }
}

void SchemaBuilder::TakeValues(std::span<const float> row) {
  values_.assign(row.size(), {});
  for (size_t i = 0; i < row.size(); ++i) {
    if (!std::isnan(row[i])) values_[i] = {Kind::kNumber, Widened(row[i]), {}};
  }
}

void SchemaBuilder::Add(std::span<const float> row, std::span<const std::string> names) {
  if (row.empty()) return;
  TakeValues(row);
  std::vector<DataField> fields(std::min(row.size(), names.size()));
  for (size_t i = 0; i < fields.size(); ++i) fields[i] = {names[i], std::span(&values_[i], 1)};
  Add(DataRow{rows_, fields});
}

void SchemaBuilder::Add(std::span<const float> row) {
  if (row.empty()) return;
  if (width_ == 0) width_ = row.size();
  TakeValues(row);
  AddRow(values_, all_);
  if (row.size() != width_) {
    ++passed_over_;
    return;
  }
  const bool wide = row.size() > DataSchema::kMaxPlaces;
  std::vector<DataField> fields(wide ? 1 : row.size());
  for (size_t i = 0; i < fields.size(); ++i)
    fields[i].values = wide ? std::span<const DataValue>(values_) : std::span(&values_[i], 1);
  Add(DataRow{rows_, fields});
}

FeatureType SchemaBuilder::TypeOf(const Feature& f) {
  const uint64_t numbers = f.extremes.count;
  if (numbers + f.booleans + f.texts == 0) return FeatureType::kAny;  // never a value
  if (numbers == 0 && f.texts == 0) return FeatureType::kBoolean;
  if (f.texts == 0 && f.booleans == 0)
    return f.fractions == 0 ? FeatureType::kInteger : FeatureType::kNumber;
  // A mixture is text where all of it is written as text.
  const bool all_text = f.without_text == 0 || (numbers == 0 && f.booleans == 0);
  return all_text ? FeatureType::kText : FeatureType::kAny;
}

bool SchemaBuilder::HasCategories(const Feature& f) {
  uint64_t all = 0;
  for (const auto& [text, count] : f.categories) all += count;
  return !f.many && all >= 2 * f.categories.size();
}

SchemaBuilder::Range SchemaBuilder::RangeOf(double low, double high, bool whole) const {
  Range range{low, high};
  const bool yes_or_no = whole && low == 0 && high == 1;
  if (yes_or_no) return range;
  const double width = high - low;
  if (margin_ > 0 && width > 0 && std::isfinite(width)) {
    range.min = low - margin_ * width;
    range.max = high + margin_ * width;
    range.min = whole ? std::floor(range.min) : Rounded(range.min, width, false);
    range.max = whole ? std::ceil(range.max) : Rounded(range.max, width, true);
    if (!std::isfinite(range.min)) range.min = low;
    if (!std::isfinite(range.max)) range.max = high;
  }
  if (low >= 0) range.min = std::max(range.min, 0.0);
  if (high <= 0) range.max = std::min(range.max, 0.0);
  return range;
}

FeatureSchema SchemaBuilder::Describe(const Feature& f, uint64_t all_rows) const {
  FeatureSchema schema;
  schema.name = f.name;
  schema.type = TypeOf(f);
  schema.values = f.ragged ? 0 : f.values;
  schema.optional = f.rows < all_rows;
  const auto rows = static_cast<double>(f.rows);
  schema.missing = RoundedShare(static_cast<double>(f.missing_rows), rows);
  schema.non_finite = RoundedShare(static_cast<double>(f.infinite_rows), rows);
  const bool whole = schema.type == FeatureType::kInteger;
  if (whole || schema.type == FeatureType::kNumber) {
    const Range range = RangeOf(f.extremes.lowest, f.extremes.highest, whole);
    schema.min = range.min;
    schema.max = range.max;
  }
  if (schema.type == FeatureType::kText && HasCategories(f)) {
    for (const auto& [text, count] : f.categories) schema.categories.push_back(text);
  }
  return schema;
}

double SchemaBuilder::Unseen(const Feature& f, const FeatureSchema& schema,
                             uint64_t all_rows) const {
  double rows = 0;
  for (uint64_t only : {f.missing_rows, f.infinite_rows}) rows += only == 1 ? 1 : 0;
  if (all_rows - f.rows == 1 || f.rows == 1) ++rows;
  if (schema.type == FeatureType::kNumber && f.fractions == 1) ++rows;
  const Extremes& e = f.extremes;
  if (schema.min && e.count > 1) {
    const bool whole = schema.type == FeatureType::kInteger;
    if (e.lowest < RangeOf(e.second_lowest, e.highest, whole).min) ++rows;
    if (e.highest > RangeOf(e.lowest, e.second_highest, whole).max) ++rows;
  }
  if (!schema.categories.empty()) {
    for (const auto& [text, count] : f.categories) rows += count == 1 ? 1 : 0;
  }
  return rows;
}

Result<DataSchema> SchemaBuilder::Build(SchemaOrigin::From from, std::string at) const {
  if (rows_ == 0 || features_.empty()) return InvalidArgumentError("has no rows");
  if (too_many_) {
    return InvalidArgumentError(
        StrCat("has more than ", DataSchema::kMaxFeatures, " features: are names made of values?"));
  }
  const bool varied = passed_over_ * 100 > rows();
  const uint64_t rows_of = varied ? rows() : rows_;
  std::vector<const Feature*> features;
  if (varied) {
    features.push_back(&all_);
  } else {
    for (const Feature& feature : features_) features.push_back(&feature);
  }
  DataSchema schema;
  double unseen = varied ? 0 : static_cast<double>(passed_over_);
  size_t categories = 0;
  for (const Feature* feature : features) {
    FeatureSchema described = Describe(*feature, rows_of);
    if (varied) described.name = "values";
    if (categories + described.categories.size() > DataSchema::kMaxAllCategories)
      described.categories.clear();
    categories += described.categories.size();
    unseen += Unseen(*feature, described, rows_of);
    schema.features.push_back(std::move(described));
  }
  schema.inferred = SchemaOrigin{from, rows_of, RoundedShare(unseen, static_cast<double>(rows_of)),
                                 std::move(at)};
  return schema;
}

}  // namespace leadsman
