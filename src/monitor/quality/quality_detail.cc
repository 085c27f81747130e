#include "monitor/quality/quality_detail.h"

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kKind = 'Q';
constexpr uint8_t kVersion = 1;
/// How much of each a crash may lose, or a little more. All of it is tens of kilobytes, too much for
/// every flush.
constexpr std::chrono::seconds kKeepLabels{1};
constexpr std::chrono::seconds kKeepCoverage{10};

}  // namespace

void QualityDetail::AddKept(int64_t made_ms, double weight, int64_t now_ms) {
  coverage_.AddPrediction(made_ms, weight, now_ms);
  coverage_changed_ = true;
}

void QualityDetail::AddJoined(const LabelJoin::Joined& joined, QualityTask task,
                              SegmentNames& names) {
  const KeptPrediction& prediction = joined.prediction;
  quality_.Add(joined, task);
  if (interval_) {
    interval_->Add(joined, task);
    interval_changed_ = true;
  }
  coverage_.AddLabel(prediction.at_ms, prediction.weight);
  if (joined.first_of_request()) {
    segments_.AddLabel(names, prediction.segments, prediction.weight, joined.wrong,
                       prediction.drawn);
  }
  labels_changed_ = true;
}

void QualityDetail::Merge(const VersionQuality& more) {
  quality_.Merge(more);
  labels_changed_ = true;
}

std::shared_ptr<const VersionQuality> QualityDetail::TakeInterval() {
  if (!interval_changed_) return nullptr;
  std::shared_ptr<const VersionQuality> taken = std::move(interval_);
  KeepIntervals();
  interval_changed_ = false;
  return taken;
}

void QualityDetail::Forget() {
  const bool kept = interval_ != nullptr;
  *this = {};
  if (kept) KeepIntervals();
}

bool QualityDetail::Changed(SteadyTime now) const {
  const Duration since = now - taken_;
  return (labels_changed_ && since >= kKeepLabels) || (coverage_changed_ && since >= kKeepCoverage);
}

std::string QualityDetail::Take(SteadyTime now) {
  labels_changed_ = coverage_changed_ = false;
  taken_ = now;
  ByteWriter out(kKind, kVersion);
  quality_.Write(out);
  coverage_.Write(out);
  segments_.Write(out);
  if (quality_.many_classes() != nullptr) quality_.WriteManyClasses(out);
  return std::move(out).Take();
}

bool QualityDetail::Restore(std::string_view bytes, SegmentNames& names) {
  Forget();
  ByteReader in(bytes, kKind, kVersion);
  quality_.Read(in);
  coverage_.Read(in);
  segments_.Read(in, names);
  if (in.ok() && !in.Finished()) quality_.ReadManyClasses(in);
  if (!in.Finished()) Forget();
  if (interval_) KeepIntervals();  // which now knows what is taken for what
  return in.Finished();
}

}  // namespace leadsman
