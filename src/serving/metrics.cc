#include "serving/metrics.h"

#include <bit>
#include <cmath>

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

ServingMetrics::ServingMetrics(Registry& registry) : instance_(NextInstance()) {
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
      [this] { return ReadHistogram(&Cells::latency); });
  add({"leadsman_serving_compute_duration_seconds",
       "Time inside the model's runtime.",
       MetricType::kHistogram,
       {"model", "version"}},
      [this] { return ReadHistogram(&Cells::compute); });
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
      [this, one] { return one(static_cast<double>(pool_queue_depth.load())); });
  add({"leadsman_serving_pool_rejected_total",
       "Requests refused because the queue of the compute pool was full.",
       MetricType::kCounter,
       {}},
      [this, one] { return one(static_cast<double>(pool_rejected.load())); });
}

ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::Histogram::Record(uint64_t ns) {
  int exponent = ns <= 1 ? 0 : std::bit_width(ns - 1);  // the smallest k with ns <= 2^k
  int bucket = exponent - kFirstExponent;
  if (bucket < 0) bucket = 0;
  if (bucket >= static_cast<int>(kBuckets)) bucket = kBuckets - 1;
  buckets[static_cast<size_t>(bucket)].Add(1);
  sum_ns.Add(ns);
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

ServingMetrics::Cells& ServingMetrics::CellsOf(Shard& shard, const ServableVersion& version) {
  // Ids are given out one by one, a process does not get near the end; should it, the last chunk is
  // shared.
  size_t chunk_index = std::min<size_t>(version.id / Chunk::kSize, Shard::kChunks - 1);
  Chunk* chunk = shard.chunks[chunk_index].load(std::memory_order_relaxed);
  if (chunk != nullptr) {
    Cells* cells = chunk->cells[version.id % Chunk::kSize].load(std::memory_order_relaxed);
    if (cells != nullptr) return *cells;
  } else {
    chunk = new Chunk();
    // Release: a reader that sees the pointer sees the zeros behind it.
    shard.chunks[chunk_index].store(chunk, std::memory_order_release);
  }
  {
    MutexLock lock(mutex_);
    names_.try_emplace(
        static_cast<uint32_t>(chunk_index * Chunk::kSize + version.id % Chunk::kSize),
        version.model_name, std::to_string(version.version));
  }
  auto* cells = new Cells();
  chunk->cells[version.id % Chunk::kSize].store(cells, std::memory_order_release);
  return *cells;
}

void ServingMetrics::Started() { MyShard().started.Add(1); }

void ServingMetrics::Finished(const ServableVersion* version, std::string_view model,
                              Protocol protocol, StatusCode code, uint64_t latency_ns,
                              uint64_t compute_ns, uint32_t rows) {
  Shard& shard = MyShard();
  auto count = [&](Cells& cells) {
    cells
        .requests[static_cast<size_t>(protocol) % kProtocols]
                 [static_cast<size_t>(code) % kStatusCodeCount]
        .Add(1);
  };
  if (version != nullptr) {
    Cells& cells = CellsOf(shard, *version);
    count(cells);
    cells.latency.Record(latency_ns);
    if (compute_ns > 0) cells.compute.Record(compute_ns);
    if (code == StatusCode::kOk) cells.rows.Add(rows);
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
      const Chunk* chunk = shard->chunks[id / Chunk::kSize].load(std::memory_order_acquire);
      if (chunk == nullptr) continue;
      const Cells* cells = chunk->cells[id % Chunk::kSize].load(std::memory_order_acquire);
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

std::vector<MetricSample> ServingMetrics::ReadHistogram(Histogram Cells::*histogram) const {
  struct Sum {
    std::array<uint64_t, kBuckets> buckets{};
    uint64_t sum_ns = 0;
  };
  std::map<VersionKey, Sum> sums;
  ForEachCells([&](const VersionKey& key, const Cells& cells) {
    if (key.second.empty()) return;
    Sum& sum = sums[key];
    for (size_t i = 0; i < kBuckets; ++i) sum.buckets[i] += (cells.*histogram).buckets[i].Get();
    sum.sum_ns += (cells.*histogram).sum_ns.Get();
  });
  std::vector<MetricSample> samples;
  for (const auto& [key, sum] : sums) {
    MetricSample sample;
    sample.label_values = {key.first, key.second};
    for (size_t i = 0; i < kBuckets; ++i) {
      sample.count += sum.buckets[i];
      if (i + 1 == kBuckets) break;
      sample.upper_bounds.push_back(std::ldexp(1e-9, kFirstExponent + static_cast<int>(i)));
      sample.cumulative.push_back(sample.count);
    }
    sample.sum = static_cast<double>(sum.sum_ns) * 1e-9;
    samples.push_back(std::move(sample));
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
