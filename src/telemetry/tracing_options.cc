#include "telemetry/tracing_options.h"

#include "net/url.h"
#include "telemetry/otlp_endpoint.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

std::string CheckUrl(const std::string& text) {
  if (text.empty()) return "";
  Result<net::Url> url = net::ParseUrl(text);
  return url.ok() ? "" : std::string(url.status().message());
}

std::string CheckZipkinUrl(const std::string& text) {
  if (std::string wrong = CheckUrl(text); !wrong.empty() || text.empty()) return wrong;
  return net::ParseUrl(text)->target == "/"
             ? "needs the path of the span endpoint, usually /api/v2/spans"
             : "";
}

}  // namespace

const schema::Struct<TracingOptions>& TracingOptionsSchema() {
  static const auto table = [] {
    schema::Struct<TracingOptions> s(
        "Tracing",
        "Spans of served requests, sent to a collector. Chosen at the end of a request (tail "
        "sampling). docs/tracing.md.");
    s.Field("otlp_url", &TracingOptions::otlp_url, schema::TextWith("http(s) URL", CheckUrl),
            "OTLP, as http://collector:4317 (gRPC) or http://collector:4318/v1/traces (HTTP): "
            "Jaeger, Tempo, the OpenTelemetry Collector. Empty = none.");
    s.Field("otlp_protocol", &TracingOptions::otlp_protocol, OtlpProtocolType(),
            "How otlp_url is spoken to; auto: gRPC on port 4317, else HTTP.");
    s.Field("zipkin_url", &TracingOptions::zipkin_url,
            schema::TextWith("http(s) URL", CheckZipkinUrl),
            "Zipkin's API v2, as http://zipkin:9411/api/v2/spans. Empty = none.");
    s.Field("headers_file", &TracingOptions::headers_file, schema::Text(),
            "A file with lines `name: value` that are sent along, as a token. Read again when it "
            "changes. Relative to the configuration file.");
    s.Field("ca_file", &TracingOptions::ca_file, schema::Text(),
            "PEM: certificates that are trusted instead of the system's. Relative to the "
            "configuration file.");
    s.Field("service_name", &TracingOptions::service_name, schema::Text(),
            "The service's name in its spans.");
    s.Field("keep_sampled", &TracingOptions::keep_sampled, schema::Boolean(),
            "Keep requests whose caller samples its trace (traceparent, B3).");
    s.Field("keep_errors", &TracingOptions::keep_errors, schema::Boolean(),
            "Keep requests that are answered with an error.");
    s.Field("keep_slower_than", &TracingOptions::keep_slower_than,
            schema::Time<milliseconds>(0ms, 24h), "Keep requests that took longer; 0 = none.");
    s.Field("keep_share", &TracingOptions::keep_share, schema::Share(0, 1),
            "Keep this share of all other requests.");
    s.Field("max_per_second", &TracingOptions::max_per_second, schema::NumberAbove(0, 1e6),
            "Kept requests a second at most; what is beyond is dropped and counted.");
    s.Check([](const TracingOptions& tracing, schema::Problems& problems) {
      if (problems.IsSound("otlp_url") && problems.IsSound("otlp_protocol")) {
        const std::string wrong =
            CheckOtlpUrl(tracing.otlp_url, tracing.otlp_protocol, "/v1/traces");
        if (!wrong.empty()) problems.Add("otlp_url", wrong);
      }
      if (tracing.enabled() || tracing == TracingOptions()) return;
      if (problems.IsSound("otlp_url") && problems.IsSound("zipkin_url"))
        problems.Add("", "needs otlp_url or zipkin_url: nothing is sent anywhere");
    });
    return s;
  }();
  return table;
}

}  // namespace leadsman
