#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "batching/stats.h"
#include "events/prediction_event.h"
#include "lifecycle/types.h"
#include "serving/model_statistics.h"
#include "serving/request_exemplars.h"
#include "serving/tfserving_counts.h"
#include "stats/fine_latency.h"
#include "stats/registry.h"

namespace leadsman {

/// Where one request's time went.
struct RequestTimes {
  uint64_t latency_ns = 0;
  uint64_t queue_ns = 0;    ///< from Execute until the model began with it
  uint64_t input_ns = 0;    ///< putting its batch together
  uint64_t compute_ns = 0;  ///< in the runtime; 0 when the model did not run
  uint64_t output_ns = 0;   ///< taking its batch apart
  /// Rows of the execution that it was part of, set on one of that execution's requests only: executions are counted
  /// once.
  uint32_t executed_rows = 0;
};

/// Counters and latency histograms of the serving room, exact per (model, version, protocol,
/// outcome).
///
/// Counting writes plain words of the calling thread's own shard (no shared cache line, no locked
/// instruction); reading adds the shards up. Requests that reached no version are counted under
/// version="", those that named no model that is configured here under model="" too: labels never
/// come from a client.
///
/// Thread-safe. The registry must outlive it.
struct ServingMetrics {
 public:
  /// `tfserving`: TensorFlowServing() is asked for, which counts once more.
  /// `exemplars` may be absent, and must outlive it.
  explicit ServingMetrics(Registry& registry, bool tfserving = false,
                          RequestExemplars* exemplars = nullptr);
  ~ServingMetrics();
  ServingMetrics(const ServingMetrics&) = delete;
  ServingMetrics& operator=(const ServingMetrics&) = delete;

  /// A request was admitted (whatever came of it); Finished follows exactly once.
  void Started();
  /// `version` is null when none was reached; `model` is then the configured model's name or empty.
  /// `api` only says something with TensorFlow Serving's protocols.
  void Finished(const ServableVersion* version, std::string_view model, Protocol protocol,
                TfServingApi api, StatusCode code, const RequestTimes& times, uint32_t rows,
                int64_t unix_ms);

  /// Drops what was counted for a version that is not in memory, and whose `id` will not come again: its series end. A
  /// process that is given a new version every hour must not grow by it.
  void Forget(const std::string& model, int64_t version, uint32_t id);

  /// Of every version that has had a request and is not forgotten, or only those of `model` and of `version`. By model,
  /// then version.
  std::vector<ModelStatistics> Statistics(std::string_view model = {},
                                          std::optional<int64_t> version = {}) const;

  /// What TensorFlow Serving would have counted, by model and backend. Empty when it is not counted.
  std::vector<TfServingStatistics> TensorFlowServing() const;

  BatchMetrics batching;  ///< of the versions with a queue of their own
  const std::shared_ptr<BatchStats> pool =
      std::make_shared<BatchStats>();  ///< of the pool that the others share

  /// The exported histograms have a bound at each power of two of a nanosecond from 8 µs to 17 s. These are
  /// LatencyScheme's octaves, so the figures agree with every other histogram of the house.
  static constexpr int kFirstExponent = 13;
  static constexpr int kLastExponent = 34;

