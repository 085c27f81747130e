#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "events/labelled_prediction.h"
#include "intake/answer_comparer.h"
#include "math/e_process.h"
#include "stats/latency_scheme.h"
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
///
/// Labels say who was right where the two disagree about a row's class, which for that is held in memory until then. Only such
/// rows tell the two apart: of those that one of them alone has right, an equal shadow has each with probability 1/2, whatever the
/// model and the traffic. Two e-processes bet on either being wrong more often (sequential McNemar test); an equal shadow ever
/// reaches e >= 1/alpha with probability alpha at most, however often one looks.
class ShadowBook {
 public:
  /// Rows that wait for their labels; beyond, the oldest goes.
  static constexpr size_t kMaxFlips = 1 << 16;
  static constexpr size_t kExamples = 5;  ///< ids of each result
  /// Upper bounds of the buckets of differences.
  static constexpr std::array<double, 9> kBounds = {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10};

  struct Pair {
    std::string model;
    int64_t live = 0, shadow = 0;  ///< versions
    std::map<std::string, uint64_t> results;
    double largest_difference = 0;
    std::map<std::string, std::vector<std::string>> examples;  ///< ids by result, the newest first
    /// Rows of which the two have another class, by whose label says is right.
    uint64_t live_right = 0, shadow_right = 0, neither_right = 0;
    double e_shadow_worse = 1, e_live_worse = 1;  ///< evidence
  };

  /// How long the two took for an answer.
  struct Latencies {
    uint64_t live_ns = 0, shadow_ns = 0;
  };
  /// `difference`: the largest of two answers that were compared, if they have numbers. `latencies`: of two that were answered well.
  /// `same_classes`: of kDiffers, that every row is known to have the same class all the same.
  void Add(std::string_view model, int64_t live, int64_t shadow, ShadowResult result,
           std::optional<double> difference, std::string_view request_id,
           std::optional<Latencies> latencies = {}, bool same_classes = true);
  /// The two have another class for a row. A label that has come before is missed.
  void AddFlip(std::string_view model, int64_t live, int64_t shadow, std::string_view request_id,
               uint32_t row, std::string_view shadow_class);
  /// Of any prediction of the live version.
  void OnLabelled(const LabelledPrediction& labelled);
  std::vector<Pair> pairs() const;
  /// What was counted of two versions, for whoever weighs it.
  struct Totals {
    std::array<uint64_t, kShadowResults> results{};
    LatencyBuckets live_latency{}, shadow_latency{};
    uint64_t live_right = 0, shadow_right = 0, neither_right = 0;
    /// Of kDiffers: a class may be another, for all that is known.
    uint64_t classes_unknown = 0;
  };
  Totals TotalsOf(const std::string& model, int64_t live, int64_t shadow) const;
  [[nodiscard]] std::vector<Registry::Registration> AddMetrics(Registry& registry) const;

 private:
  using Key = std::tuple<std::string, int64_t, int64_t>;
  struct Counts {
    std::array<uint64_t, kShadowResults> results{};
    std::array<std::deque<std::string>, kShadowResults> examples;
    std::array<uint64_t, kBounds.size() + 1> differences{};
    double sum = 0;
    double largest = 0;
    LatencyBuckets live_latency{}, shadow_latency{};
    uint64_t live_right = 0, shadow_right = 0, neither_right = 0;
    uint64_t classes_unknown = 0;
    HarmTest shadow_worse, live_worse;
  };
  struct Flip {
    Key key;
    std::string shadow_class;
  };
  std::vector<MetricSample> Results() const;
  std::vector<MetricSample> Differences() const;
  std::vector<MetricSample> Labelled() const;
  std::vector<MetricSample> Evidence() const;

  mutable Mutex mutex_;
  std::map<Key, Counts> counts_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Flip> flips_ GUARDED_BY(mutex_);  ///< by id and row
  std::deque<std::string> flips_order_
      GUARDED_BY(mutex_);  ///< their keys, oldest first; some are gone
};

}  // namespace leadsman::intake
