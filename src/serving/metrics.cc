#include "serving/metrics.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman {
namespace {

uint64_t NextInstance() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

}  // namespace

/// The shards of one thread, one per ServingMetrics it has counted for (one in production, many in
/// a test binary).
struct ServingMetrics::ThreadShards {
  uint64_t last_instance = 0;
  Shard* last = nullptr;
  std::map<uint64_t, std::shared_ptr<Shard>> all;
  ~ThreadShards() {
    // Release: the next owner of the shard sees everything that this thread has counted.
    for (auto& [instance, shard] : all) shard->owned.store(false, std::memory_order_release);
  }
};

ServingMetrics::ServingMetrics(Registry& registry, bool tfserving, RequestExemplars* exemplars)
    : batching(registry), instance_(NextInstance()), tfserving_(tfserving), exemplars_(exemplars) {
  auto add = [&](MetricDescription description, Registry::Reader reader) {
    registrations_.push_back(registry.Add(std::move(description), std::move(reader)));
  };
  auto one = [](double value) {
    MetricSample sample;
    sample.value = value;
    return std::vector<MetricSample>{std::move(sample)};
  };
  add({"leadsman_serving_requests_total",
       "Prediction requests answered, by outcome. Requests that reached no version have an empty "
       "version, those for an "
       "unknown model an empty model too.",
       MetricType::kCounter,
       {"model", "version", "protocol", "code"}},
      [this] { return ReadRequests(); });
  add({"leadsman_serving_request_duration_seconds",
       "From a request's head to its encoded answer, errors included, for requests that reached a "
       "version.",
       MetricType::kHistogram,
       {"model", "version"}},
      [this] { return ReadHistogram(&Cells::latency, RequestExemplars::kLatency); });
  add({"leadsman_serving_compute_duration_seconds",
       "Time inside the model's runtime.",
       MetricType::kHistogram,
       {"model", "version"}},
      [this] { return ReadHistogram(&Cells::compute, RequestExemplars::kCompute); });
  add({"leadsman_serving_rows_total",
       "Rows (examples) of requests answered without an error.",
       MetricType::kCounter,
       {"model", "version"}},
      [this] { return ReadRows(); });
  add({"leadsman_serving_in_flight",
       "Prediction requests begun and not yet answered.",
       MetricType::kGauge,
       {}},
      [this, one] { return one(InFlight()); });
  add({"leadsman_serving_pool_queue_depth",
       "Requests waiting for a thread of the compute pool.",
       MetricType::kGauge,
       {}},
      [this, one] { return one(static_cast<double>(pool->depth.load())); });
  add({"leadsman_serving_pool_queue_bytes",
       "What the inputs of the requests take in memory that wait for a thread of the compute pool.",
       MetricType::kGauge,
       {}},
      [this, one] { return one(static_cast<double>(pool->bytes.load())); });
  add({"leadsman_serving_pool_rejected_total",
       "Requests refused because the queue of the compute pool was full, by their number or by "
       "their bytes.",
       MetricType::kCounter,
       {}},
      [this, one] {
        auto rejected = [this](RejectReason reason) {
          return static_cast<double>(pool->rejected[static_cast<size_t>(reason)].load());
        };
        return one(rejected(RejectReason::kFull) + rejected(RejectReason::kMemory));
      });
}

ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::Histogram::Record(uint64_t ns) {
  const FineLatencyScheme::Place place = FineLatencyScheme::PlaceOf(ns);
  Octave* octave = octaves[place.octave].load(std::memory_order_relaxed);
  if (octave == nullptr) octave = Begin(place.octave);
  (*octave)[place.part].Add(1);
  sum_ns.Add(ns);
}

/// Apart, so that Record needs no registers for it: half of its time.
[[gnu::noinline]] ServingMetrics::Histogram::Octave* ServingMetrics::Histogram::Begin(
    size_t index) {
  auto* octave = new Octave();
  // Release: a reader that sees the pointer sees the zeros behind it.
  octaves[index].store(octave, std::memory_order_release);
  return octave;
}

