#include "telemetry/otlp_metrics_sender.h"

#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

MetricSample Sample(const char* label, uint64_t value) {
  MetricSample sample;
  sample.label_values = {label};
  sample.value = static_cast<double>(value);
  return sample;
}

}  // namespace

Result<std::unique_ptr<OtlpMetricsSender>> OtlpMetricsSender::Create(
    Deps deps, const OtlpMetricsOptions& options) {
  BatchSender::Options sender;
  sender.url = options.url;
  sender.content_type = "application/x-protobuf";
  sender.otlp = true;
  if (IsGrpc(options.protocol, options.url))
    sender.grpc_method = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
  sender.headers_file = options.headers_file;
  sender.ca_file = options.ca_file;
  auto made = BatchSender::Create(deps.clock, sender);
  if (!made.ok())
    return Status(made.status().code(), StrCat("telemetry.metrics.otlp.", made.status().message()));
  std::unique_ptr<OtlpMetricsSender> metrics(
      new OtlpMetricsSender(std::move(deps), std::move(made).value()));
  ASSIGN_OR_RETURN(metrics->periodic_, Periodic::Start("metrics-otlp", options.interval,
                                                       [raw = metrics.get()] { raw->Send(); }));
  return metrics;
}

OtlpMetricsSender::OtlpMetricsSender(Deps deps, std::unique_ptr<BatchSender> sender)
    : clock_(deps.clock),
      collect_(std::move(deps.collect)),
      source_(std::move(deps.source)),
      start_unix_ns_(UnixNanos(deps.started)),
      sender_(std::move(sender)) {
  AddMetrics(deps.registry);
}

OtlpMetricsSender::~OtlpMetricsSender() {
  periodic_.reset();
  Send();
}

void OtlpMetricsSender::Send() {
  const MetricsTime time{start_unix_ns_, UnixNanos(clock_.Now())};
  for (OtlpBody& body : OtlpMetrics(source_, collect_(), time))
    sender_->Send(std::move(body.bytes), body.points);
}

void OtlpMetricsSender::AddMetrics(Registry& registry) {
  registrations_.push_back(registry.Add(
      {.name = "leadsman_metrics_exported_total",
       .help =
           "Data points of metrics for the OTLP receiver, by what became of them: sent, rejected "
           "(of those sent, as the receiver says), refused (by the receiver), dropped (it was "
           "away for too long).",
       .type = MetricType::kCounter,
       .labels = {"result"}},
      [this] {
        const BatchSender::Counters c = sender_->counters();
        return std::vector<MetricSample>{
            Sample("sent", c.items_sent), Sample("rejected", c.rejected),
            Sample("refused", c.items_refused), Sample("dropped", c.items_dropped)};
      }));
  registrations_.push_back(registry.Add(
      {.name = "leadsman_metrics_export_requests_total",
       .help = "Requests to the OTLP receiver of metrics, by how they went.",
       .type = MetricType::kCounter,
       .labels = {"result"}},
      [this] {
        const BatchSender::Counters c = sender_->counters();
        return std::vector<MetricSample>{Sample("ok", c.sent), Sample("failed", c.failed)};
      }));
}

}  // namespace leadsman
