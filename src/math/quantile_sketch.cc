#include "math/quantile_sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kKind = 'Q';
constexpr uint8_t kVersion = 1;
constexpr int kShift = 52 - 5;  // of a double's 52 bits after the leading one, five tell the bin
constexpr int kSmallestBin = 1 << 5;
constexpr int kBinsEnd = 0x7ff << 5;                  // infinity's
constexpr uint64_t kMostCounted = uint64_t{1} << 48;  // of one byte form: sums cannot overflow

uint64_t MagnitudeBits(double value) { return std::bit_cast<uint64_t>(value) & (~0ull >> 1); }
int BinOf(double value) { return static_cast<int>(MagnitudeBits(value) >> kShift); }
double LowerEdge(int bin) { return std::bit_cast<double>(static_cast<uint64_t>(bin) << kShift); }
double UpperEdge(int bin) {
  return bin + 1 < kBinsEnd ? LowerEdge(bin + 1) : std::numeric_limits<double>::max();
}
/// The value whose relative distance to both edges is the same: 2ab/(a+b), without overflow.
double Middle(int bin) {
  double low = LowerEdge(bin), high = UpperEdge(bin);
  return low * (2 / (1 + low / high));
}

}  // namespace

void QuantileSketch::Side::Add(int bin, uint64_t count) {
  total += count;
  auto at = static_cast<size_t>(bin - first);  // below `first`: a huge number
  if (at < counts.size()) [[likely]] {
    counts[at] += count;
  } else {
    Slot(bin) += count;
  }
}

uint64_t& QuantileSketch::Side::Slot(int bin) {
  constexpr int kMost = static_cast<int>(kMaxBins);
  if (counts.empty()) {
    first = bin;
    counts.assign(1, 0);
    return counts[0];
  }
  if (bin < first) {
    int lowest = std::max(bin, last() - kMost + 1);
    collapsed |= lowest > bin;
    counts.insert(counts.begin(), static_cast<size_t>(first - lowest), 0);
    first = lowest;
    return counts[0];
  }
  int lowest = bin - kMost + 1;
  if (lowest > first) {
    size_t gone = std::min(static_cast<size_t>(lowest - first), counts.size());
    uint64_t moved = 0;
    for (size_t i = 0; i < gone; ++i) moved += counts[i];
    counts.erase(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(gone));
    if (counts.empty()) counts.resize(1);
    counts[0] += moved;
    first = lowest;
    collapsed = true;
  }
  counts.resize(static_cast<size_t>(bin - first) + 1);
  return counts.back();
}

void QuantileSketch::Side::Merge(const Side& other) {
  // From the largest down, so that what collapses does so once.
  for (size_t i = other.counts.size(); i-- > 0;) {
    if (other.counts[i] > 0) Add(other.first + static_cast<int>(i), other.counts[i]);
  }
  collapsed |= other.collapsed;
}

void QuantileSketch::Widen(double low, double high) {
  if (count() == 0) {
    min_ = low;
    max_ = high;
  }
  min_ = std::min(min_, low);
  max_ = std::max(max_, high);
}

void QuantileSketch::Add(double value, uint64_t count) {
  if (count == 0) return;
  int bin = BinOf(value);
  if (bin >= kBinsEnd) [[unlikely]] {
    non_finite_ += count;
    return;
  }
  if (bin < kSmallestBin) value = 0;
  Widen(value, value);
  if (value == 0) {
    zeros_ += count;
  } else {
    (value < 0 ? negative_ : positive_).Add(bin, count);
  }
}

void QuantileSketch::Merge(const QuantileSketch& other) {
  if (other.count() > 0) Widen(other.min_, other.max_);
  zeros_ += other.zeros_;
  non_finite_ += other.non_finite_;
  positive_.Merge(other.positive_);
  negative_.Merge(other.negative_);
}

