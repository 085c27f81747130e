#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "events/prediction_event.h"

namespace leadsman::intake {

/// Keeps events as text, "model:version ok 3ms id=…", and can be full.
class EventTexts final : public Sink {
 public:
  static std::string Describe(const PredictionEvent& e) {
    std::string text = StrCat(e.model, ":", e.version, " ",
                              e.outcome_known ? StatusCodeName(e.outcome) : "unknown", " ",
                              ProtocolName(e.protocol));
    if (e.latency_known) text += StrCat(" ", e.latency_ns / 1000, "us");
    if (!e.request_id.empty()) text += StrCat(" id=", e.request_id);
    for (std::string_view predicted : e.predicted) text += StrCat(" predicted=", predicted);
    for (std::string_view label : e.labels) text += StrCat(" label=", label);
    for (std::string_view segment : e.segments) text += StrCat(" segment=", segment);
    if (e.score >= 0) text += StrCat(" score=", double{e.score});
    for (float feature : e.features) text += StrCat(" ", double{feature});
    return text;
  }

  void Emit(const PredictionEvent& event) override {
    MutexLock lock(mutex_);
    texts_.push_back(Describe(event));
    last_ms_ = event.unix_ms;
  }
  bool TryEmit(const PredictionEvent& event) override {
    if (full_-- > 0 || room_-- <= 0) return false;
    Emit(event);
    return true;
  }
  uint32_t FeatureStride(size_t) const override { return 1; }
  std::span<const SegmentRule> SegmentsOf(std::string_view model) const override {
    auto found = segments_.find(model);
    if (found == segments_.end()) return {};
    return found->second;
  }
  /// Before the first event.
  void SetSegments(std::string model, std::vector<SegmentRule> rules) {
    segments_[std::move(model)] = std::move(rules);
  }

  void RefuseNext(int times) { full_ = times; }
  /// Full after so many.
  void SetRoom(int events) { room_ = events; }
  int64_t last_ms() const { return last_ms_; }
  std::vector<std::string> texts() const {
    MutexLock lock(mutex_);
    return texts_;
  }
  size_t count() const { return texts().size(); }

 private:
  std::atomic<int> full_{0};
  std::atomic<int> room_{1'000'000'000};
  std::atomic<int64_t> last_ms_{0};
  std::map<std::string, std::vector<SegmentRule>, std::less<>> segments_;
  mutable Mutex mutex_;
  std::vector<std::string> texts_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::intake
