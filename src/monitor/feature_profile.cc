#include "monitor/feature_profile.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr int kSubBits = 4;
constexpr int kShift = 23 - kSubBits;
/// Magnitudes below the smallest normal float (1e-38) count as zero.
constexpr uint32_t kSmallestNormal = 1u << 23;

int BucketOf(uint32_t magnitude_bits) { return static_cast<int>(magnitude_bits >> kShift); }
double LowerEdge(int bucket) {
  return std::bit_cast<float>(static_cast<uint32_t>(bucket) << kShift);
}
/// The value whose relative distance to both edges is the same.
double Middle(int bucket) {
  double lower = LowerEdge(bucket);
  double upper = lower + std::ldexp(lower, -kSubBits);  // wide enough for every sub-bucket
  if (bucket + 1 < BucketOf(0x7f800000u)) upper = LowerEdge(bucket + 1);
  return 2 * lower * upper / (lower + upper);
}

constexpr int kFirstBucket = static_cast<int>(kSmallestNormal >> kShift);
constexpr int kEndBucket = static_cast<int>(0x7f800000u >> kShift);
/// More than any interval holds; sums of such numbers are exact, and of finite floats finite.
constexpr uint64_t kMaxWritten = uint64_t{1} << 48;

void WriteWhole(double count, ByteWriter& to) {
  to.Varint(static_cast<uint64_t>(std::llround(std::min(count, 0x1p48))));
}

double ReadWhole(ByteReader& from) {
  const uint64_t count = from.Varint();
  if (count > kMaxWritten) from.Fail();
  return static_cast<double>(count);
}

/// A sum of `weight` numbers of at most that size.
double ReadSum(double weight, double largest, ByteReader& from) {
  const double sum = from.Double();
  if (!(std::fabs(sum) <= weight * largest * (1 + 1e-9))) from.Fail();
  return sum;
}

}  // namespace

void ValueSketch::Side::Add(int bucket, double weight) {
  total += weight;
  auto at = static_cast<size_t>(bucket - first);  // below `first`: a huge number
  if (bucket >= first && at < counts.size()) [[likely]] {
    counts[at] += weight;
  } else {
    Slot(bucket) += weight;
  }
}

double& ValueSketch::Side::Slot(int bucket) {
  constexpr int kMax = static_cast<int>(kMaxBuckets);
  if (counts.empty()) {
    first = bucket;
    counts.assign(1, 0);
    return counts[0];
  }
  int last = first + static_cast<int>(counts.size()) - 1;
  if (bucket < first) {
    int lowest = std::max(bucket, last - kMax + 1);
    if (lowest < first) {
      counts.insert(counts.begin(), static_cast<size_t>(first - lowest), 0);
      first = lowest;
    }
    return counts[0];  // below what fits: with the smallest
  }
  if (bucket > last) {
    int new_first = std::max(first, bucket - kMax + 1);
    if (new_first > first) {
      auto gone = static_cast<size_t>(new_first - first);
      double collapsed = 0;
      for (size_t i = 0; i < std::min(gone, counts.size()); ++i) collapsed += counts[i];
      counts.erase(counts.begin(),
                   counts.begin() + static_cast<ptrdiff_t>(std::min(gone, counts.size())));
      first = new_first;
      counts.resize(std::max(counts.size(), size_t{1}));
      counts[0] += collapsed;
    }
    counts.resize(static_cast<size_t>(bucket - first) + 1);
  }
  return counts[static_cast<size_t>(bucket - first)];
}

/// Most buckets of an interval are empty: those that are not, each by its distance from the one before.
void ValueSketch::Side::Write(ByteWriter& to) const {
  uint64_t used = 0;
  for (double count : counts) used += count > 0 ? 1 : 0;
  to.Varint(used);
  int before = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] <= 0) continue;
    const int bucket = first + static_cast<int>(i);
    to.Varint(static_cast<uint64_t>(bucket - before));
    WriteWhole(counts[i], to);
    before = bucket;
  }
}

void ValueSketch::Side::Read(ByteReader& from) {
  *this = {};
  const uint64_t used = from.Varint();
  if (used > kMaxBuckets) from.Fail();
  int bucket = 0;
  for (uint64_t i = 0; i < used && from.ok(); ++i) {
    const uint64_t step = from.Varint();
    const double count = ReadWhole(from);
    if (step == 0 || step >= static_cast<uint64_t>(kEndBucket) || count <= 0) {
      from.Fail();
      return;
    }
    bucket += static_cast<int>(step);
    if (i == 0) first = bucket;
    if (first < kFirstBucket || bucket >= kEndBucket ||
        bucket - first >= static_cast<int>(kMaxBuckets)) {
      from.Fail();
      return;
    }
    counts.resize(static_cast<size_t>(bucket - first) + 1);
    counts.back() = count;
    total += count;
  }
}

