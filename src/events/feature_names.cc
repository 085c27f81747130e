#include "events/feature_names.h"

namespace leadsman {

bool FeatureNames::Append(std::string_view name) {
  if (names_.size() == kMaxNames) return false;
  if (!places_.try_emplace(std::string(name), names_.size()).second) return true;
  names_.emplace_back(name);
  size_ = names_.size();
  return true;
}

bool FeatureNames::Drops(std::string_view name) {
  if (dropped_ == nullptr || !dropped_->Has(name)) return false;
  if (!met_.contains(name)) met_.emplace(name);
  return true;
}

bool FeatureNames::DropsPlace(size_t place) {
  if (dropped_ == nullptr || !dropped_->HasPlace(place)) return false;
  met_places_.insert(place);
  return true;
}

std::vector<bool> FeatureNames::Keeps(std::span<const std::string> columns, size_t width) {
  std::vector<bool> keeps(width, true);
  std::set<size_t> dropped;
  MutexLock lock(mutex_);
  for (size_t i = 0; i < width && dropped_ != nullptr; ++i) {
    const bool by_name = i < columns.size() && Drops(columns[i]);
    if (!by_name && (named_ || !DropsPlace(i))) continue;
    keeps[i] = false;
    dropped.insert(i);
  }
  // A table that was written without them does not say where they stand.
  if (!dropped.empty()) dropped_places_ = std::move(dropped);
  return keeps;
}

std::span<const float> FeatureNames::WithoutDropped(std::span<const float> values,
                                                    bool may_be_named,
                                                    std::vector<float>& scratch) {
  if (dropped_ == nullptr || (may_be_named && named_)) return values;
  MutexLock lock(mutex_);
  scratch.clear();
  for (size_t i = 0; i < values.size(); ++i) {
    if (!DropsPlace(i) && !dropped_places_.contains(i)) scratch.push_back(values[i]);
  }
  return scratch;
}

std::set<std::string> FeatureNames::met() const {
  MutexLock lock(mutex_);
  std::set<std::string> met(met_.begin(), met_.end());
  for (const size_t place : met_places_) met.insert(InputOfPlace(place));
  return met;
}

std::optional<size_t> FeatureNames::PlaceOf(std::string_view name) {
  MutexLock lock(mutex_);
  named_ = true;
  if (Drops(name)) return std::nullopt;
  if (auto known = places_.find(name); known != places_.end()) return known->second;
  if (name.size() > kLongestName || !Append(name)) {
    ++refused_;
    return std::nullopt;
  }
  return names_.size() - 1;
}

void FeatureNames::Suggest(std::span<const std::string> columns) {
  MutexLock lock(mutex_);
  if (!named_) {
    names_.clear();
    places_.clear();
    size_ = 0;
  }
  for (const std::string& column : columns) {
    if (!Drops(column)) Append(column);
  }
}

void FeatureNames::Restore(std::vector<std::string> names) {
  MutexLock lock(mutex_);
  for (const std::string& name : names) Append(name);
  taken_ = names_.size();
  named_ = true;
}

std::vector<std::string> FeatureNames::names() const {
  MutexLock lock(mutex_);
  return names_;
}

std::vector<std::pair<size_t, std::string>> FeatureNames::TakeNew() {
  std::vector<std::pair<size_t, std::string>> taken;
  MutexLock lock(mutex_);
  if (!named_) return taken;
  for (; taken_ < names_.size(); ++taken_) taken.emplace_back(taken_, names_[taken_]);
  return taken;
}

std::shared_ptr<FeatureNames> FeatureNameBook::Of(std::string_view model) {
  MutexLock lock(mutex_);
  if (auto known = models_.find(model); known != models_.end()) return known->second;
  if (models_.size() == kMaxModels) return nullptr;
  return models_.emplace(model, std::make_shared<FeatureNames>(dropped_)).first->second;
}

std::vector<FeatureNameBook::NewName> FeatureNameBook::TakeNew() {
  std::vector<NewName> all;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : models_) {
    for (auto& [place, name] : names->TakeNew()) all.push_back({model, place, std::move(name)});
  }
  return all;
}

std::vector<std::string> FeatureNameBook::NeverMet() const {
  std::set<std::string> met;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : models_) met.merge(names->met());
  std::vector<std::string> never =
      dropped_ != nullptr ? dropped_->inputs() : std::vector<std::string>();
  std::erase_if(never, [&](const std::string& input) { return met.contains(input); });
  return never;
}

uint64_t FeatureNameBook::refused() const {
  uint64_t refused = 0;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : models_) refused += names->refused();
  return refused;
}

}  // namespace leadsman