std::vector<QuantileSketch::Bin> QuantileSketch::Bins() const {
  std::vector<Bin> bins;
  auto within = [&](double middle) { return std::clamp(middle, min_, max_); };
  for (size_t i = negative_.counts.size(); i-- > 0;) {  // from the most negative
    if (negative_.counts[i] == 0) continue;
    int bin = negative_.first + static_cast<int>(i);
    double high = i == 0 && negative_.collapsed ? 0 : -LowerEdge(bin);
    bins.push_back({-UpperEdge(bin), high, within(-Middle(bin)), negative_.counts[i]});
  }
  if (zeros_ > 0) bins.push_back({0, 0, 0, zeros_});
  for (size_t i = 0; i < positive_.counts.size(); ++i) {
    if (positive_.counts[i] == 0) continue;
    int bin = positive_.first + static_cast<int>(i);
    double low = i == 0 && positive_.collapsed ? 0 : LowerEdge(bin);
    bins.push_back({low, UpperEdge(bin), within(Middle(bin)), positive_.counts[i]});
  }
  return bins;
}

double QuantileSketch::Quantile(double q) const {
  uint64_t total = count();
  if (total == 0) return 0;
  double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(total));
  auto rank = std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, total);
  if (rank == 1) return min_;
  if (rank == total) return max_;
  uint64_t below = 0;
  auto within = [&](double middle) { return std::clamp(middle, min_, max_); };
  for (size_t i = negative_.counts.size(); i-- > 0;) {
    below += negative_.counts[i];
    if (below >= rank) return within(-Middle(negative_.first + static_cast<int>(i)));
  }
  below += zeros_;
  if (below >= rank) return 0;
  for (size_t i = 0; i < positive_.counts.size(); ++i) {
    below += positive_.counts[i];
    if (below >= rank) return within(Middle(positive_.first + static_cast<int>(i)));
  }
  return max_;
}

double QuantileSketch::Rank(double value) const {
  if (count() == 0) return 0;
  double below = 0;
  for (const Bin& bin : Bins()) {
    auto here = static_cast<double>(bin.count);
    if (value > bin.high) {
      below += here;
    } else if (value >= bin.low) {
      below += here / 2;
    }
  }
  return below / static_cast<double>(count());
}

std::string QuantileSketch::ToBytes() const {
  ByteWriter out(kKind, kVersion);
  out.Varint(zeros_);
  out.Varint(non_finite_);
  for (const Side* side : {&positive_, &negative_}) {
    out.Byte(side->collapsed);
    out.Varint(static_cast<uint64_t>(side->first));
    out.Varint(side->counts.size());
    for (uint64_t count : side->counts) out.Varint(count);
  }
  out.Double(min_);
  out.Double(max_);
  return std::move(out).Take();
}

std::optional<QuantileSketch> QuantileSketch::Parse(std::string_view bytes) {
  ByteReader in(bytes, kKind, kVersion);
  QuantileSketch sketch;
  sketch.zeros_ = in.Varint();
  sketch.non_finite_ = in.Varint();
  if (sketch.zeros_ > kMostCounted || sketch.non_finite_ > kMostCounted) return std::nullopt;
  for (Side* side : {&sketch.positive_, &sketch.negative_}) {
    uint8_t collapsed = in.Byte();
    uint64_t first = in.Varint(), bins = in.Varint();
    if (!in.ok() || collapsed > 1 || bins > kMaxBins || first >= kBinsEnd) return std::nullopt;
    if (bins == 0 ? first != 0 || collapsed : first < kSmallestBin || first + bins > kBinsEnd) {
      return std::nullopt;
    }
    side->collapsed = collapsed == 1;
    side->first = static_cast<int>(first);
    side->counts.resize(bins);
    for (uint64_t& count : side->counts) {
      count = in.Varint();
      if (!in.ok() || count > kMostCounted) return std::nullopt;
      side->total += count;
    }
    if (bins > 0 && (side->counts.front() == 0 || side->counts.back() == 0)) return std::nullopt;
    if (collapsed && bins < kMaxBins) return std::nullopt;
  }
  sketch.min_ = in.Double();
  sketch.max_ = in.Double();
  if (!in.Finished() || sketch.count() > kMostCounted || !sketch.ExtremesFit()) {
    return std::nullopt;
  }
  return sketch;
}

/// The smallest and the largest value lie where the bins say that they do.
bool QuantileSketch::ExtremesFit() const {
  std::vector<Bin> bins = Bins();
  if (bins.empty()) return MagnitudeBits(min_) == 0 && MagnitudeBits(max_) == 0;
  auto fits = [](double value, const Bin& bin) { return value >= bin.low && value <= bin.high; };
  return min_ <= max_ && fits(min_, bins.front()) && fits(max_, bins.back());
}

}  // namespace leadsman
