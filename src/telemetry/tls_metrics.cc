#include "telemetry/tls_metrics.h"

#include <utility>

namespace leadsman {

std::vector<Registry::Registration> AddTlsMetrics(
    std::vector<std::pair<std::string, const net::ServerCertificates*>> certificates,
    Registry& registry) {
  std::erase_if(certificates, [](const auto& named) { return named.second == nullptr; });
  std::vector<Registry::Registration> registrations;
  registrations.push_back(registry.Add({"leadsman_tls_certificate_expiry_timestamp_seconds",
                                        "When the certificate in force expires, as Unix time.",
                                        MetricType::kGauge,
                                        {"server"}},
                                       [certificates] {
                                         std::vector<MetricSample> samples;
                                         for (const auto& [name, of] : certificates) {
                                           MetricSample sample;
                                           sample.label_values = {name};
                                           sample.value = UnixSeconds(of->stats().expires);
                                           samples.push_back(std::move(sample));
                                         }
                                         return samples;
                                       }));
  registrations.push_back(registry.Add({"leadsman_tls_certificate_reloads_total",
                                        "Changes of the certificate, key or client authorities: "
                                        "success = in force now, failure = no good, the old ones "
                                        "stayed.",
                                        MetricType::kCounter,
                                        {"server", "outcome"}},
                                       [certificates] {
                                         std::vector<MetricSample> samples;
                                         for (const auto& [name, of] : certificates) {
                                           const net::ServerCertificates::Stats stats = of->stats();
                                           for (const auto& [outcome, count] :
                                                {std::pair("success", stats.reloads),
                                                 std::pair("failure", stats.failed_reloads)}) {
                                             MetricSample sample;
                                             sample.label_values = {name, outcome};
                                             sample.value = static_cast<double>(count);
                                             samples.push_back(std::move(sample));
                                           }
                                         }
                                         return samples;
                                       }));
  return registrations;
}

}  // namespace leadsman