void ServingMetrics::Histogram::AddTo(FineLatencyBuckets& buckets) const {
  for (size_t i = 0; i < octaves.size(); ++i) {
    // Acquire pairs with the release in Begin.
    const Octave* octave = octaves[i].load(std::memory_order_acquire);
    if (octave == nullptr) continue;
    for (size_t part = 0; part < octave->size(); ++part)
      buckets[i * FineLatencyScheme::kParts + part] += (*octave)[part].Get();
  }
}

ServingMetrics::Shard& ServingMetrics::MyShard() {
  thread_local ThreadShards mine;
  if (mine.last_instance != instance_) {
    std::shared_ptr<Shard>& shard = mine.all[instance_];
    if (!shard) shard = NewShard();
    mine.last = shard.get();
    mine.last_instance = instance_;
  }
  return *mine.last;
}

std::shared_ptr<ServingMetrics::Shard> ServingMetrics::NewShard() {
  MutexLock lock(mutex_);
  for (const std::shared_ptr<Shard>& shard : shards_) {
    // Acquire pairs with the release in ~ThreadShards.
    if (!shard->owned.exchange(true, std::memory_order_acquire)) return shard;
  }
  shards_.push_back(std::make_shared<Shard>());
  return shards_.back();
}

ServingMetrics::Place::Place(uint32_t id)
    : chunk(std::min<size_t>(id / Chunk::kSize, Shard::kChunks - 1)), cell(id % Chunk::kSize) {}

ServingMetrics::Cells& ServingMetrics::CellsOf(Shard& shard, const ServableVersion& version) {
  const Place place(version.id);
  Chunk* chunk = shard.chunks[place.chunk].load(std::memory_order_relaxed);
  if (chunk != nullptr) {
    Cells* cells = chunk->cells[place.cell].load(std::memory_order_relaxed);
    if (cells != nullptr) return *cells;
  } else {
    chunk = new Chunk();
    // Release: a reader that sees the pointer sees the zeros behind it.
    shard.chunks[place.chunk].store(chunk, std::memory_order_release);
  }
  {
    MutexLock lock(mutex_);
    names_.try_emplace(place.key(), version.model_name, std::to_string(version.version));
    backends_[{version.model_name, std::to_string(version.version)}] = version.backend_name;
  }
  auto* cells = new Cells();
  chunk->cells[place.cell].store(cells, std::memory_order_release);
  return *cells;
}

void ServingMetrics::Forget(const std::string& model, int64_t version, uint32_t id) {
  batching.Forget(model, version);
  if (exemplars_) exemplars_->Forget({model, std::to_string(version)});
  const Place place(id);
  if (place.chunk + 1 == Shard::kChunks) return;  // others may count there
  MutexLock lock(mutex_);
  names_.erase(place.key());
  large_batches_.erase(VersionKey(model, std::to_string(version)));
  backends_.erase(VersionKey(model, std::to_string(version)));
  for (const std::shared_ptr<Shard>& shard : shards_) {
    // Acquire pairs with the release stores in CellsOf. Nobody writes there: that takes a handle, and the last one has been given
    // back long ago. Readers hold the lock.
    Chunk* chunk = shard->chunks[place.chunk].load(std::memory_order_acquire);
    if (chunk != nullptr) delete chunk->cells[place.cell].exchange(nullptr);
  }
}

void ServingMetrics::Started() { MyShard().started.Add(1); }

void ServingMetrics::BatchCells::Record(const RequestTimes& times) {
  count.Add(1);
  input_ns.Add(times.input_ns);
  infer_ns.Add(times.compute_ns);
  output_ns.Add(times.output_ns);
}

