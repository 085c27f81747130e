#include "monitor/schema/row_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/strings.h"

namespace leadsman {
namespace {

using Kind = DataValue::Kind;

constexpr size_t kNoFeature = SIZE_MAX;

constexpr uint8_t Bit(SchemaRule rule) {
  return static_cast<uint8_t>(1u << static_cast<unsigned>(rule));
}

void AddTo(RowCheck::Tally& tally, uint64_t at) {
  ++tally.count;
  tally.last = at;
  if (tally.kept < RowCheck::kKeptRows) tally.first[tally.kept++] = at;
}

/// A double as the float that it arrives as: rounding keeps the order, so that no value passes a
/// bound by being rounded.
double Narrowed(double value) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (std::abs(value) > kLargest)
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  return double{static_cast<float>(value)};
}

}  // namespace

RowCheck::RowCheck(std::shared_ptr<const DataSchema> schema) : schema_(std::move(schema)) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  features_.resize(schema_->features.size());
  seen_.resize(schema_->features.size());
  for (size_t i = 0; i < features_.size(); ++i) {
    const FeatureSchema& of = schema_->features[i];
    Limits& wide = features_[i].wide;
    wide.boolean = of.type == FeatureType::kBoolean;
    wide.whole = of.type == FeatureType::kInteger;
    wide.numeric = wide.boolean || wide.whole || of.type == FeatureType::kNumber;
    wide.min = of.min.value_or(-kInfinity);
    wide.max = of.max.value_or(kInfinity);
    for (const std::string& category : of.categories) {
      if (auto number = wide.numeric ? ParseDouble(category) : std::nullopt)
        wide.categories.push_back(*number);
    }
    std::sort(wide.categories.begin(), wide.categories.end());
    Limits& narrow = features_[i].narrow;
    narrow = wide;
    narrow.min = Narrowed(wide.min);
    narrow.max = Narrowed(wide.max);
    for (double& category : narrow.categories) category = Narrowed(category);
    glances_.push_back(GlanceOf(narrow));
    flat_ = flat_ && of.values == 1;
    by_name_.emplace(of.name, i);
  }
}

RowCheck::Glance RowCheck::GlanceOf(const Limits& narrow) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  constexpr float kWhole = 1 << 30;  // whole numbers up to there are ones of 32 bits
  if (!narrow.numeric || narrow.boolean || !narrow.categories.empty()) return {};
  const float most = narrow.whole ? kWhole : kLargest;
  return {std::max(static_cast<float>(narrow.min), -most),
          std::min(static_cast<float>(narrow.max), most), narrow.whole};
}

RowCheck::Broken RowCheck::BrokenBy(double value, const Limits& limits) {
  if (!limits.numeric) return 0;
  if (std::isinf(value)) return Bit(SchemaRule::kNonFinite);
  if (limits.boolean) return value == 0 || value == 1 ? 0 : Bit(SchemaRule::kType);
  if (limits.whole && value != std::trunc(value)) return Bit(SchemaRule::kType);
  if (value < limits.min || value > limits.max) return Bit(SchemaRule::kRange);
  if (!limits.categories.empty() &&
      !std::binary_search(limits.categories.begin(), limits.categories.end(), value))
    return Bit(SchemaRule::kCategory);
  return 0;
}

RowCheck::Broken RowCheck::CheckValue(const DataValue& value, const FeatureSchema& schema,
                                      const Limits& limits) const {
  if (value.kind == Kind::kMissing) return Bit(SchemaRule::kMissing);
  if (schema.type == FeatureType::kAny) return 0;
  if (schema.type == FeatureType::kText) {
    if (!value.has_text()) return Bit(SchemaRule::kType);
    const bool known = schema.categories.empty() ||
                       std::binary_search(schema.categories.begin(), schema.categories.end(),
                                          value.text, std::less<>());
    return known ? 0 : Bit(SchemaRule::kCategory);
  }
  const bool fits = value.kind == Kind::kNumber || (limits.boolean && value.kind == Kind::kBoolean);
  return fits ? BrokenBy(value.number, limits) : Bit(SchemaRule::kType);
}

RowCheck::Broken RowCheck::CheckFloats(std::span<const float> values, size_t index) const {
  const Limits& limits = features_[index].narrow;
  if (!limits.numeric) return 0;
  const Glance glance = glances_[index];
  Broken broken = 0;
  for (float value : values) {
    if (glance.Covers(value)) [[likely]]
      continue;
    broken |= std::isnan(value) ? Bit(SchemaRule::kMissing) : BrokenBy(value, limits);
  }
  return broken;
}

