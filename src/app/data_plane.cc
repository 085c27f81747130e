#include "app/data_plane.h"

#include <unistd.h>

#include <map>
#include <string>
#include <utility>

#include "app/version.h"

namespace leadsman {

std::string HostName() {
  char name[256] = "";
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

DataPlane::~DataPlane() {
  if (sink) sink->Set(nullptr);
  registrations.clear();
}

Status DataPlane::Build(const Config& config) {
  if (built()) return OkStatus();
  std::map<std::string, std::vector<SegmentRule>, std::less<>> segments;
  for (const auto& [model, monitoring] : MonitoringOf(config))
    segments.emplace(model, monitoring.segments);
  if (!config.monitor.redact.empty()) {
    ASSIGN_OR_RETURN(redactor, Redactor::Create(config.monitor.redact));
  }
  sink.emplace(std::move(segments));
  RETURN_IF_ERROR(BuildTracer(config.telemetry.tracing));
  if (config.run_gateway) RETURN_IF_ERROR(BuildGateway(config));
  return OkStatus();
}

Status DataPlane::BuildTracer(const TracingOptions& options) {
  if (!options.enabled()) return OkStatus();
  // What the histograms of a version link to. A request that reached none is in none.
  auto kept = [this](const TracedRequest& request) {
    if (request.version == 0) return;
    exemplars.Add({request.model, std::to_string(request.version)}, request.latency_ns,
                  request.compute_ns,
                  {.trace_id = request.trace_id,
                   .span_id = request.span_id,
                   .unix_ms = request.end_unix_ns / 1'000'000});
  };
  auto made = Tracer::Create(
      {clock,
       registry,
       *sink,
       {.service_name = options.service_name, .version = kLeadsmanVersion, .host = HostName()},
       std::move(kept),
       redactor.get()},
      options);
  if (!made.ok()) return made.status();
  tracer = std::move(made).value();
  return OkStatus();
}

Status DataPlane::BuildGateway(const Config& config) {
  const gateway::DecodeOptions& decode = config.gateway->decode;
  intake::ExchangeIntake::Options options{.max_body = decode.max_body,
                                          .max_held_bytes = decode.max_held_bytes,
                                          .max_queue = decode.max_queue};
  auto made = intake::ExchangeIntake::Create({clock, events(), registry, redactor.get(), shadows},
                                             std::move(options));
  if (!made.ok()) return made.status();
  exchanges = std::move(made).value();
  gateway::Options proxied = *config.gateway;
  RETURN_IF_ERROR(SetSources(proxied));
  gateway = gateway::Gateway::Create({clock, events(), registry, exchanges.get(),
                                      config.hot_restart.enabled ? &listeners : nullptr},
                                     std::move(proxied));
  AddMetrics();
  return OkStatus();
}

Status DataPlane::SetSources(gateway::Options& options) const {
  std::vector<intake::ExchangeIntake::Source> sources(
      1);  // 0: of the route that there is without any
  for (const gateway::RouteOptions& route : options.routes)
    sources.push_back({route.decode.request, route.decode.response});
  auto places = exchanges->SourcesOf(sources);
  if (!places.ok()) return Annotate(places.status(), "gateway.routes");
  for (size_t i = 0; i < options.routes.size(); ++i) options.routes[i].source = (*places)[i + 1];
  return OkStatus();
}

void DataPlane::AddMetrics() {
  auto add = [&](MetricType type, const char* name, const char* help, auto read) {
    registrations.push_back(
        registry.Add({.name = name, .help = help, .type = type, .labels = {}}, [read] {
          std::vector<MetricSample> samples(1);
          samples[0].value = static_cast<double>(read());
          return samples;
        }));
  };
  add(MetricType::kGauge, "leadsman_hot_restart_generation",
      "How often a process has taken the place of the one before it, up to this one (hot_restart).",
      [this] { return generation.load(); });
  add(MetricType::kCounter, "leadsman_hot_restart_failed_total",
      "Attempts of other processes to take the place of this one that came to nothing.",
      [this] { return failed_takeovers.load(); });
  add(MetricType::kCounter, "leadsman_hot_restart_events_dropped_total",
      "Events of requests that passed while no monitor was there: another process was taking over.",
      [this] { return sink->dropped(); });
}

}  // namespace leadsman