void ServingMetrics::CountExecution(Cells& cells, const ServableVersion& version,
                                    const RequestTimes& times) {
  cells.executions.Add(1);
  const uint32_t size = times.executed_rows;
  if (size == 1) return cells.of_one.Record(times);
  if (size <= kSmallBatch) {
    auto* several = cells.of_several.load(std::memory_order_relaxed);
    if (several == nullptr) {
      several = new std::array<BatchCells, kSmallBatch>();
      // Release: a reader that sees the pointer sees the zeros behind it.
      cells.of_several.store(several, std::memory_order_release);
    }
    return (*several)[size - 1].Record(times);
  }
  MutexLock lock(mutex_);
  auto& sizes = large_batches_[VersionKey(version.model_name, std::to_string(version.version))];
  auto it = sizes.find(size);
  if (it == sizes.end()) {
    if (sizes.size() >= kMaxBatchSizes) return;  // a client makes up sizes: not to be remembered
    it = sizes.emplace(size, BatchStatistics{.batch_size = size}).first;
  }
  auto add = [](DurationStatistic& to, uint64_t ns) {
    ++to.count;
    to.ns += ns;
  };
  add(it->second.compute_input, times.input_ns);
  add(it->second.compute_infer, times.compute_ns);
  add(it->second.compute_output, times.output_ns);
}

void ServingMetrics::CountTfServing(Cells& cells, Protocol protocol, TfServingApi api,
                                    StatusCode code, const RequestTimes& times) {
  auto* table = cells.tfserving.load(std::memory_order_relaxed);
  if (table == nullptr) {
    table = new TfServingTable<Word>();
    // Release: a reader that sees the pointer sees the zeros behind it.
    cells.tfserving.store(table, std::memory_order_release);
  }
  table->outcomes[static_cast<size_t>(code) % kStatusCodeCount].Add(1);
  if (code != StatusCode::kOk) return;
  auto record = [](TfServingTable<Word>::Histogram& histogram, uint64_t ns) {
    histogram.buckets[TfServingBucket(ns / 1000)].Add(1);
    histogram.sum_us.Add(ns / 1000);
  };
  record(table->request[static_cast<size_t>(api)][protocol == Protocol::kTfServingRest ? 1 : 0],
         times.latency_ns);
  record(table->runtime[static_cast<size_t>(api)], times.compute_ns);
}

void ServingMetrics::Finished(const ServableVersion* version, std::string_view model,
                              Protocol protocol, TfServingApi api, StatusCode code,
                              const RequestTimes& times, uint32_t rows, int64_t unix_ms) {
  Shard& shard = MyShard();
  const bool tfserving =
      tfserving_ && api != TfServingApi::kUncounted &&
      (protocol == Protocol::kTfServingRest || protocol == Protocol::kTfServingGrpc);
  auto count = [&](Cells& cells) {
    cells
        .requests[static_cast<size_t>(protocol) % kProtocols]
                 [static_cast<size_t>(code) % kStatusCodeCount]
        .Add(1);
    if (tfserving) CountTfServing(cells, protocol, api, code, times);
  };
  if (version != nullptr) {
    Cells& cells = CellsOf(shard, *version);
    count(cells);
    cells.latency.Record(times.latency_ns);
    if (times.compute_ns > 0) cells.compute.Record(times.compute_ns);
    if (times.executed_rows > 0) CountExecution(cells, *version, times);
    if (code == StatusCode::kOk) {
      cells.rows.Add(rows);
      cells.last_unix_ms.value.store(static_cast<uint64_t>(unix_ms), std::memory_order_relaxed);
      cells.success_ns.Add(times.latency_ns);
      cells.queue_ns.Add(times.queue_ns);
      cells.input_ns.Add(times.input_ns);
      cells.infer_ns.Add(times.compute_ns);
      cells.output_ns.Add(times.output_ns);
    } else {
      cells.failed.Add(1);
      cells.fail_ns.Add(times.latency_ns);
    }
  } else {
    MutexLock lock(mutex_);
    auto it = unversioned_.find(model);
    if (it == unversioned_.end()) it = unversioned_.emplace(model, std::make_unique<Cells>()).first;
    count(*it->second);
  }
  shard.finished.Add(1);
}

