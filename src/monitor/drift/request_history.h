#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events/feature_names.h"
#include "events/prediction_event.h"
#include "monitor/database.h"
#include "monitor/label_join.h"
#include "monitor/labels/own_label_store.h"

namespace leadsman {

/// The requests of one model version, of which something could be found: what is kept of an event for a
/// replay. A value.
struct RequestHistory {
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();

  void Add(const PredictionEvent& event);
  size_t size() const { return requests_.size(); }
  int64_t unix_ms(size_t i) const { return requests_[i].unix_ms; }
  /// The event again, but for model and version; views point into this history and into `texts` (its
  /// answers, then its labels), which are valid until the next call with it.
  PredictionEvent At(size_t i, std::vector<std::string_view>& texts) const;
  /// Into order of time; those of one time stay as they came.
  void Sort();
  /// As if they had come evenly, so many a day, the last of them at `end_ms`.
  void Spread(double rows_per_day, int64_t end_ms);
  size_t values() const { return features_.size(); }

 private:
  struct Request {
    int64_t unix_ms = 0;
    size_t features = kNone;  ///< where they begin
    size_t answers = 0;       ///< likewise; the labels follow them
    uint64_t latency_ns = 0;
    uint32_t width = 0;  ///< values of them
    uint32_t answer_count = 0;
    uint32_t label_count = 0;
    StatusCode outcome = StatusCode::kOk;
    bool outcome_known = true;
    bool latency_known = true;
    AnswerKind answer = AnswerKind::kUnknown;
    float score = -1;
    float feature_weight = 1;
  };
  uint32_t IdOf(std::string_view text);

  std::vector<Request> requests_;
  std::vector<float> features_;
  std::map<std::string, uint32_t, std::less<>> class_ids_;
  std::vector<std::string> classes_;
  std::vector<uint32_t> answers_;
};

/// Where the days begin, `most` at most, that stand for a past of this length: evenly, the last one ends with it. Of a past of less
/// than a day its own begin. In the unit of `length` and `day`.
std::vector<double> DaysOfPast(double length, double day, size_t most);

/// Visits the requests of all histories in order of time; each history is sorted before.
void ReplayInOrder(
    const std::map<VersionKey, RequestHistory>& histories,
    const std::function<void(const VersionKey& key, const PredictionEvent& event)>& visit);

/// The labels that requests came with, joined as the monitor joins them: of what was answered, as far as answer and label can
/// be compared. Not thread-safe.
class LabelReplay {
 public:
  LabelReplay() : store_(nullptr), join_({}, store_) {}
  std::vector<LabelJoin::Joined> Join(const VersionKey& key, const PredictionEvent& event);

 private:
  OwnLabelStore store_;
  LabelJoin join_;
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