bool RowCheck::Note(size_t index, Broken broken, uint64_t at) {
  Feature& feature = features_[index];
  const FeatureSchema& schema = schema_->features[index];
  if ((broken & Bit(SchemaRule::kMissing)) != 0 && schema.missing > 0) {
    ++feature.block_missing;
    broken &= static_cast<Broken>(~Bit(SchemaRule::kMissing));
  }
  if ((broken & Bit(SchemaRule::kNonFinite)) != 0 && schema.non_finite > 0) {
    ++feature.block_infinite;
    broken &= static_cast<Broken>(~Bit(SchemaRule::kNonFinite));
  }
  if (broken == 0) return false;
  if (!feature.tallies) feature.tallies = std::make_unique<std::array<Tally, kSchemaRules>>();
  for (size_t rule = 0; rule < kSchemaRules; ++rule) {
    if ((broken & (1u << rule)) != 0) AddTo((*feature.tallies)[rule], at);
  }
  return true;
}

void RowCheck::NoteUnexpected(std::string_view name, uint64_t at) {
  auto known = unexpected_.find(name);
  if (known == unexpected_.end()) {
    if (name.empty() || unexpected_.size() == kMaxUnexpected) return AddTo(more_unexpected_, at);
    known = unexpected_.try_emplace(std::string(name)).first;
  }
  AddTo(known->second, at);
}

bool RowCheck::EndRow(bool kept) {
  ++block_rows_;
  if (kept) return true;
  ++violating_;
  ++block_violating_;
  return false;
}

/// A row as it should be: a value for each feature.
bool RowCheck::CheckFlat(std::span<const float> row, uint64_t at) {
  bool kept = true;
  for (size_t i = 0; i < row.size(); ++i) {
    if (glances_[i].Covers(row[i])) [[likely]]
      continue;
    const Broken broken = CheckFloats(row.subspan(i, 1), i);
    if (broken != 0 && Note(i, broken, at)) kept = false;
  }
  return EndRow(kept);
}

void RowCheck::NamePlaces(std::vector<std::string> names) {
  place_names_ = std::move(names);
  by_place_.clear();
  for (const std::string& name : place_names_) {
    auto found = by_name_.find(name);
    by_place_.push_back(found != by_name_.end() ? found->second : kNoFeature);
  }
  const bool none = std::all_of(by_place_.begin(), by_place_.end(),
                                [](size_t feature) { return feature == kNoFeature; });
  if (none) place_names_.clear();
}

bool RowCheck::CheckNamed(std::span<const float> row, uint64_t at) {
  bool kept = true;
  for (size_t place = 0; place < row.size(); ++place) {
    const size_t i = place < by_place_.size() ? by_place_[place] : kNoFeature;
    if (i == kNoFeature) {
      if (std::isnan(row[place]) || schema_->allow_others) continue;
      NoteUnexpected(place < place_names_.size() ? std::string_view(place_names_[place]) : "", at);
      kept = false;
      continue;
    }
    seen_[i] = rows_;
    if (glances_[i].Covers(row[place])) [[likely]]
      continue;
    const FeatureSchema& schema = schema_->features[i];
    if (std::isnan(row[place]) && schema.optional) continue;
    Broken broken = CheckFloats(row.subspan(place, 1), i);
    if (schema.values > 1) broken |= Bit(SchemaRule::kShape);
    if (broken != 0 && Note(i, broken, at)) kept = false;
  }
  for (size_t i = 0; i < features_.size(); ++i) {
    if (seen_[i] == rows_ || schema_->features[i].optional) continue;
    if (Note(i, Bit(SchemaRule::kAbsent), at)) kept = false;
  }
  return EndRow(kept);
}

bool RowCheck::Check(std::span<const float> row, uint64_t at) {
  ++rows_;
  if (!place_names_.empty()) return CheckNamed(row, at);
  if (flat_ && row.size() == features_.size()) return CheckFlat(row, at);
  bool kept = true;
  size_t begin = 0;
  for (size_t i = 0; i < features_.size(); ++i) {
    const FeatureSchema& schema = schema_->features[i];
    Broken broken = 0;
    // Any number of values: all that is there, but what the features behind it need is not known.
    const size_t wanted = schema.values == 0 ? row.size() - begin : schema.values;
    const size_t there = std::min(wanted, row.size() - begin);
    if (there == 0 && wanted > 0) {
      if (!schema.optional) broken = Bit(SchemaRule::kAbsent);
    } else {
      broken = CheckFloats(row.subspan(begin, there), i);
      if (there < wanted) broken |= Bit(SchemaRule::kShape);
    }
    begin += there;
    if (broken != 0 && Note(i, broken, at)) kept = false;
  }
  if (begin < row.size() && !schema_->allow_others) {
    // Of an input that is one feature it is its shape that is wrong.
    if (features_.size() == 1 && schema_->features[0].values > 1) {
      kept = !Note(0, Bit(SchemaRule::kShape), at) && kept;
    } else {
      NoteUnexpected("", at);
      kept = false;
    }
  }
  return EndRow(kept);
}

