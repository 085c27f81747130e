#include "telemetry/metrics_options.h"

#include "net/url.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

std::string CheckUrl(const std::string& text) {
  if (text.empty()) return "";
  Result<net::Url> url = net::ParseUrl(text);
  return url.ok() ? "" : std::string(url.status().message());
}

const schema::Struct<OtlpMetricsOptions>& OtlpMetricsSchema() {
  using Otlp = OtlpMetricsOptions;
  static const auto table = [] {
    schema::Struct<Otlp> s("OtlpMetrics",
                           "All metrics, sent to a receiver at intervals. docs/metrics-out.md.");
    s.Field("url", &Otlp::url, schema::TextWith("http(s) URL", CheckUrl),
            "OTLP, as http://collector:4317 (gRPC) or http://collector:4318/v1/metrics (HTTP); of "
            "Prometheus http://prometheus:9090/api/v1/otlp/v1/metrics. Empty = none.");
    s.Field("protocol", &Otlp::protocol, OtlpProtocolType(),
            "How url is spoken to; auto: gRPC on port 4317, else HTTP.");
    s.Field("headers_file", &Otlp::headers_file, schema::Text(),
            "A file with lines `name: value` that are sent along, as a token. Read again for each "
            "body. Relative to the configuration file.");
    s.Field("ca_file", &Otlp::ca_file, schema::Text(),
            "PEM: certificates that are trusted instead of the system's. Relative to the "
            "configuration file.");
    s.Field("interval", &Otlp::interval, schema::Time<milliseconds>(1s, 1h), "How often.");
    s.Field("service_name", &Otlp::service_name, schema::Text(),
            "The attribute service.name, which Prometheus makes the label job of.");
    s.Field("instance_id", &Otlp::instance_id, schema::Text(),
            "The attribute service.instance.id, which Prometheus makes the label instance of. "
            "Empty = the host's name and the admin port.");
    s.Check([](const Otlp& otlp, schema::Problems& problems) {
      if (problems.IsSound("url") && problems.IsSound("protocol")) {
        const std::string wrong = CheckOtlpUrl(otlp.url, otlp.protocol, "/v1/metrics");
        if (!wrong.empty()) problems.Add("url", wrong);
      }
      if (otlp.enabled() || (otlp.headers_file.empty() && otlp.ca_file.empty())) return;
      if (problems.IsSound("url")) problems.Add("", "needs url: nothing is sent anywhere");
    });
    return s;
  }();
  return table;
}

}  // namespace

const schema::Struct<MetricsOptions>& MetricsOptionsSchema() {
  static const auto table = [] {
    schema::Struct<MetricsOptions> s("MetricsOut", "How metrics leave the process.");
    s.Field("max_series", &MetricsOptions::max_series, schema::Integer<size_t>(0, 10'000'000),
            "Series on /metrics, and sent, at most; what is left out beyond is said and counted "
            "(docs/metrics-out.md). 0 = no limit.");
    s.Nested("otlp", &MetricsOptions::otlp, OtlpMetricsSchema(),
             "Metrics sent out, beside being read on /metrics.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