 private:
  static constexpr size_t kProtocols = kProtocolCount;
  /// Written by one thread, read by any: hence atomics, but no read-modify-write.
  struct Word {
    std::atomic<uint64_t> value{0};
    void Add(uint64_t n) {
      value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    uint64_t Get() const { return value.load(std::memory_order_relaxed); }
  };
  /// Its octaves come with their first value: of most histograms a few are used.
  struct Histogram {
    using Octave = std::array<Word, FineLatencyScheme::kParts>;
    std::array<std::atomic<Octave*>, FineLatencyScheme::kOctaves> octaves{};
    Word sum_ns;
    void Record(uint64_t ns);
    Octave* Begin(size_t index);
    void AddTo(FineLatencyBuckets& buckets) const;
    ~Histogram() {
      for (auto& octave : octaves) delete octave.load();
    }
  };
  /// Executions of one batch size; each has an input, an inference and an output.
  struct BatchCells {
    Word count;
    Word input_ns;
    Word infer_ns;
    Word output_ns;
    void Record(const RequestTimes& times);
  };
  /// Sizes up to this have a cell of their own in every thread, larger ones share a map under the
  /// lock: then the execution is long, and the lock nothing.
  static constexpr uint32_t kSmallBatch = 64;
  static constexpr size_t kMaxBatchSizes = 1000;
  struct alignas(64) Cells {
    std::array<std::array<Word, kStatusCodeCount>, kProtocols> requests;
    Histogram latency;
    Histogram compute;
    Word rows;
    // For ModelStatistics.
    Word last_unix_ms;
    Word executions;
    Word failed;
    Word success_ns;
    Word fail_ns;
    Word queue_ns;
    Word input_ns;
    Word infer_ns;
    Word output_ns;
    BatchCells of_one;  ///< a batch of one row: the usual case
    std::atomic<std::array<BatchCells, kSmallBatch>*> of_several{nullptr};
    std::atomic<TfServingTable<Word>*> tfserving{nullptr};  ///< with the first of its requests
    ~Cells() {
      delete of_several.load();
      delete tfserving.load();
    }
  };
  struct Chunk {
    static constexpr size_t kSize = 64;
    std::array<std::atomic<Cells*>, kSize> cells{};
    ~Chunk() {
      for (auto& cell : cells) delete cell.load();
    }
  };
  /// One thread's counters; handed on to the next thread when its own ends.
  struct alignas(64) Shard {
    static constexpr size_t kChunks = 1024;
    std::array<std::atomic<Chunk*>, kChunks> chunks{};
    Word started;
    Word finished;
    std::atomic<bool> owned{true};
    ~Shard() {
      for (auto& chunk : chunks) delete chunk.load();
    }
  };
  struct ThreadShards;
  using VersionKey = std::pair<std::string, std::string>;  ///< model, version

  /// Where the cells of an id lie in each shard. Ids are given out one by one, a process does not get near the end; should
  /// it, the last chunk is shared.
  struct Place {
    explicit Place(uint32_t id);
    size_t chunk, cell;
    uint32_t key() const { return static_cast<uint32_t>(chunk * Chunk::kSize + cell); }
  };

  Shard& MyShard();
  std::shared_ptr<Shard> NewShard();
  Cells& CellsOf(Shard& shard, const ServableVersion& version);
  static void CountTfServing(Cells& cells, Protocol protocol, TfServingApi api, StatusCode code,
                             const RequestTimes& times);
  void CountExecution(Cells& cells, const ServableVersion& version, const RequestTimes& times);
  void AddStatistics(const Cells& cells, ModelStatistics& sum,
                     std::map<uint64_t, BatchStatistics>& batches) const;
  template <typename Visit>
  void ForEachCells(Visit visit) const;
  std::vector<MetricSample> ReadRequests() const;
  std::vector<MetricSample> ReadHistogram(Histogram Cells::*histogram,
                                          RequestExemplars::Of exemplars) const;
  std::vector<MetricSample> ReadRows() const;
  double InFlight() const;

  const uint64_t instance_;
  const bool tfserving_;
  RequestExemplars* const exemplars_;
  mutable Mutex mutex_;
  std::vector<std::shared_ptr<Shard>> shards_ GUARDED_BY(mutex_);
  std::map<uint32_t, VersionKey> names_ GUARDED_BY(mutex_);  ///< Place::key → labels
  std::map<VersionKey, std::string> backends_ GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<Cells>, std::less<>> unversioned_ GUARDED_BY(mutex_);
  std::map<VersionKey, std::map<uint32_t, BatchStatistics>> large_batches_ GUARDED_BY(mutex_);
  std::vector<Registry::Registration>
      registrations_;  ///< last: no reader runs once members above go
};

}  // namespace leadsman
