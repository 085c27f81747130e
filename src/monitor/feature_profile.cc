#include "monitor/feature_profile.h"

#include <algorithm>
#include <bit>
#include <cmath>

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

double FeatureProfile::mean() const { return weight_ > 0 ? shift_ + sum_ / weight_ : 0; }

double FeatureProfile::standard_deviation() const {
  if (weight_ <= 0) return 0;
  double m = sum_ / weight_;
  return std::sqrt(std::max(0.0, sum_squares_ / weight_ - m * m));
}

}  // namespace leadsman
