#include "telemetry/tracer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/start_thread.h"
#include "base/strings.h"
#include "events/redactor.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

constexpr size_t kRingBytes = 256 << 10;
constexpr size_t kMaxText = 255;
constexpr milliseconds kPeriod{500};
/// Requests in one body: about 2 KB each.
constexpr size_t kMaxBatch = 500;

struct Record {
  std::array<uint8_t, 16> trace_id;
  std::array<uint8_t, 8> span_id, parent_span_id;
  int64_t version;
  int64_t end_unix_ns;
  uint64_t latency_ns, decode_ns, queue_ns, batch_ns, compute_ns;
  uint32_t rows, request_bytes, response_bytes;
  uint8_t protocol, outcome, traced, reason;
  uint32_t model_length, id_length;
};

uint64_t RandomBits() {
  thread_local Rng rng(RandomSeed());
  return rng();
}

}  // namespace

Result<std::unique_ptr<Tracer>> Tracer::Create(Deps deps, TracingOptions options) {
  std::vector<Destination> destinations;
  auto add = [&](const char* name, BatchSender::Options sender, auto render) {
    if (sender.url.empty()) return OkStatus();
    sender.headers_file = options.headers_file;
    sender.ca_file = options.ca_file;
    auto made = BatchSender::Create(deps.clock, sender);
    if (!made.ok())
      return Status(made.status().code(), StrCat("telemetry.tracing.", made.status().message()));
    destinations.push_back({name, render, std::move(*made)});
    return OkStatus();
  };
  BatchSender::Options otlp;
  otlp.url = options.otlp_url;
  otlp.content_type = "application/x-protobuf";
  otlp.otlp = true;
  if (IsGrpc(options.otlp_protocol, options.otlp_url))
    otlp.grpc_method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
  RETURN_IF_ERROR(add("otlp", otlp, &OtlpTraces));
  BatchSender::Options zipkin;
  zipkin.url = options.zipkin_url;
  RETURN_IF_ERROR(add("zipkin", zipkin, &ZipkinSpans));
  std::unique_ptr<Tracer> tracer(
      new Tracer(std::move(deps), std::move(options), std::move(destinations)));
  ASSIGN_OR_RETURN(tracer->thread_, StartThread("tracer", [made = tracer.get()] { made->Loop(); }));
  tracer->AddMetrics();
  return tracer;
}

Tracer::Tracer(Deps deps, TracingOptions options, std::vector<Destination> destinations)
    : clock_(deps.clock),
      registry_(deps.registry),
      next_(deps.next),
      redactor_(deps.redactor),
      source_(std::move(deps.source)),
      on_kept_(std::move(deps.kept)),
      options_(std::move(options)),
      share_below_(static_cast<uint64_t>(options_.keep_share * 0x1.0p32)),
      rings_(kRingBytes),
      allowance_(options_.max_per_second),
      allowance_at_(clock_.SteadyNow()),
      rng_(RandomSeed()),
      destinations_(std::move(destinations)) {}

Tracer::~Tracer() {
  if (!thread_.joinable()) return;  // it could not be started
  registrations_.clear();
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
  for (Destination& destination : destinations_) destination.sender->BeginStop();
}

std::optional<Tracer::Reason> Tracer::Worth(const PredictionEvent& event) const {
  if (options_.keep_sampled && event.trace_sampled) return Reason::kSampled;
  if (options_.keep_errors && event.outcome != StatusCode::kOk) return Reason::kError;
  const auto slow =
      static_cast<uint64_t>(std::chrono::nanoseconds(options_.keep_slower_than).count());
  if (slow > 0 && event.latency_ns > slow) return Reason::kSlow;
  if (share_below_ > 0 && (RandomBits() >> 32) < share_below_) return Reason::kShare;
  return std::nullopt;
}

void Tracer::Emit(const PredictionEvent& event) {
  next_.Emit(event);
  if (event.observed) return;
  if (std::optional<Reason> reason = Worth(event)) Keep(event, *reason);
}

void Tracer::Keep(const PredictionEvent& event, Reason reason) {
  ByteRing* ring = rings_.ForThisThread();
  if (ring == nullptr) return;  // counted by the set
  const std::string_view model = event.model.substr(0, kMaxText);
  const std::string_view id = event.request_id.substr(0, kMaxText);
  std::byte* to = ring->Reserve(sizeof(Record) + model.size() + id.size());
  if (to == nullptr) return;
  const Record record{.trace_id = event.trace_id,
                      .span_id = event.span_id,
                      .parent_span_id = event.parent_span_id,
                      .version = event.version,
                      .end_unix_ns = event.unix_ns,
                      .latency_ns = event.latency_ns,
                      .decode_ns = event.decode_ns,
                      .queue_ns = event.queue_ns,
                      .batch_ns = event.batch_ns,
                      .compute_ns = event.compute_ns,
                      .rows = event.rows,
                      .request_bytes = event.request_bytes,
                      .response_bytes = event.response_bytes,
                      .protocol = static_cast<uint8_t>(event.protocol),
                      .outcome = static_cast<uint8_t>(event.outcome),
                      .traced = event.traced,
                      .reason = static_cast<uint8_t>(reason),
                      .model_length = static_cast<uint32_t>(model.size()),
                      .id_length = static_cast<uint32_t>(id.size())};
  std::memcpy(to, &record, sizeof(record));
  char* text = reinterpret_cast<char*>(to + sizeof(record));
  std::copy(id.begin(), id.end(), std::copy(model.begin(), model.end(), text));
  ring->Commit(sizeof(record) + model.size() + id.size());
}

