#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events/feature_names.h"
#include "events/prediction_event.h"
#include "monitor/database.h"

namespace leadsman {

/// The requests of one model version, of which drift could be found: what is kept of an event for a
/// replay. A value.
struct RequestHistory {
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();

  void Add(const PredictionEvent& event);
  size_t size() const { return requests_.size(); }
  int64_t unix_ms(size_t i) const { return requests_[i].unix_ms; }
  /// The event again; views point into this history and into `answers`, which are valid until the next
  /// call with it.
  PredictionEvent At(size_t i, std::vector<std::string_view>& answers) const;
  /// Into order of time; those of one time stay as they came.
  void Sort();
  /// As if they had come evenly, so many a day, the last of them at `end_ms`.
  void Spread(double rows_per_day, int64_t end_ms);
  size_t values() const { return features_.size(); }

 private:
  struct Request {
    int64_t unix_ms = 0;
    size_t features = kNone;  ///< where they begin
    size_t answers = 0;       ///< likewise
    uint32_t width = 0;       ///< values of them
    uint32_t answer_count = 0;
    StatusCode outcome = StatusCode::kOk;
    bool outcome_known = true;
    float score = -1;
  };
  std::vector<Request> requests_;
  std::vector<float> features_;
  std::map<std::string, uint32_t, std::less<>> class_ids_;
  std::vector<std::string> classes_;
  std::vector<uint32_t> answers_;
};

/// Takes events instead of a monitor, to replay them. Bounded; what does not fit is counted. Not
/// thread-safe.
class HistorySink final : public Sink {
 public:
  static constexpr size_t kMaxRequests = 4'000'000;
  static constexpr size_t kMaxValues = 128 << 20;  ///< half a GiB
  static constexpr size_t kMaxVersions = 256;

  explicit HistorySink(size_t wide_input) : wide_input_(wide_input) {}
  void Emit(const PredictionEvent& event) override;
  bool TryEmit(const PredictionEvent& event) override;
  uint32_t FeatureStride(size_t width) const override;
  std::shared_ptr<FeatureNames> NamesOf(std::string_view model) override {
    return names_.Of(model);
  }

  FeatureNameBook& names() { return names_; }
  std::map<VersionKey, RequestHistory>& versions() { return versions_; }
  uint64_t dropped() const { return dropped_; }

 private:
  const size_t wide_input_;
  FeatureNameBook names_;
  std::map<VersionKey, RequestHistory> versions_;
  uint64_t requests_ = 0, values_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace leadsman
