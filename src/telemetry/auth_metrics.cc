#include "telemetry/auth_metrics.h"

#include <utility>

namespace leadsman {
namespace {

MetricSample Sample(const char* label, double value) {
  MetricSample sample;
  if (label != nullptr) sample.label_values = {label};
  sample.value = value;
  return sample;
}

}  // namespace

std::vector<Registry::Registration> AddAuthMetrics(const Authorizer* authorizer,
                                                   Registry& registry) {
  std::vector<Registry::Registration> registrations;
  registrations.push_back(registry.Add({"leadsman_auth_checks_total",
                                        "Requests by what became of their token: allowed, missing, "
                                        "unknown, forbidden (without the role, or not for this "
                                        "model). Requests that need none are not counted.",
                                        MetricType::kCounter,
                                        {"outcome"}},
                                       [authorizer]() -> std::vector<MetricSample> {
                                         if (authorizer == nullptr) return {};
                                         const Authorizer::Stats stats = authorizer->stats();
                                         return {Sample("allowed", double(stats.allowed)),
                                                 Sample("missing", double(stats.missing)),
                                                 Sample("unknown", double(stats.unknown)),
                                                 Sample("forbidden", double(stats.forbidden))};
                                       }));
  registrations.push_back(
      registry.Add({"leadsman_auth_tokens", "Tokens in force.", MetricType::kGauge, {}},
                   [authorizer]() -> std::vector<MetricSample> {
                     if (authorizer == nullptr) return {};
                     return {Sample(nullptr, double(authorizer->stats().tokens))};
                   }));
  registrations.push_back(registry.Add({"leadsman_auth_token_reloads_total",
                                        "Changes of the file of tokens: success = in force now, "
                                        "failure = no good, the old ones stayed.",
                                        MetricType::kCounter,
                                        {"outcome"}},
                                       [authorizer]() -> std::vector<MetricSample> {
                                         if (authorizer == nullptr) return {};
                                         const Authorizer::Stats stats = authorizer->stats();
                                         return {Sample("success", double(stats.reloads)),
                                                 Sample("failure", double(stats.failed_reloads))};
                                       }));
  return registrations;
}

}  // namespace leadsman
