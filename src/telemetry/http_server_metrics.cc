#include "telemetry/http_server_metrics.h"

#include <cstdint>
#include <utility>

namespace leadsman {

std::vector<Registry::Registration> AddHttpServerMetrics(std::vector<HttpServerStatsSource> servers,
                                                         Registry& registry) {
  struct Family {
    const char* name;
    const char* help;
    MetricType type;
    uint64_t net::HttpServerStats::*field;
  };
  using Stats = net::HttpServerStats;
  static constexpr Family kFamilies[] = {
      {"leadsman_http_connections_accepted_total", "Connections accepted.", MetricType::kCounter,
       &Stats::connections_accepted},
      {"leadsman_http_connections_open", "Connections open now.", MetricType::kGauge,
       &Stats::connections_open},
      {"leadsman_http_connections_refused_total",
       "Connections turned away because the limit was reached.", MetricType::kCounter,
       &Stats::connections_refused},
      {"leadsman_http_requests_total", "Requests that reached a handler.", MetricType::kCounter,
       &Stats::requests},
      {"leadsman_http_bad_requests_total",
       "Requests refused before a handler saw them: malformed or too large.", MetricType::kCounter,
       &Stats::bad_requests},
      {"leadsman_http_bodies_refused_total",
       "Requests refused because those under way held as much as they may "
       "(server.limits.max_held).",
       MetricType::kCounter, &Stats::bodies_refused},
      {"leadsman_http_timeouts_total", "Connections closed because the client was too slow.",
       MetricType::kCounter, &Stats::timeouts},
      {"leadsman_http_received_bytes_total", "Bytes read from clients.", MetricType::kCounter,
       &Stats::bytes_in},
      {"leadsman_http_sent_bytes_total", "Bytes written to clients.", MetricType::kCounter,
       &Stats::bytes_out},
      {"leadsman_http_tls_handshakes_total", "TLS handshakes completed.", MetricType::kCounter,
       &Stats::tls_handshakes},
      {"leadsman_http_tls_resumed_total", "TLS handshakes that resumed an earlier session.",
       MetricType::kCounter, &Stats::tls_resumed},
      {"leadsman_http_tls_failures_total",
       "Connections to a TLS port without a handshake: refused, broken off, too slow, or no TLS at "
       "all.",
       MetricType::kCounter, &Stats::tls_failures},
  };
  std::vector<Registry::Registration> registrations;
  for (const Family& family : kFamilies) {
    registrations.push_back(registry.Add(
        {family.name, family.help, family.type, {"server"}}, [servers, field = family.field] {
          std::vector<MetricSample> samples;
          for (const HttpServerStatsSource& server : servers) {
            MetricSample sample;
            sample.label_values = {server.name};
            sample.value = static_cast<double>(server.read().*field);
            samples.push_back(std::move(sample));
          }
          return samples;
        }));
  }
  return registrations;
}

Registry::Registration AddBodyBudgetMetric(std::shared_ptr<const ByteBudget> budget,
                                           Registry& registry) {
  return registry.Add({"leadsman_http_held_bytes",
                       "Held by the requests under way on the serving ports, beyond 64 KiB a "
                       "connection; at most server.limits.max_held.",
                       MetricType::kGauge,
                       {}},
                      [budget = std::move(budget)] {
                        MetricSample sample;
                        sample.value = static_cast<double>(budget->held());
                        return std::vector<MetricSample>{sample};
                      });
}

}  // namespace leadsman
