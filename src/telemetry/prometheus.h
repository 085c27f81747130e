#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"
#include "stats/registry.h"
#include "telemetry/series_budget.h"

namespace leadsman {

enum class ExpositionFormat { kPrometheusText, kOpenMetrics, kProtobuf };

/// "text/plain; version=0.0.4; charset=utf-8", OpenMetrics 1.0, or delimited io.prometheus.client.MetricFamily.
std::string_view ContentType(ExpositionFormat format);

/// What a scraper prefers by its Accept header: of those that it names the one with the greatest weight, and of equal ones
/// the one that says more (protocol buffers, OpenMetrics, text). Otherwise (also for no or an unreadable header) the
/// Prometheus text format, which everybody reads.
ExpositionFormat ChooseFormat(std::string_view accept);

/// The page for `families` (as Collect gives them). Families without samples appear with HELP and
/// TYPE only. Exemplars are in OpenMetrics and protocol buffers, native histograms in these alone.
std::string RenderMetrics(const std::vector<MetricFamily>& families, ExpositionFormat format);

/// Answers GET and HEAD /metrics; other methods with 405. Pulls the registry on the calling thread:
/// a few hundred microseconds for a typical page. `metrics` must outlive the handler.
void HandleMetrics(SeriesBudget& metrics, net::HttpExchange& exchange);

/// The reference page of all registered metrics: a Markdown table, sorted by name, without values.
std::string MetricsReferenceMarkdown(const Registry& registry);

}  // namespace leadsman
