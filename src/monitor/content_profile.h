#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "events/prediction_event.h"
#include "monitor/feature_profile.h"
#include "monitor/value_variety.h"

namespace leadsman {

/// What the requests of one version held: the numbers of their inputs, the scores of their answers. Merged equals whole: the
/// counts exactly, the means to rounding. Externally synchronised.
struct ContentProfile {
  static constexpr size_t kMaxFeatures = 4096;  ///< of one input; further ones are not profiled
  static constexpr size_t kMaxVaried = 128;     ///< of an input; of wider ones no value comes often
  static constexpr size_t kScoreBins = 20;      ///< over [0, 1]

  std::vector<FeatureProfile> features;
  std::vector<ValueVariety> variety;  ///< of the first kMaxVaried
  std::array<uint64_t, kScoreBins> scores{};
  double score_sum = 0;

  void Fold(const PredictionEvent& event);
  void Merge(const ContentProfile& other);
  uint64_t scored() const;
};

}  // namespace leadsman
