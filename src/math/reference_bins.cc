#include "math/reference_bins.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kBinsKind = 'B', kCountsKind = 'C';
constexpr uint8_t kVersion = 1;
constexpr uint64_t kMostCounted = uint64_t{1} << 48;  // of one byte form: sums cannot overflow
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kLane = 16;  // cuts compared at once
static_assert(ReferenceBins::kMaxCuts % kLane == 0);

float Below(float value) { return std::nextafter(value, -kInfinity); }

}  // namespace

/// Goes through runs of equal values (or bins of a sketch) in ascending order and cuts after those
/// that fill a part, and on both sides of those that are one.
class ReferenceBins::Cutter {
 public:
  Cutter(uint64_t total, size_t parts) : total_(total), parts_(parts) {
    CHECK(parts >= 2 && parts <= kMaxParts);
  }

  /// `count` values, the least above `below`, the greatest at most `last`.
  void Add(float below, float last, uint64_t count) {
    uint64_t before = seen_;
    seen_ += count;
    if (count * parts_ >= total_) {  // a part by itself
      Cut(below);
      Cut(last);
    } else if (seen_ * parts_ / total_ > before * parts_ / total_ && seen_ < total_) {
      Cut(last);
    }
  }
  ReferenceBins Take() { return bins_; }

 private:
  void Cut(float at) {
    size_t& count = bins_.cut_count_;
    // -infinity or the largest float have nothing on their other side.
    if (!std::isfinite(at) || (count > 0 && bins_.cuts_[count - 1] >= at)) return;
    CHECK(count < kMaxCuts);  // two for each of at most 31 parts
    bins_.cuts_[count++] = at;
  }

  uint64_t total_, seen_ = 0;
  size_t parts_;
  ReferenceBins bins_;
};

ReferenceBins ReferenceBins::FromSample(std::span<const float> values, size_t parts) {
  std::vector<float> sorted;
  std::copy_if(values.begin(), values.end(), std::back_inserter(sorted),
               [](float value) { return std::isfinite(value); });
  std::sort(sorted.begin(), sorted.end());
  Cutter cutter(sorted.size(), parts);
  for (size_t i = 0; i < sorted.size();) {
    size_t end = i + 1;
    while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
    cutter.Add(Below(sorted[i]), sorted[i], end - i);
    i = end;
  }
  return cutter.Take();
}

ReferenceBins ReferenceBins::FromSketch(const QuantileSketch& sketch, size_t parts) {
  Cutter cutter(sketch.count(), parts);
  for (const QuantileSketch::Bin& bin : sketch.Bins()) {
    if (sketch.min() == sketch.max() || bin.low == bin.high) {
      auto value = static_cast<float>(bin.middle);
      cutter.Add(Below(value), value, bin.count);
    } else if (bin.low >= 0) {  // [low, high)
      cutter.Add(Below(static_cast<float>(bin.low)), Below(static_cast<float>(bin.high)),
                 bin.count);
    } else {  // (low, high], without 0
      auto high = static_cast<float>(bin.high);
      cutter.Add(static_cast<float>(bin.low), high < 0 ? high : Below(0), bin.count);
    }
  }
  return cutter.Take();
}

size_t ReferenceBins::IndexOf(float value) const {
  // Every cut is compared, a lane at a time: no branch depends on the value.
  uint32_t below = 0;
  for (size_t lane = 0; lane < cut_count_; lane += kLane) {
    for (size_t i = 0; i < kLane; ++i) below += cuts_[lane + i] < value;
  }
  return below;
}

BinnedCounts ReferenceBins::Count(const QuantileSketch& sketch) const {
  BinnedCounts counts(*this);
  for (const QuantileSketch::Bin& bin : sketch.Bins()) {
    counts.AddToBin(IndexOf(static_cast<float>(bin.middle)), bin.count);
  }
  counts.AddNonFinite(sketch.non_finite());
  return counts;
}

std::string ReferenceBins::ToBytes() const {
  ByteWriter out(kBinsKind, kVersion);
  out.Varint(cut_count_);
  for (float cut : cuts()) out.Float(cut);
  return std::move(out).Take();
}

std::optional<ReferenceBins> ReferenceBins::Parse(std::string_view bytes) {
  ByteReader in(bytes, kBinsKind, kVersion);
  uint64_t size = in.Varint();
  if (!in.ok() || size > kMaxCuts) return std::nullopt;
  ReferenceBins bins;
  bins.cut_count_ = size;
  for (size_t i = 0; i < size; ++i) {
    bins.cuts_[i] = in.Float();
    if (!std::isfinite(bins.cuts_[i])) return std::nullopt;
    if (i > 0 && !(bins.cuts_[i] > bins.cuts_[i - 1])) return std::nullopt;
  }
  if (!in.Finished()) return std::nullopt;
  return bins;
}

bool BinnedCounts::Merge(const BinnedCounts& other) {
  if (other.cells_.size() != cells_.size()) return false;
  for (size_t i = 0; i < cells_.size(); ++i) cells_[i] += other.cells_[i];
  return true;
}

uint64_t BinnedCounts::total() const {
  return std::accumulate(cells_.begin(), cells_.end(), uint64_t{0});
}

std::string BinnedCounts::ToBytes() const {
  ByteWriter out(kCountsKind, kVersion);
  out.Varint(cells_.size());
  for (uint64_t count : cells_) out.Varint(count);
  return std::move(out).Take();
}

std::optional<BinnedCounts> BinnedCounts::Parse(std::string_view bytes) {
  ByteReader in(bytes, kCountsKind, kVersion);
  uint64_t size = in.Varint();
  if (!in.ok() || size < 3 || size > ReferenceBins::kMaxCuts + 3) return std::nullopt;
  BinnedCounts counts;
  counts.cells_.resize(size);
  for (uint64_t& count : counts.cells_) {
    count = in.Varint();
    if (count > kMostCounted) return std::nullopt;
  }
  if (!in.Finished() || counts.total() > kMostCounted) return std::nullopt;
  return counts;
}

}  // namespace leadsman
