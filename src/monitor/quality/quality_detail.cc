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
  coverage_.AddLabel(prediction.at_ms, prediction.weight);
  if (joined.first_of_request()) {
    segments_.AddLabel(names, prediction.segments, prediction.weight, joined.wrong);
  }
  labels_changed_ = true;
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
  return std::move(out).Take();
}

bool QualityDetail::Restore(std::string_view bytes, SegmentNames& names) {
  *this = {};
  ByteReader in(bytes, kKind, kVersion);
  quality_.Read(in);
  coverage_.Read(in);
  segments_.Read(in, names);
  if (in.Finished()) return true;
  *this = {};
  return false;
}

}  // namespace leadsman