template <typename Visit>
void ServingMetrics::ForEachCells(Visit visit) const {
  MutexLock lock(mutex_);
  for (const auto& [id, key] : names_) {
    for (const std::shared_ptr<Shard>& shard : shards_) {
      // Acquire pairs with the release stores in CellsOf.
      const Place place(id);
      const Chunk* chunk = shard->chunks[place.chunk].load(std::memory_order_acquire);
      if (chunk == nullptr) continue;
      const Cells* cells = chunk->cells[place.cell].load(std::memory_order_acquire);
      if (cells != nullptr) visit(key, *cells);
    }
  }
  for (const auto& [model, cells] : unversioned_) visit(VersionKey(model, ""), *cells);
}

std::vector<MetricSample> ServingMetrics::ReadRequests() const {
  using Counts = std::array<std::array<uint64_t, kStatusCodeCount>, kProtocols>;
  std::map<VersionKey, Counts> sums;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    Counts& counts = sums.try_emplace(key).first->second;
    for (size_t p = 0; p < kProtocols; ++p) {
      for (size_t c = 0; c < kStatusCodeCount; ++c) counts[p][c] += cells.requests[p][c].Get();
    }
  });
  std::vector<MetricSample> samples;
  for (const auto& [key, counts] : sums) {
    for (size_t p = 0; p < kProtocols; ++p) {
      for (size_t c = 0; c < kStatusCodeCount; ++c) {
        if (counts[p][c] == 0) continue;
        MetricSample sample;
        sample.label_values = {key.first, key.second,
                               std::string(ProtocolName(static_cast<Protocol>(p))),
                               std::string(StatusCodeName(static_cast<StatusCode>(c)))};
        sample.value = static_cast<double>(counts[p][c]);
        samples.push_back(std::move(sample));
      }
    }
  }
  return samples;
}

std::vector<MetricSample> ServingMetrics::ReadHistogram(Histogram Cells::*histogram,
                                                        RequestExemplars::Of exemplars) const {
  struct Sum {
    FineLatencyBuckets buckets{};
    uint64_t sum_ns = 0;
  };
  std::map<VersionKey, Sum> sums;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    if (key.second.empty()) return;
    Sum& sum = sums[key];
    (cells.*histogram).AddTo(sum.buckets);
    sum.sum_ns += (cells.*histogram).sum_ns.Get();
  });
  std::vector<MetricSample> samples;
  samples.reserve(sums.size());
  for (const auto& [key, sum] : sums) {
    samples.push_back(FineLatencySample({key.first, key.second}, sum.buckets,
                                        static_cast<double>(sum.sum_ns) * 1e-9, kFirstExponent,
                                        kLastExponent));
    if (exemplars_) samples.back().exemplars = exemplars_->Read(key, exemplars);
  }
  return samples;
}

std::vector<MetricSample> ServingMetrics::ReadRows() const {
  std::map<VersionKey, uint64_t> sums;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    if (!key.second.empty()) sums[key] += cells.rows.Get();
  });
  std::vector<MetricSample> samples;
  for (const auto& [key, rows] : sums) {
    MetricSample sample;
    sample.label_values = {key.first, key.second};
    sample.value = static_cast<double>(rows);
    samples.push_back(std::move(sample));
  }
  return samples;
}

