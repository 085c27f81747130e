#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "monitor/class_counts.h"
#include "monitor/content_profile.h"
#include "monitor/database.h"
#include "monitor/edges/interval_profile.h"
#include "monitor/label_join.h"
#include "monitor/monitor.h"
#include "monitor/quality/loss_totals.h"

namespace leadsman {

/// All that is known of one version: totals, the open window, the closed ones, the profile of
/// inputs and answers. Externally synchronised (the monitor's state lock).
class VersionProfile {
 public:
  static constexpr size_t kMaxFeatures = ContentProfile::kMaxFeatures;
  static constexpr size_t kMaxClosedWindows =
      2048;  ///< in memory; older ones are read from the database

  VersionProfile(VersionKey key, std::chrono::seconds window)
      : key_(std::move(key)), window_(window) {}

  void Fold(const PredictionEvent& event, WallTime wall, SteadyTime now);
  void AddJoined(const LabelJoin::Joined& joined, WallTime wall, SteadyTime now);
  /// Of a row that AddJoined was given; losses by another measure are forgotten.
  void AddLoss(const LabelJoin::Joined& joined, const LossMeasure& measure);
  /// Adds what another process has seen, as if its requests had been seen from outside, now.
  void Merge(const IntervalProfile& more, WallTime wall, SteadyTime now);
  void Restore(const QualityTotals& quality) { quality_ = before_ = quality; }
  void Restore(const LossTotals& losses) { losses_ = losses; }
  void Restore(WindowSummary window) { Push(std::move(window)); }

  /// From here on what is folded, and not what is merged, is kept for TakeInterval too.
  void KeepIntervals() { interval_ = std::make_unique<Interval>(); }
  /// What was folded since the last call, but for what labels tell beyond the sums; nothing when there was nothing, or it is
  /// not kept.
  std::optional<IntervalProfile> TakeInterval();

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
  const LossTotals& losses() const { return losses_; }
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
  /// What has not been taken yet: as IntervalProfile, its classes by index.
  struct Interval {
    ObservedTotals requests;
    ClassCounts classes;
    ContentProfile content;
    QualityTotals quality;
  };
  Window& Open(WallTime wall, SteadyTime now);
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
  uint64_t longest_failure_ns_ = 0;
  std::unique_ptr<ObservedTotals> observed_;  ///< most versions are served here and have none
  QualityTotals quality_;
  QualityTotals before_;  ///< of quality_, what was restored
  LossTotals losses_;
  ClassTable classes_;
  ClassCounts predicted_;
  ClassCounts predicted_in_window_;
  ContentProfile content_;
  std::unique_ptr<Interval> interval_;  ///< null: not kept
  std::optional<Window> open_;
  std::deque<WindowSummary> closed_;
  bool forgot_windows_ = false;
};

}  // namespace leadsman
