#pragma once

#include <optional>
#include <string_view>

namespace leadsman {

/// How far an answer is from the truth, as a number that is not below 0.
enum class LossMetric {
  kAbsoluteError,  ///< of a number
  kSquaredError,
  kLogLoss,  ///< of a probability, in nats
  kBrier,    ///< of a probability: its squared distance from 0 or 1
};
/// "absolute_error", "squared_error", "log_loss", "brier".
std::string_view LossMetricName(LossMetric metric);
std::optional<LossMetric> ParseLossMetric(std::string_view name);
/// In words: "absolute error", "log loss", "Brier score".
std::string_view LossMetricWords(LossMetric metric);

/// What losses are counted by: sums of one measure say nothing in another one. `highest` > 0: what is above it counts as that.
struct LossMeasure {
  LossMetric metric = LossMetric::kAbsoluteError;
  double highest = 1;
  friend bool operator==(const LossMeasure&, const LossMeasure&) = default;
};

}  // namespace leadsman
