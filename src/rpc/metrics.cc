#include "rpc/metrics.h"

#include <utility>

namespace leadsman::rpc {

std::vector<Registry::Registration> RegisterGrpcMetrics(const GrpcServer* server,
                                                        Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](MetricDescription description, double (*value)(const GrpcServer::StreamStats&)) {
    registrations.push_back(registry.Add(std::move(description), [server, value] {
      const GrpcServer::StreamStats stats =
          server != nullptr ? server->stream_stats() : GrpcServer::StreamStats();
      std::vector<MetricSample> samples(1);
      samples[0].value = value(stats);
      return samples;
    }));
  };
  add({.name = "leadsman_grpc_stream_requests",
       .help = "Requests of ModelStreamInfer calls that wait or are computed now.",
       .type = MetricType::kGauge},
      [](const auto& stats) { return static_cast<double>(stats.requests); });
  add({.name = "leadsman_grpc_stream_waits_total",
       .help = "How often a ModelStreamInfer call had as many requests under way as it may have "
               "(server.limits.max_stream_requests), so that its next one was not read yet.",
       .type = MetricType::kCounter},
      [](const auto& stats) { return static_cast<double>(stats.waits); });
  return registrations;
}

}  // namespace leadsman::rpc