void ServingMetrics::AddStatistics(const Cells& cells, ModelStatistics& sum,
                                   std::map<uint64_t, BatchStatistics>& batches) const {
  uint64_t ok = 0;
  for (const auto& by_code : cells.requests) {
    ok += by_code[static_cast<size_t>(StatusCode::kOk)].Get();
    for (size_t code = 0; code < by_code.size(); ++code) sum.outcomes[code] += by_code[code].Get();
  }
  auto add = [](DurationStatistic& to, uint64_t count, uint64_t ns) {
    to.count += count;
    to.ns += ns;
  };
  sum.last_inference_unix_ms =
      std::max(sum.last_inference_unix_ms, static_cast<int64_t>(cells.last_unix_ms.Get()));
  sum.inference_count += cells.rows.Get();
  sum.execution_count += cells.executions.Get();
  add(sum.success, ok, cells.success_ns.Get());
  add(sum.fail, cells.failed.Get(), cells.fail_ns.Get());
  add(sum.queue, ok, cells.queue_ns.Get());
  add(sum.compute_input, ok, cells.input_ns.Get());
  add(sum.compute_infer, ok, cells.infer_ns.Get());
  add(sum.compute_output, ok, cells.output_ns.Get());
  auto batch = [&](uint64_t size, const BatchCells& from) {
    uint64_t count = from.count.Get();
    if (count == 0) return;
    BatchStatistics& to = batches[size];
    to.batch_size = size;
    add(to.compute_input, count, from.input_ns.Get());
    add(to.compute_infer, count, from.infer_ns.Get());
    add(to.compute_output, count, from.output_ns.Get());
  };
  batch(1, cells.of_one);
  // Acquire pairs with the release in CountExecution.
  const auto* several = cells.of_several.load(std::memory_order_acquire);
  for (size_t i = 0; several != nullptr && i < several->size(); ++i) batch(i + 1, (*several)[i]);
}

std::vector<ModelStatistics> ServingMetrics::Statistics(std::string_view model,
                                                        std::optional<int64_t> version) const {
  struct Sum {
    ModelStatistics statistics;
    std::map<uint64_t, BatchStatistics> batches;
  };
  std::map<std::pair<std::string, int64_t>, Sum> sums;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    if (key.second.empty() || (!model.empty() && key.first != model)) return;
    int64_t number = ParseInt64(key.second).value_or(0);
    if (version && number != *version) return;
    Sum& sum = sums[{key.first, number}];
    AddStatistics(cells, sum.statistics, sum.batches);
  });
  std::vector<ModelStatistics> all;
  MutexLock lock(mutex_);
  for (auto& [key, sum] : sums) {
    auto large = large_batches_.find({key.first, std::to_string(key.second)});
    if (large != large_batches_.end()) {
      for (const auto& [size, batch] : large->second) sum.batches.emplace(size, batch);
    }
    auto backend = backends_.find({key.first, std::to_string(key.second)});
    if (backend != backends_.end()) sum.statistics.backend = backend->second;
    sum.statistics.model = key.first;
    sum.statistics.version = key.second;
    for (const auto& [size, batch] : sum.batches) sum.statistics.batches.push_back(batch);
    all.push_back(std::move(sum.statistics));
  }
  return all;
}

std::vector<TfServingStatistics> ServingMetrics::TensorFlowServing() const {
  std::map<VersionKey, TfServingTable<uint64_t>> by_version;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    // Acquire pairs with the release in CountTfServing.
    const auto* table = cells.tfserving.load(std::memory_order_acquire);
    if (table == nullptr) return;
    by_version[key].ForEachWith(*table, [](uint64_t& sum, const Word& word) { sum += word.Get(); });
  });
  std::map<std::pair<std::string, std::string>, TfServingTable<uint64_t>> sums;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, table] : by_version) {
      auto backend = backends_.find(key);
      sums[{key.first, backend == backends_.end() ? "" : backend->second}].ForEachWith(
          table, [](uint64_t& sum, uint64_t count) { sum += count; });
    }
  }
  std::vector<TfServingStatistics> all;
  for (auto& [key, counts] : sums) all.push_back({key.first, key.second, counts});
  return all;
}

double ServingMetrics::InFlight() const {
  MutexLock lock(mutex_);
  // Finished first: a request that ends in between must not make the difference negative.
  uint64_t finished = 0;
  for (const std::shared_ptr<Shard>& shard : shards_) finished += shard->finished.Get();
  uint64_t started = 0;
  for (const std::shared_ptr<Shard>& shard : shards_) started += shard->started.Get();
  return started > finished ? static_cast<double>(started - finished) : 0;
}

}  // namespace leadsman
