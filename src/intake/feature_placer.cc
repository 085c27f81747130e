#include "intake/feature_placer.h"

#include <algorithm>
#include <limits>

namespace leadsman::intake {
namespace {

constexpr size_t kNoPlace = SIZE_MAX;

}  // namespace

void FeaturePlacer::FindPlaces(std::span<const std::string_view> names) {
  order_.assign(names.begin(), names.end());
  places_.clear();
  in_place_ = true;
  for (std::string_view name : names) {
    const size_t place = names_->PlaceOf(name).value_or(kNoPlace);
    in_place_ = in_place_ && place == places_.size();
    places_.push_back(place);
    if (place != kNoPlace) width_ = std::max(width_, place + 1);
  }
  in_place_ = in_place_ && width_ == names.size();
}

std::span<const float> FeaturePlacer::Place(std::span<const std::string_view> names,
                                            std::span<const float> values, uint64_t key) {
  if (key == 0 || key != key_) {
    if (!std::equal(names.begin(), names.end(), order_.begin(), order_.end())) FindPlaces(names);
    key_ = key;
  }
  if (in_place_) return values;
  row_.assign(width_, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < std::min(places_.size(), values.size()); ++i) {
    if (places_[i] != kNoPlace) row_[places_[i]] = values[i];
  }
  return row_;
}

}  // namespace leadsman::intake
