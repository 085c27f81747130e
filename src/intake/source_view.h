#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "intake/source_counters.h"

namespace leadsman::intake {

/// What is known of one log.
struct LogView {
  std::string path;
  std::string format;    ///< "json"; empty: not recognised
  std::string sentence;  ///< what it is and gives; or why it is not read, and the fix
};

/// What came of one source, for people.
struct SourceView {
  std::string source;  ///< LogSource::path
  uint64_t lines = 0;
  uint64_t predictions = 0;
  uint64_t other_requests = 0;
  uint64_t unknown_model = 0;
  uint64_t unknown_segments = 0;
  uint64_t errors = 0;
  uint64_t malformed = 0;
  uint64_t unrecognised = 0;
  uint64_t cut = 0;
  uint64_t lag_bytes = 0;
  uint64_t skipped_bytes = 0;                   ///< that stood in the files before the first start
  std::map<std::string, uint64_t> other_paths;  ///< RecordEvents::other_paths()
  std::vector<std::string> features;            ///< of the model, when there is one alone
  /// RecordEvents::features(), EventFeed::features()
  std::map<std::string, std::vector<std::string>> model_features;
  std::vector<LogView> files;

  void TakeFeatures(std::map<std::string, std::vector<std::string>> by_model) {
    model_features = std::move(by_model);
    if (model_features.size() == 1) features = model_features.begin()->second;
  }
  void TakeCounters(const SourceCounters& c) {
    lines = c.lines;
    predictions = c.predictions;
    other_requests = c.other_requests;
    unknown_model = c.unknown_model;
    unknown_segments = c.unknown_segments;
    errors = c.errors;
    malformed = c.malformed;
    unrecognised = c.unrecognised;
    cut = c.cut;
  }
};

}  // namespace leadsman::intake
