#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "monitor/class_counts.h"
#include "monitor/database.h"
#include "monitor/feature_profile.h"
#include "monitor/label_join.h"
#include "monitor/monitor.h"

namespace leadsman {

/// All that is known of one version: totals, the open window, the closed ones, the profile of
/// inputs and answers. Externally synchronised (the monitor's state lock).
class VersionProfile {
 public:
  static constexpr size_t kMaxFeatures = 4096;  ///< of one input; further ones are not profiled
  static constexpr size_t kScoreBins = 20;      ///< over [0, 1]
  static constexpr size_t kMaxClosedWindows =
      2048;  ///< in memory; older ones are read from the database

  VersionProfile(VersionKey key, std::chrono::seconds window)
      : key_(std::move(key)), window_(window) {}

  void Fold(const PredictionEvent& event, WallTime wall, SteadyTime now);
  void AddJoined(const LabelJoin::Joined& joined, WallTime wall, SteadyTime now);
  void Restore(const QualityTotals& quality) { quality_ = quality; }
  void Restore(WindowSummary window) { Push(std::move(window)); }

  /// Ends the open window when its time is over (or there is none); returns what it held, if
  /// anything.
  std::optional<WindowSummary> CloseWindow(SteadyTime now);
  /// Ends it before its time, at the end of the process; `seconds` then says how long it was.
  std::optional<WindowSummary> CutWindow(SteadyTime now);
  /// When CloseWindow has something to do next; nothing when no window is open.
  std::optional<SteadyTime> closes() const {
    return open_ ? std::optional(open_->closes) : std::nullopt;
  }

  const VersionKey& key() const { return key_; }
  /// Null while no event was observed.
  const ObservedTotals* observed() const { return observed_.get(); }
  VersionTotals Totals() const;
  const QualityTotals& quality() const { return quality_; }
  const std::deque<WindowSummary>& closed() const { return closed_; }
  bool forgot_windows() const { return forgot_windows_; }
  std::map<std::string, uint64_t> Predicted() const { return predicted_.Summary(classes_); }
  /// As Predicted, but none of its numbers ever falls: for counters.
  std::map<std::string, uint64_t> PredictedGrowing() const { return predicted_.Growing(classes_); }
  /// `names` of the features, by place.
  std::string ToJson(const std::vector<std::string>& names = {}) const;

 private:
  struct Window {
    WallTime start{};
    SteadyTime opened{};
    SteadyTime closes{};
    uint64_t requests = 0;
    uint64_t errors = 0;
    LatencyBuckets latency{};
    double labelled = 0;
    double wrong = 0;
  };
  Window& Open(WallTime wall, SteadyTime now);
  void FoldObserved(const PredictionEvent& event);
  void Push(WindowSummary window);

  const VersionKey key_;
  const std::chrono::seconds window_;
  uint64_t requests_ = 0;
  uint64_t errors_ = 0;
  uint64_t answered_ = 0;
  uint64_t server_errors_ = 0;
  LatencyBuckets latency_{};
  uint64_t drawn_requests_ = 0;
  uint64_t drawn_errors_ = 0;
  LatencyBuckets drawn_latency_{};
  std::unique_ptr<ObservedTotals> observed_;  ///< most versions are served here and have none
  QualityTotals quality_;
  ClassTable classes_;
  ClassCounts predicted_;
  ClassCounts predicted_in_window_;
  std::vector<FeatureProfile> features_;
  std::array<uint64_t, kScoreBins> scores_{};
  uint64_t scored_ = 0;
  double score_sum_ = 0;
  std::optional<Window> open_;
  std::deque<WindowSummary> closed_;
  bool forgot_windows_ = false;
};

}  // namespace leadsman