size_t RowCheck::IndexOf(const DataField& field, size_t place) const {
  if (field.name.empty()) return place < features_.size() ? place : kNoFeature;
  if (place < features_.size() && schema_->features[place].name == field.name) return place;
  auto found = by_name_.find(field.name);
  return found != by_name_.end() ? found->second : kNoFeature;
}

bool RowCheck::Check(const DataRow& row) {
  ++rows_;
  bool kept = true;
  for (size_t place = 0; place < row.fields.size(); ++place) {
    const DataField& field = row.fields[place];
    const size_t index = IndexOf(field, place);
    if (index == kNoFeature) {
      if (schema_->allow_others) continue;
      NoteUnexpected(field.name, row.at);
      kept = false;
      continue;
    }
    seen_[index] = rows_;
    const FeatureSchema& schema = schema_->features[index];
    Broken broken = 0;
    if (schema.values != 0 && field.values.size() != schema.values)
      broken = Bit(SchemaRule::kShape);
    for (const DataValue& value : field.values)
      broken |= CheckValue(value, schema, features_[index].wide);
    if (broken != 0 && Note(index, broken, row.at)) kept = false;
  }
  for (size_t i = 0; i < features_.size(); ++i) {
    if (seen_[i] == rows_ || schema_->features[i].optional) continue;
    Note(i, Bit(SchemaRule::kAbsent), row.at);
    kept = false;
  }
  return EndRow(kept);
}

void RowCheck::CloseShare(size_t index, SchemaRule rule, double seen, uint32_t& count,
                          uint64_t at) {
  const auto allowed =
      static_cast<uint64_t>(std::ceil(AllowedShare(seen) * static_cast<double>(block_rows_)));
  const uint64_t excess = count > allowed ? count - allowed : 0;
  count = 0;
  if (excess == 0) return;
  Feature& feature = features_[index];
  if (!feature.tallies) feature.tallies = std::make_unique<std::array<Tally, kSchemaRules>>();
  Tally& tally = (*feature.tallies)[static_cast<size_t>(rule)];
  tally.count += excess;
  tally.last = at;
  // Which of the rows were too many nobody can say; they may have broken other rules too.
  const uint64_t more = std::min(excess, block_rows_ - block_violating_);
  violating_ += more;
  block_violating_ += more;
}

void RowCheck::CloseBlock(uint64_t at) {
  for (size_t i = 0; i < features_.size(); ++i) {
    const FeatureSchema& of = schema_->features[i];
    Feature& feature = features_[i];
    if (feature.block_missing > 0)
      CloseShare(i, SchemaRule::kMissing, of.missing, feature.block_missing, at);
    if (feature.block_infinite > 0)
      CloseShare(i, SchemaRule::kNonFinite, of.non_finite, feature.block_infinite, at);
  }
  block_rows_ = block_violating_ = 0;
}

std::vector<RowCheck::Violation> RowCheck::violations() const {
  std::vector<Violation> all;
  for (size_t i = 0; i < features_.size(); ++i) {
    if (!features_[i].tallies) continue;
    for (size_t rule = 0; rule < kSchemaRules; ++rule) {
      const Tally& tally = (*features_[i].tallies)[rule];
      if (tally.count == 0) continue;
      const auto of = static_cast<SchemaRule>(rule);
      const FeatureSchema& feature = schema_->features[i];
      all.push_back({feature.name, of, ExpectedText(feature, of), tally, i});
    }
  }
  auto add = [&all](std::string_view name, const Tally& tally) {
    all.push_back({std::string(name), SchemaRule::kUnexpected,
                   ExpectedText({}, SchemaRule::kUnexpected), tally});
  };
  for (const auto& [name, tally] : unexpected_) add(name, tally);
  if (more_unexpected_.count > 0) add("(others)", more_unexpected_);
  std::stable_sort(all.begin(), all.end(), [](const Violation& a, const Violation& b) {
    return a.tally.count > b.tally.count;
  });
  return all;
}

}  // namespace leadsman
