#include "math/loss_measure.h"

#include <array>

namespace leadsman {
namespace {

struct Named {
  LossMetric metric;
  std::string_view name, words;
};
constexpr std::array<Named, 4> kMetrics{{
    {LossMetric::kAbsoluteError, "absolute_error", "absolute error"},
    {LossMetric::kSquaredError, "squared_error", "squared error"},
    {LossMetric::kLogLoss, "log_loss", "log loss"},
    {LossMetric::kBrier, "brier", "Brier score"},
}};

}  // namespace

std::string_view LossMetricName(LossMetric metric) {
  for (const Named& one : kMetrics) {
    if (one.metric == metric) return one.name;
  }
  return "unknown";
}

std::optional<LossMetric> ParseLossMetric(std::string_view name) {
  for (const Named& one : kMetrics) {
    if (one.name == name) return one.metric;
  }
  return std::nullopt;
}

std::string_view LossMetricWords(LossMetric metric) {
  for (const Named& one : kMetrics) {
    if (one.metric == metric) return one.words;
  }
  return "loss";
}

}  // namespace leadsman
