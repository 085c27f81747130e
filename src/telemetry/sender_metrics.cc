#include "telemetry/sender_metrics.h"

namespace leadsman {
namespace {

MetricSample Sample(std::vector<std::string> labels, uint64_t value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = static_cast<double>(value);
  return sample;
}

}  // namespace

std::vector<Registry::Registration> AddSenderMetrics(const std::vector<SenderSource>& sources,
                                                     Registry& registry) {
  std::vector<Registry::Registration> registrations;
  registrations.push_back(registry.Add(
      {.name = "leadsman_alarm_notifications_total",
       .help = "Messages to Alertmanagers, webhooks and mail servers, by their place in the "
               "configuration: sent; failed attempts, which are repeated; dropped for good.",
       .type = MetricType::kCounter,
       .labels = {"sender", "result"}},
      [sources] {
        std::vector<MetricSample> samples;
        for (const auto& [name, read] : sources) {
          const SenderCounters c = read();
          samples.push_back(Sample({name, "sent"}, c.sent));
          samples.push_back(Sample({name, "failed"}, c.failed));
          samples.push_back(Sample({name, "dropped"}, c.dropped));
        }
        return samples;
      }));
  registrations.push_back(registry.Add({.name = "leadsman_alarm_notifications_waiting",
                                        .help = "Messages that a receiver is still owed.",
                                        .type = MetricType::kGauge,
                                        .labels = {"sender"}},
                                       [sources] {
                                         std::vector<MetricSample> samples;
                                         for (const auto& [name, read] : sources)
                                           samples.push_back(Sample({name}, read().waiting));
                                         return samples;
                                       }));
  return registrations;
}

}  // namespace leadsman
