#include "events/feature_names.h"

namespace leadsman {

bool FeatureNames::Append(std::string_view name) {
  if (names_.size() == kMaxNames) return false;
  if (!places_.try_emplace(std::string(name), names_.size()).second) return true;
  names_.emplace_back(name);
  size_ = names_.size();
  return true;
}

std::optional<size_t> FeatureNames::PlaceOf(std::string_view name) {
  MutexLock lock(mutex_);
  named_ = true;
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
  for (const std::string& column : columns) Append(column);
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
  return models_.emplace(model, std::make_shared<FeatureNames>()).first->second;
}

std::vector<FeatureNameBook::NewName> FeatureNameBook::TakeNew() {
  std::vector<NewName> all;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : models_) {
    for (auto& [place, name] : names->TakeNew()) all.push_back({model, place, std::move(name)});
  }
  return all;
}

uint64_t FeatureNameBook::refused() const {
  uint64_t refused = 0;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : models_) refused += names->refused();
  return refused;
}

}  // namespace leadsman
