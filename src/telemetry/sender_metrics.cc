#include "telemetry/sender_metrics.h"

namespace leadsman {

Registry::Registration AddSenderMetrics(std::vector<SenderSource> sources, Registry& registry) {
  return registry.Add(
      {.name = "leadsman_alarm_notifications_total",
       .help = "Messages to Alertmanagers and webhooks, by their place in the configuration: sent; "
               "failed attempts, which are repeated; dropped for good.",
       .type = MetricType::kCounter,
       .labels = {"sender", "result"}},
      [sources = std::move(sources)] {
        std::vector<MetricSample> samples;
        for (const auto& [name, read] : sources) {
          const SenderCounters c = read();
          for (auto [result, value] : {std::pair{"sent", c.sent}, std::pair{"failed", c.failed},
                                       std::pair{"dropped", c.dropped}}) {
            MetricSample sample;
            sample.label_values = {name, result};
            sample.value = static_cast<double>(value);
            samples.push_back(std::move(sample));
          }
        }
        return samples;
      });
}

}  // namespace leadsman