void Tracer::Loop() {
  for (bool stopping = false; !stopping;) {
    {
      MutexLock lock(mutex_);
      if (!stop_) changed_.WaitFor(mutex_, kPeriod);
      stopping = stop_;
    }
    Export();
  }
}

void Tracer::Export() {
  const SteadyTime now = clock_.SteadyNow();
  // A second's worth may come at once.
  allowance_ = std::min(allowance_ + options_.max_per_second * ToSeconds(now - allowance_at_),
                        std::max(options_.max_per_second, 1.0));
  allowance_at_ = now;
  while (rings_.Drain([this](const std::byte* record, size_t) { Take(record); }, kMaxBatch) > 0) {
    for (size_t first = 0; first < batch_.size(); first += kMaxBatch) {
      const auto part = std::span<const TracedRequest>(batch_).subspan(first).first(
          std::min(kMaxBatch, batch_.size() - first));
      for (Destination& destination : destinations_)
        destination.sender->Send(destination.render(source_, part), part.size());
    }
    batch_.clear();
  }
}

void Tracer::Take(const std::byte* from) {
  Record record;
  std::memcpy(&record, from, sizeof(record));
  if (allowance_ < 1) {
    over_rate_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  allowance_ -= 1;
  kept_[record.reason].fetch_add(1, std::memory_order_relaxed);
  const char* text = reinterpret_cast<const char*>(from + sizeof(record));
  TracedRequest& request = batch_.emplace_back();
  request.model.assign(text, record.model_length);
  request.request_id.assign(text + record.model_length, record.id_length);
  if (redactor_ != nullptr) {
    std::string scratch;
    request.request_id = redactor_->Apply(RequestText::kRequestId, request.request_id, scratch);
  }
  request.version = record.version;
  request.protocol = static_cast<Protocol>(record.protocol);
  request.outcome = static_cast<StatusCode>(record.outcome);
  request.end_unix_ns = record.end_unix_ns;
  request.latency_ns = record.latency_ns;
  request.decode_ns = record.decode_ns;
  request.queue_ns = record.queue_ns;
  request.batch_ns = record.batch_ns;
  request.compute_ns = record.compute_ns;
  request.rows = record.rows;
  request.request_bytes = record.request_bytes;
  request.response_bytes = record.response_bytes;
  if (record.traced != 0) {
    request.trace_id = record.trace_id;
    request.span_id = record.span_id;
    request.parent_span_id = record.parent_span_id;
  } else {
    // It came without a trace, and begins one.
    const uint64_t ids[3] = {rng_(), rng_() | 1, rng_() | 1};
    std::memcpy(request.trace_id.data(), ids, 16);
    std::memcpy(request.span_id.data(), &ids[2], 8);
  }
  if (on_kept_) on_kept_(request);
}

void Tracer::AddMetrics() {
  auto add = [&](const char* name, const char* help, std::vector<std::string> labels,
                 Registry::Reader reader) {
    registrations_.push_back(
        registry_.Add({name, help, MetricType::kCounter, std::move(labels)}, std::move(reader)));
  };
  auto sample = [](std::vector<std::string> labels, uint64_t value) {
    MetricSample one;
    one.label_values = std::move(labels);
    one.value = static_cast<double>(value);
    return one;
  };
  add("leadsman_tracing_requests_kept_total",
      "Requests of which a trace was made, by why: sampled (by the caller), error, slow, share.",
      {"reason"}, [this, sample] {
        static constexpr const char* kNames[kReasons] = {"sampled", "error", "slow", "share"};
        std::vector<MetricSample> samples;
        for (size_t i = 0; i < kReasons; ++i)
          samples.push_back(sample({kNames[i]}, kept_[i].load()));
        return samples;
      });
  add("leadsman_tracing_requests_dropped_total",
      "Requests that were to be kept and were not: buffer (full), rate (max_per_second).",
      {"reason"}, [this, sample] {
        return std::vector<MetricSample>{sample({"buffer"}, rings_.dropped()),
                                         sample({"rate"}, over_rate_.load())};
      });
  add("leadsman_tracing_exported_total",
      "Kept requests by what became of their spans: sent, refused (by the destination), dropped "
      "(it was away for too long).",
      {"destination", "result"}, [this, sample] {
        std::vector<MetricSample> samples;
        for (const Destination& destination : destinations_) {
          const BatchSender::Counters c = destination.sender->counters();
          samples.push_back(sample({destination.name, "sent"}, c.items_sent));
          samples.push_back(sample({destination.name, "refused"}, c.items_refused));
          samples.push_back(sample({destination.name, "dropped"}, c.items_dropped));
        }
        return samples;
      });
  add("leadsman_tracing_spans_rejected_total",
      "Spans that an OTLP collector rejects of bodies that it takes (partial success).",
      {"destination"}, [this, sample] {
        std::vector<MetricSample> samples;
        for (const Destination& destination : destinations_)
          samples.push_back(sample({destination.name}, destination.sender->counters().rejected));
        return samples;
      });
  add("leadsman_tracing_export_requests_total", "Requests to a destination, by how they went.",
      {"destination", "result"}, [this, sample] {
        std::vector<MetricSample> samples;
        for (const Destination& destination : destinations_) {
          const BatchSender::Counters c = destination.sender->counters();
          samples.push_back(sample({destination.name, "ok"}, c.sent));
          samples.push_back(sample({destination.name, "failed"}, c.failed));
        }
        return samples;
      });
}

}  // namespace leadsman
