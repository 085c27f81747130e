#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "monitor/quality/quality_detail.h"
#include "stats/registry.h"

namespace leadsman {

/// One metric of what labels tell of every version. A version without what it is of has no sample.
struct QualityFamily {
  const char* name;
  const char* help;
  MetricType type;
  std::vector<std::string> labels;  ///< the first two are model and version
  /// Appends a version's samples; `labels` are its first two.
  void (*read)(QualityDetail& detail, int64_t now_ms, const std::vector<std::string>& labels,
               std::vector<MetricSample>& samples);
};
const std::vector<QualityFamily>& QualityFamilies();

}  // namespace leadsman
