#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "stats/latency_scheme.h"

namespace leadsman {

enum class MetricType { kCounter, kGauge, kHistogram };

/// One family as the documentation and the exporters see it.
struct MetricDescription {
  std::string name;  ///< "leadsman_serving_requests_total"
  std::string help;
  MetricType type = MetricType::kCounter;
  std::vector<std::string> labels;
  /// Another server's metric: always exported under this very name, and with a histogram's bounds as that server writes
  /// them, with six digits. OpenMetrics wants counters to end with "_total"; one that does not, and must not, is of the type
  /// "unknown" there.
  bool exact_name = false;
};

/// A request that a histogram has counted, and whose trace can be looked up.
struct Exemplar {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  double value = 0;
  int64_t unix_ms = 0;
};

/// What a histogram has counted in the buckets of Prometheus's native histograms: bucket i has the values in
/// (2^((i - 1) / 2^schema), 2^(i / 2^schema)].
struct NativeHistogram {
  int schema = 0;
  double zero_threshold = 0;  ///< an edge of the schema; `zero_count` values are not above it
  uint64_t zero_count = 0;
  int first_bucket = 0;          ///< that of counts[0]
  std::vector<uint64_t> counts;  ///< neither the first nor the last is 0
};

struct MetricSample {
  std::vector<std::string> label_values;  ///< in the order of MetricDescription::labels
  double value = 0;                       ///< counters and gauges
  // Histograms: seconds. Cumulative counts at `upper_bounds`, then the total.
  std::vector<double> upper_bounds;
  std::vector<uint64_t> cumulative;
  uint64_t count = 0;
  double sum = 0;
  std::vector<Exemplar> exemplars;                ///< by value; at most one for each bucket
  std::shared_ptr<const NativeHistogram> native;  ///< the same values; may be absent
};
struct MetricFamily {
  std::shared_ptr<const MetricDescription> description;  ///< never null in what Collect() returns
  std::vector<MetricSample> samples;
};

/// Where rooms declare their metrics and exporters pull them. Rooms register a description and a
/// function that reads the present values; nobody pushes. Names and labels are fixed at
/// registration, so that the reference page is generated from the same table.
///
/// Several rooms or servers may add the same name (with the same type and labels): their samples
/// become one family.
///
/// Thread-safe. A reader must be safe from any thread until its Registration is gone, and must not
/// block. A Registration's end waits for a reader call in progress: hold no lock there that the
/// reader takes.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  using Reader = std::function<std::vector<MetricSample>()>;

  /// Removes the family when it goes.
  class Registration {
   public:
    Registration() = default;
    Registration(Registry* registry, uint64_t id) : registry_(registry), id_(id) {}
    Registration(Registration&& other) noexcept
        : registry_(std::exchange(other.registry_, nullptr)), id_(other.id_) {}
    Registration& operator=(Registration&& other) noexcept;
    ~Registration();

   private:
    Registry* registry_ = nullptr;
    uint64_t id_ = 0;
  };

  /// The name and the labels must be valid Prometheus names (CHECKed: they are literals of the
  /// program).
  [[nodiscard]] Registration Add(MetricDescription description, Reader reader);
  /// Sorted by name.
  std::vector<MetricFamily> Collect() const;
  std::vector<MetricDescription> Descriptions() const;

 private:
  struct Entry;
  void Remove(uint64_t id);

  mutable Mutex mutex_;
  mutable CondVar reader_left_;
  std::vector<std::shared_ptr<Entry>> entries_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
};

bool IsValidMetricName(std::string_view name);
bool IsValidLabelName(std::string_view name);

}  // namespace leadsman
