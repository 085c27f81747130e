#include "stats/fine_latency.h"

#include <cmath>
#include <utility>

namespace leadsman {

using Scheme = FineLatencyScheme;

std::shared_ptr<const NativeHistogram> ToNative(const FineLatencyBuckets& buckets) {
  auto native = std::make_shared<NativeHistogram>();
  native->schema = Scheme::kSchema;
  // What is too short, and the part of an octave that ends at the first native bound.
  const int zero = Scheme::NativeBucket(1, 0);
  native->zero_threshold = std::exp2(zero / 8.0);
  native->zero_count = buckets[0] + buckets[Scheme::kParts];
  native->first_bucket = zero + 1;
  std::vector<uint64_t>& counts = native->counts;
  for (size_t octave = 1; octave < Scheme::kOctaves; ++octave) {
    // An octave's last part and the next one's first are one native bucket.
    for (size_t part = octave == 1 ? 1 : 0; part < Scheme::kParts; ++part) {
      const uint64_t count = buckets[octave * Scheme::kParts + part];
      if (count == 0) continue;
      const int bucket = Scheme::NativeBucket(octave, part);
      if (counts.empty()) native->first_bucket = bucket;
      counts.resize(static_cast<size_t>(bucket - native->first_bucket) + 1);
      counts.back() += count;
    }
  }
  return native;
}

MetricSample FineLatencySample(std::vector<std::string> label_values,
                               const FineLatencyBuckets& buckets, double sum_seconds, int first,
                               int last) {
  MetricSample sample;
  sample.label_values = std::move(label_values);
  sample.upper_bounds.reserve(static_cast<size_t>(last - first) + 1);
  sample.cumulative.reserve(sample.upper_bounds.capacity());
  for (size_t octave = 0; octave < Scheme::kOctaves; ++octave) {
    for (size_t part = 0; part < Scheme::kParts; ++part)
      sample.count += buckets[octave * Scheme::kParts + part];
    const int end = Scheme::kFirstOctave + static_cast<int>(octave);  // it ends at 2^end ns
    if (end < first || end > last) continue;
    sample.upper_bounds.push_back(std::ldexp(1e-9, end));
    sample.cumulative.push_back(sample.count);
  }
  sample.sum = sum_seconds;
  sample.native = ToNative(buckets);
  return sample;
}

}  // namespace leadsman
