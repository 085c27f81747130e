#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "intake/answer_comparer.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// What came of a request that a version has answered to its client, and a shadow once more.
enum class ShadowResult : uint8_t {
  kEqual,
  kWithinTolerance,
  kDiffers,
  kClassFlip,
  kLiveFailed,    ///< but the shadow did not
  kShadowFailed,  ///< but the live version did not
  kBothFailed,
  kNotKept,
  kNotUnderstood,
};
inline constexpr size_t kShadowResults = static_cast<size_t>(ShadowResult::kNotUnderstood) + 1;
std::string_view ShadowResultName(ShadowResult result);  ///< "class_flip"
ShadowResult ShadowResultOf(AnswerDifference::Kind kind);

/// Counts comparisons by model, live version and shadow, and remembers the ids of a few requests that came out otherwise: nothing
/// of what was asked or answered. Thread-safe.
class ShadowBook {
 public:
  static constexpr size_t kExamples = 5;  ///< ids of each result
  /// Upper bounds of the buckets of differences.
  static constexpr std::array<double, 9> kBounds = {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10};

  struct Pair {
    std::string model;
    int64_t live = 0, shadow = 0;  ///< versions
    std::map<std::string, uint64_t> results;
    double largest_difference = 0;
    std::map<std::string, std::vector<std::string>> examples;  ///< ids by result, the newest first
  };

  /// `difference`: the largest of two answers that were compared.
  void Add(std::string_view model, int64_t live, int64_t shadow, ShadowResult result,
           double difference, std::string_view request_id);
  std::vector<Pair> pairs() const;
  [[nodiscard]] std::vector<Registry::Registration> AddMetrics(Registry& registry) const;

 private:
  using Key = std::tuple<std::string, int64_t, int64_t>;
  struct Counts {
    std::array<uint64_t, kShadowResults> results{};
    std::array<std::deque<std::string>, kShadowResults> examples;
    std::array<uint64_t, kBounds.size() + 1> differences{};
    double sum = 0;
    double largest = 0;
  };
  std::vector<MetricSample> Results() const;
  std::vector<MetricSample> Differences() const;

  mutable Mutex mutex_;
  std::map<Key, Counts> counts_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::intake
