#include "telemetry/otlp_metrics.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "base/strings.h"
#include "base/wire.h"

namespace leadsman {
namespace {

// Field numbers of opentelemetry.proto: metrics.v1.
namespace metric {
constexpr uint32_t kName = 1, kDescription = 2, kUnit = 3, kGauge = 5, kSum = 7, kHistogram = 9;
}
namespace data {  // of Gauge, Sum and Histogram
constexpr uint32_t kPoints = 1, kTemporality = 2, kMonotonic = 3;
constexpr uint64_t kCumulative = 2;
}  // namespace data
namespace point {  // of NumberDataPoint and HistogramDataPoint
constexpr uint32_t kStart = 2, kTime = 3;
constexpr uint32_t kNumber = 4, kAttributesOfNumber = 7;
constexpr uint32_t kCount = 4, kSum = 5, kBucketCounts = 6, kBounds = 7, kExemplars = 8,
                   kAttributesOfHistogram = 9;
}  // namespace point
namespace exemplar {
constexpr uint32_t kTime = 2, kNumber = 3, kSpanId = 4, kTraceId = 5;
}

template <typename T>
void Packed(WireWriter& out, uint32_t field, const std::vector<T>& values) {
  static_assert(sizeof(T) == 8);
  out.Bytes(field, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

/// In UCUM, where the name says it.
std::string_view UnitOf(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  if (name.ends_with("_seconds")) return "s";
  if (name.ends_with("_bytes")) return "By";
  return "";
}

void WriteTimes(WireWriter& out, MetricsTime time) {
  AddFixed64(out, point::kStart, static_cast<uint64_t>(time.start_unix_ns));
  AddFixed64(out, point::kTime, static_cast<uint64_t>(time.unix_ns));
}

void WriteAttributes(WireWriter& out, uint32_t field, const MetricDescription& description,
                     const MetricSample& sample) {
  for (size_t i = 0; i < description.labels.size(); ++i)
    AddOtlpAttribute(out, field, description.labels[i], sample.label_values[i]);
}

void WriteExemplar(WireWriter& out, const Exemplar& from) {
  auto bytes = [](const auto& id) {
    return std::string_view(reinterpret_cast<const char*>(id.data()), id.size());
  };
  out.Message(point::kExemplars, [&](WireWriter& message) {
    AddFixed64(message, exemplar::kTime, static_cast<uint64_t>(from.unix_ms) * 1'000'000);
    message.Double(exemplar::kNumber, from.value);
    message.Bytes(exemplar::kSpanId, bytes(from.span_id));
    message.Bytes(exemplar::kTraceId, bytes(from.trace_id));
  });
}

void WriteHistogramPoint(WireWriter& out, const MetricSample& sample) {
  AddFixed64(out, point::kCount, sample.count);
  out.Double(point::kSum, sample.sum);
  std::vector<uint64_t> counts;
  uint64_t below = 0;
  for (uint64_t cumulative : sample.cumulative) {
    counts.push_back(cumulative - below);
    below = cumulative;
  }
  counts.push_back(sample.count - below);
  Packed(out, point::kBucketCounts, counts);
  Packed(out, point::kBounds, sample.upper_bounds);
  for (const Exemplar& one : sample.exemplars) WriteExemplar(out, one);
}

void WriteMetric(WireWriter& out, const MetricDescription& description,
                 std::span<const MetricSample> samples, MetricsTime time) {
  const bool histogram = description.type == MetricType::kHistogram;
  const bool sum = description.type == MetricType::kCounter;
  out.Bytes(metric::kName, description.name);
  out.Text(metric::kDescription, ToUtf8(description.help));
  out.Text(metric::kUnit, UnitOf(description.name));
  const uint32_t kind = histogram ? metric::kHistogram : sum ? metric::kSum : metric::kGauge;
  out.Message(kind, [&](WireWriter& data) {
    for (const MetricSample& sample : samples) {
      data.Message(data::kPoints, [&](WireWriter& point) {
        WriteTimes(point, time);
        if (histogram) {
          WriteAttributes(point, point::kAttributesOfHistogram, description, sample);
          return WriteHistogramPoint(point, sample);
        }
        WriteAttributes(point, point::kAttributesOfNumber, description, sample);
        point.Double(point::kNumber, sample.value);
      });
    }
    if (histogram || sum) data.Number(data::kTemporality, data::kCumulative);
    if (sum) data.Number(data::kMonotonic, 1);
  });
}

}  // namespace

std::vector<OtlpBody> OtlpMetrics(const OtlpResource& source,
                                  const std::vector<MetricFamily>& families, MetricsTime time,
                                  size_t max_points) {
  std::vector<OtlpBody> bodies;
  std::string metrics;
  WireWriter out(metrics);
  size_t points = 0;
  auto finish = [&] {
    if (points > 0) bodies.push_back({OtlpExport(source, metrics), points});
    metrics.clear();
    points = 0;
  };
  for (const MetricFamily& family : families) {
    std::span<const MetricSample> rest(family.samples);
    while (!rest.empty()) {
      const auto some = rest.first(std::min(rest.size(), max_points - points));
      out.Message(kOtlpItem, [&](WireWriter& message) {
        WriteMetric(message, *family.description, some, time);
      });
      points += some.size();
      rest = rest.subspan(some.size());
      if (points == max_points) finish();
    }
  }
  finish();
  return bodies;
}

}  // namespace leadsman
