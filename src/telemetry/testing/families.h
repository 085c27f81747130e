#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stats/registry.h"

namespace leadsman {

inline MetricFamily Family(std::string name, MetricType type, std::vector<std::string> labels,
                           std::vector<MetricSample> samples) {
  return {std::make_shared<MetricDescription>(
              MetricDescription{name, "Help.", type, std::move(labels)}),
          std::move(samples)};
}

inline MetricSample Value(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

inline Exemplar Trace(double value, int64_t unix_ms, uint8_t id) {
  Exemplar exemplar;
  exemplar.trace_id[15] = id;
  exemplar.span_id[7] = 9;
  exemplar.value = value;
  exemplar.unix_ms = unix_ms;
  return exemplar;
}

/// Bounds 0.5 and 1; values below, between and above, an exemplar in each.
inline MetricSample Histogram() {
  MetricSample sample;
  sample.label_values = {"digits"};
  sample.upper_bounds = {0.5, 1};
  sample.cumulative = {2, 3};
  sample.count = 4;
  sample.sum = 7.5;
  sample.exemplars = {Trace(0.1, 1000, 1), Trace(0.25, 3000, 2), Trace(1, 2000, 3),
                      Trace(3, 2500, 4)};
  return sample;
}

}  // namespace leadsman
