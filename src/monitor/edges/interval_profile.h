#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "monitor/content_profile.h"
#include "monitor/database.h"
#include "monitor/observed.h"
#include "monitor/quality/version_quality.h"

namespace leadsman {

class ByteReader;
class ByteWriter;

/// What one process has seen of one version in an interval: sums, of which those of several processes and intervals add up to
/// the whole (VersionProfile::Merge). No request ids, no inputs, no answers but the names of classes. A value.
struct IntervalProfile {
  std::string model;
  int64_t version = 0;
  ObservedTotals requests;
  std::vector<std::pair<std::string, uint64_t>> classes;  ///< predicted ones, by name
  uint64_t other_classes = 0;                             ///< of further names
  ContentProfile content;
  QualityTotals quality;  ///< of labels that have come; nothing of what a split has drawn
  std::shared_ptr<const VersionQuality> labels;  ///< what they tell beyond that; null: nothing

  bool empty() const { return requests.total() == 0 && quality.labelled == 0; }

  void Write(ByteWriter& to) const;
  /// INVALID_ARGUMENT begins with the field that cannot be, as "latency: …".
  Status Read(ByteReader& from, bool with_variety = true);
};

}  // namespace leadsman