void ValueSketch::Write(ByteWriter& to) const {
  WriteWhole(zeros_, to);
  positive_.Write(to);
  negative_.Write(to);
}

void ValueSketch::Read(ByteReader& from) {
  zeros_ = ReadWhole(from);
  positive_.Read(from);
  negative_.Read(from);
}

void ValueSketch::Add(float value, double weight) {
  auto bits = std::bit_cast<uint32_t>(value);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude < kSmallestNormal) {
    zeros_ += weight;
  } else {
    (bits >> 31 ? negative_ : positive_).Add(BucketOf(magnitude), weight);
  }
}

void ValueSketch::Merge(const ValueSketch& other) {
  zeros_ += other.zeros_;
  auto merge = [](Side& to, const Side& from) {
    // From the largest down: what has to collapse does so at the small end, as if added one by one.
    for (size_t i = from.counts.size(); i-- > 0;) {
      if (from.counts[i] > 0) to.Add(from.first + static_cast<int>(i), from.counts[i]);
    }
  };
  merge(positive_, other.positive_);
  merge(negative_, other.negative_);
}

double ValueSketch::Quantile(double q) const {
  double total = count();
  if (total <= 0) return 0;
  double rank = std::clamp(q, 0.0, 1.0) * total;
  double below = 0;
  for (size_t i = negative_.counts.size(); i-- > 0;) {  // from the most negative
    below += negative_.counts[i];
    if (negative_.counts[i] > 0 && below >= rank) {
      return -Middle(negative_.first + static_cast<int>(i));
    }
  }
  below += zeros_;
  if (zeros_ > 0 && below >= rank) return 0;
  double largest = 0;
  for (size_t i = 0; i < positive_.counts.size(); ++i) {
    if (positive_.counts[i] <= 0) continue;
    below += positive_.counts[i];
    largest = Middle(positive_.first + static_cast<int>(i));
    if (below >= rank) return largest;
  }
  return largest;
}

void FeatureProfile::Add(float value, double weight) {
  if (!std::isfinite(value)) [[unlikely]] {
    non_finite_ += weight;
    return;
  }
  if (weight_ == 0) {
    shift_ = value;
    min_ = max_ = value;
  }
  double d = value - shift_;
  weight_ += weight;
  sum_ += weight * d;
  sum_squares_ += weight * d * d;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sketch_.Add(value, weight);
}

void FeatureProfile::Merge(const FeatureProfile& other) {
  non_finite_ += other.non_finite_;
  if (other.weight_ <= 0) return;
  if (weight_ <= 0) {
    const double non_finite = non_finite_;
    *this = other;
    non_finite_ = non_finite;
    return;
  }
  // Its sums, of differences from another value, as differences from ours.
  const double d = other.shift_ - shift_;
  weight_ += other.weight_;
  sum_ += other.sum_ + other.weight_ * d;
  sum_squares_ += other.sum_squares_ + 2 * d * other.sum_ + other.weight_ * d * d;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sketch_.Merge(other.sketch_);
}

void FeatureProfile::Write(ByteWriter& to) const {
  WriteWhole(non_finite_, to);
  sketch_.Write(to);
  if (sketch_.count() <= 0) return;
  to.Double(shift_);
  to.Double(sum_);
  to.Double(sum_squares_);
  to.Float(min_);
  to.Float(max_);
}

void FeatureProfile::Read(ByteReader& from) {
  *this = {};
  non_finite_ = ReadWhole(from);
  sketch_.Read(from);
  weight_ = sketch_.count();
  if (weight_ <= 0) return;
  constexpr double kLargest = std::numeric_limits<float>::max();
  shift_ = ReadSum(1, kLargest, from);
  sum_ = ReadSum(weight_, 2 * kLargest, from);
  sum_squares_ = ReadSum(weight_, 4 * kLargest * kLargest, from);
  min_ = from.Float();
  max_ = from.Float();
  if (!std::isfinite(min_) || !std::isfinite(max_) || min_ > max_ || sum_squares_ < 0) from.Fail();
}

double FeatureProfile::mean() const { return weight_ > 0 ? shift_ + sum_ / weight_ : 0; }

double FeatureProfile::standard_deviation() const {
  if (weight_ <= 0) return 0;
  double m = sum_ / weight_;
  return std::sqrt(std::max(0.0, sum_squares_ / weight_ - m * m));
}

}  // namespace leadsman
