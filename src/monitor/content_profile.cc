#include "monitor/content_profile.h"

#include <algorithm>
#include <numeric>

namespace leadsman {

void ContentProfile::Fold(const PredictionEvent& event) {
  if (event.score >= 0) {
    auto bin = static_cast<size_t>(std::min(event.score, 1.0f) * kScoreBins);
    ++scores[std::min(bin, kScoreBins - 1)];
    score_sum += event.score;
  }
  if (event.features.empty()) return;
  size_t width = std::min(event.features.size(), kMaxFeatures);
  if (features.size() < width) features.resize(width);
  for (size_t i = 0; i < width; ++i) features[i].Add(event.features[i], event.feature_weight);
  const size_t varied = std::min(width, kMaxVaried);
  if (variety.size() < varied) variety.resize(varied);
  for (size_t i = 0; i < varied; ++i) variety[i].Add(event.features[i], event.feature_weight);
}

void ContentProfile::Merge(const ContentProfile& other) {
  for (size_t i = 0; i < kScoreBins; ++i) scores[i] += other.scores[i];
  score_sum += other.score_sum;
  if (features.size() < other.features.size()) features.resize(other.features.size());
  for (size_t i = 0; i < other.features.size(); ++i) features[i].Merge(other.features[i]);
  if (variety.size() < other.variety.size()) variety.resize(other.variety.size());
  for (size_t i = 0; i < other.variety.size(); ++i) variety[i].Merge(other.variety[i]);
}

uint64_t ContentProfile::scored() const {
  return std::accumulate(scores.begin(), scores.end(), uint64_t{0});
}

}  // namespace leadsman
