#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "monitor/quality/label_coverage.h"
#include "monitor/quality/segment_counts.h"
#include "monitor/quality/version_quality.h"

namespace leadsman {

/// All that labels tell of one version beyond QualityTotals, and its requests by segment; kept in the
/// database in its byte form. Externally synchronised (the monitor's state lock).
class QualityDetail {
 public:
  /// `segments` as admitted by `names`.
  void AddRequest(const SegmentNames& names, std::span<const std::string_view> segments,
                  ObservedOutcome outcome, bool drawn) {
    segments_.AddRequest(names, segments, outcome, drawn);
  }
  /// A row that is kept for its label.
  void AddKept(int64_t made_ms, double weight, int64_t now_ms);
  void AddJoined(const LabelJoin::Joined& joined, QualityTask task, SegmentNames& names);

  /// What labels have told another process of the same version.
  void Merge(const VersionQuality& more);
  /// From here on what is added, and not what is merged, is kept for TakeInterval too.
  void KeepIntervals() { interval_ = std::make_unique<VersionQuality>(quality_.Afresh()); }
  /// What labels have told since the last call; null when none came, or it is not kept.
  std::shared_ptr<const VersionQuality> TakeInterval();

  const VersionQuality& quality() const { return quality_; }
  LabelCoverage& coverage() { return coverage_; }
  const SegmentCounts& segments() const { return segments_; }

  /// Whether there is something to write: what labels tell after a second, coverage alone after ten.
  bool Changed(SteadyTime now) const;
  /// The byte form; nothing has changed since.
  std::string Take(SteadyTime now);
  /// False, and nothing is known, when the bytes are not what Take gave.
  bool Restore(std::string_view bytes, SegmentNames& names);

 private:
  void Forget();

  VersionQuality quality_;
  LabelCoverage coverage_;
  SegmentCounts segments_;
  std::unique_ptr<VersionQuality> interval_;  ///< null: not kept
  bool interval_changed_ = false;
  bool labels_changed_ = false;
  bool coverage_changed_ = false;
  SteadyTime taken_{};
};

}  // namespace leadsman
