#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// The metrics that a query of PromQL reads, each once, as they come: `sum by (code) (rate(requests_total{code="500"}[5m]))` reads
/// requests_total. Of what is no PromQL, anything. Pure.
std::vector<std::string> MetricsOf(std::string_view query);

}  // namespace leadsman
