#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/feature_names.h"

namespace leadsman::intake {

/// Puts named values of one model's requests in their places. Rows that name the same features in the same order, as those of
/// one program do, cost a comparison of names, or of the key that their parser gives them. Confined to one thread.
class FeaturePlacer {
 public:
  explicit FeaturePlacer(std::shared_ptr<FeatureNames> names) : names_(std::move(names)) {}

  /// NaN where the row has no value. Valid until the next call, and no longer than `values`. `key`: LogRecord::names_key.
  std::span<const float> Place(std::span<const std::string_view> names,
                               std::span<const float> values, uint64_t key = 0);
  /// One more than the highest place so far.
  size_t width() const { return width_; }

 private:
  void FindPlaces(std::span<const std::string_view> names);

  std::shared_ptr<FeatureNames> names_;
  // Of the last row.
  std::vector<std::string> order_;
  uint64_t key_ = 0;
  std::vector<size_t> places_;
  bool in_place_ = false;  ///< the values stand as they come, and there are no others
  size_t width_ = 0;
  std::vector<float> row_;
};

}  // namespace leadsman::intake
