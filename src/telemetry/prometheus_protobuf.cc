#include "telemetry/prometheus_protobuf.h"

#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "base/wire.h"
#include "telemetry/exemplar_walk.h"
#include "telemetry/hex.h"

namespace leadsman {
namespace {

// Field numbers of io.prometheus.client (metrics.proto).
namespace family {
constexpr uint32_t kName = 1, kHelp = 2, kType = 3, kMetric = 4;
constexpr uint64_t kCounter = 0, kGauge = 1, kHistogram = 4;
}  // namespace family
namespace metric {
constexpr uint32_t kLabel = 1, kGauge = 2, kCounter = 3, kHistogram = 7;
}
namespace pair {
constexpr uint32_t kName = 1, kValue = 2;
}
constexpr uint32_t kValueOfNumber = 1;  // of Counter and Gauge
namespace histogram {
constexpr uint32_t kCount = 1, kSum = 2, kBucket = 3, kSchema = 5, kZeroThreshold = 6,
                   kZeroCount = 7, kPositiveSpan = 12, kPositiveDelta = 13;
}
namespace bucket {
constexpr uint32_t kCumulative = 1, kUpperBound = 2, kExemplar = 3;
}
namespace span {
constexpr uint32_t kOffset = 1, kLength = 2;
}
namespace exemplar {
constexpr uint32_t kLabel = 1, kValue = 2, kTimestamp = 3;
constexpr uint32_t kSeconds = 1, kNanos = 2;
}  // namespace exemplar

/// Empty buckets between two that are not are written as zeros up to this many, else a span ends: it takes as much.
constexpr size_t kLongestGap = 2;

uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}

void WriteLabel(WireWriter& out, uint32_t field, std::string_view name, std::string_view value) {
  out.Message(field, [&](WireWriter& label) {
    label.Bytes(pair::kName, name);
    label.Bytes(pair::kValue, ToUtf8(value));
  });
}

void WriteExemplar(WireWriter& out, const Exemplar& from) {
  out.Message(bucket::kExemplar, [&](WireWriter& message) {
    WriteLabel(message, exemplar::kLabel, "trace_id", Hex(from.trace_id));
    message.Double(exemplar::kValue, from.value);
    message.Message(exemplar::kTimestamp, [&](WireWriter& time) {
      time.Number(exemplar::kSeconds, static_cast<uint64_t>(from.unix_ms / 1000));
      time.Number(exemplar::kNanos, static_cast<uint64_t>(from.unix_ms % 1000 * 1'000'000));
    });
  });
}

void WriteBuckets(WireWriter& out, const MetricSample& sample) {
  ExemplarWalk exemplars(sample);
  auto write = [&](double bound, uint64_t cumulative) {
    out.Message(histogram::kBucket, [&](WireWriter& message) {
      message.Number(bucket::kCumulative, cumulative);
      message.Double(bucket::kUpperBound, bound);
      if (const Exemplar* one = exemplars.UpTo(bound)) WriteExemplar(message, *one);
    });
  };
  const size_t bounds = std::min(sample.upper_bounds.size(), sample.cumulative.size());
  for (size_t i = 0; i < bounds; ++i) write(sample.upper_bounds[i], sample.cumulative[i]);
  write(std::numeric_limits<double>::infinity(), sample.count);
}

/// The buckets as runs, each after so many that are left out, and every count as the difference to the one before it.
void WriteNative(WireWriter& out, const NativeHistogram& native) {
  out.Number(histogram::kSchema, ZigZag(native.schema));
  out.Double(histogram::kZeroThreshold, native.zero_threshold);
  out.Number(histogram::kZeroCount, native.zero_count);
  std::string deltas;
  WireWriter delta(deltas);
  uint64_t before = 0;
  int64_t offset = native.first_bucket;
  size_t begin = 0;
  while (begin < native.counts.size()) {
    size_t end = begin;   // of the run
    size_t next = begin;  // the first bucket with a count after it
    while (next < native.counts.size() && next - end <= kLongestGap) {
      if (native.counts[next] > 0) end = next + 1;
      ++next;
    }
    while (next < native.counts.size() && native.counts[next] == 0) ++next;
    for (size_t i = begin; i < end; ++i) {
      delta.Varint(ZigZag(static_cast<int64_t>(native.counts[i] - before)));
      before = native.counts[i];
    }
    out.Message(histogram::kPositiveSpan, [&](WireWriter& message) {
      message.Number(span::kOffset, ZigZag(offset));
      message.Number(span::kLength, end - begin);
    });
    offset = static_cast<int64_t>(next - end);
    begin = next;
  }
  if (!deltas.empty()) out.Bytes(histogram::kPositiveDelta, deltas);
}

void WriteHistogram(WireWriter& out, const MetricSample& sample) {
  out.Message(metric::kHistogram, [&](WireWriter& message) {
    message.Number(histogram::kCount, sample.count);
    message.Double(histogram::kSum, sample.sum);
    WriteBuckets(message, sample);
    if (sample.native) WriteNative(message, *sample.native);
  });
}

void WriteFamily(WireWriter& out, const MetricFamily& from) {
  const MetricDescription& description = *from.description;
  out.Bytes(family::kName, description.name);
  out.Bytes(family::kHelp, ToUtf8(description.help));
  const bool gauge = description.type == MetricType::kGauge;
  const bool histogram = description.type == MetricType::kHistogram;
  out.Number(family::kType, histogram ? family::kHistogram
                            : gauge   ? family::kGauge
                                      : family::kCounter);
  for (const MetricSample& sample : from.samples) {
    out.Message(family::kMetric, [&](WireWriter& message) {
      for (size_t i = 0; i < description.labels.size(); ++i)
        WriteLabel(message, metric::kLabel, description.labels[i], sample.label_values[i]);
      if (histogram) return WriteHistogram(message, sample);
      message.Message(gauge ? metric::kGauge : metric::kCounter,
                      [&](WireWriter& number) { number.Double(kValueOfNumber, sample.value); });
    });
  }
}

}  // namespace

std::string PrometheusProtobuf(const std::vector<MetricFamily>& families) {
  std::string page;
  std::string one;
  WireWriter out(page);
  for (const MetricFamily& family : families) {
    if (family.samples.empty()) continue;
    one.clear();
    WireWriter message(one);
    WriteFamily(message, family);
    out.Varint(one.size());
    page += one;
  }
  return page;
}

}  // namespace leadsman
