#include "telemetry/prometheus.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/strings.h"
#include "telemetry/exemplar_walk.h"
#include "telemetry/hex.h"
#include "telemetry/prometheus_protobuf.h"

namespace leadsman {
namespace {

void AppendNumber(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    char text[32];
    auto [end, error] = std::to_chars(text, text + sizeof(text), value);
    out.append(text, end);
  }
}

/// OpenMetrics wants "1.0", not "1", for a bound. With `exact` it is written as in C, "%g": another server's dashboards may
/// ask for a bound by its text, as TensorFlow Serving's le="708235" and le="1.27482e+06".
void AppendBound(std::string& out, double value, ExpositionFormat format, bool exact) {
  size_t start = out.size();
  if (exact) {
    char text[32];
    auto [end, error] =
        std::to_chars(text, text + sizeof(text), value, std::chars_format::general, 6);
    out.append(text, end);
  } else {
    AppendNumber(out, value);
  }
  if (format == ExpositionFormat::kOpenMetrics && std::isfinite(value) &&
      out.find_first_of(".e", start) == std::string::npos) {
    out += ".0";
  }
}

/// Backslash and newline; in label values and in OpenMetrics also the double quote. Other control characters, which a client may have
/// sent, would make the page binary to its readers: their pictures (U+2400 and on) stand for them.
void AppendEscaped(std::string& out, std::string_view text, bool quote) {
  for (char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quote) {
      out += "\\\"";
    } else if (static_cast<unsigned char>(c) < ' ' && c != '\t') {
      out += "\xE2\x90";
      out += static_cast<char>(0x80 + c);
    } else if (c == '\x7f') {
      out += "\xE2\x90\xA1";
    } else {
      out += c;
    }
  }
}

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "untyped";
}

std::string LabelText(const MetricDescription& description, const MetricSample& sample) {
  std::string out;
  for (size_t i = 0; i < description.labels.size(); ++i) {
    if (i > 0) out += ',';
    out += description.labels[i];
    out += "=\"";
    AppendEscaped(out, ToUtf8(sample.label_values[i]), true);
    out += '"';
  }
  return out;
}

void AppendSeries(std::string& out, std::string_view name, std::string_view labels) {
  out += name;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
}

void AppendExemplar(std::string& out, const Exemplar& exemplar) {
  out += StrCat(" # {trace_id=\"", Hex(exemplar.trace_id), "\"} ");
  AppendNumber(out, exemplar.value);
  out += ' ';
  AppendNumber(out, static_cast<double>(exemplar.unix_ms) / 1000);
}

void AppendHistogram(std::string& out, const std::string& name, const std::string& labels,
                     const MetricSample& sample, ExpositionFormat format, bool exact) {
  ExemplarWalk exemplars(sample);
  auto bucket = [&](double bound, uint64_t count) {
    out += name;
    out += "_bucket{";
    out += labels;
    if (!labels.empty()) out += ',';
    out += "le=\"";
    if (std::isinf(bound)) {
      out += "+Inf";
    } else {
      AppendBound(out, bound, format, exact);
    }
    out += "\"} ";
    out += std::to_string(count);
    const Exemplar* exemplar = exemplars.UpTo(bound);
    if (exemplar && format == ExpositionFormat::kOpenMetrics) AppendExemplar(out, *exemplar);
    out += '\n';
  };
  size_t bounds = std::min(sample.upper_bounds.size(), sample.cumulative.size());
  for (size_t i = 0; i < bounds; ++i) bucket(sample.upper_bounds[i], sample.cumulative[i]);
  bucket(std::numeric_limits<double>::infinity(), sample.count);
  AppendSeries(out, name + "_sum", labels);
  AppendNumber(out, sample.sum);
  out += '\n';
  AppendSeries(out, name + "_count", labels);
  out += std::to_string(sample.count);
  out += '\n';
}

/// The name in HELP and TYPE: OpenMetrics leaves out a counter's "_total".
std::string_view FamilyName(const MetricDescription& d, ExpositionFormat format) {
  std::string_view name = d.name;
  if (format == ExpositionFormat::kOpenMetrics && d.type == MetricType::kCounter &&
      name.ends_with("_total")) {
    name.remove_suffix(6);
  }
  return name;
}

void AppendFamily(std::string& out, const MetricFamily& family, ExpositionFormat format) {
  const MetricDescription& d = *family.description;
  std::string_view name = FamilyName(d, format);
  out += StrCat("# HELP ", name, " ");
  AppendEscaped(out, ToUtf8(d.help), format == ExpositionFormat::kOpenMetrics);
  const bool open = format == ExpositionFormat::kOpenMetrics;
  out += StrCat("\n# TYPE ", name, " ",
                open && d.exact_name && d.type == MetricType::kCounter ? std::string_view("unknown")
                                                                       : TypeName(d.type),
                "\n");
  for (const MetricSample& sample : family.samples) {
    std::string labels = LabelText(d, sample);
    if (d.type == MetricType::kHistogram) {
      AppendHistogram(out, d.name, labels, sample, format, d.exact_name);
      continue;
    }
    // In OpenMetrics a counter's sample always ends with "_total".
    bool add_total = open && d.type == MetricType::kCounter && name == d.name && !d.exact_name;
    AppendSeries(out, add_total ? d.name + "_total" : d.name, labels);
    AppendNumber(out, sample.value);
    out += '\n';
  }
}

}  // namespace

std::string_view ContentType(ExpositionFormat format) {
  switch (format) {
    case ExpositionFormat::kOpenMetrics:
      return "application/openmetrics-text; version=1.0.0; charset=utf-8";
    case ExpositionFormat::kProtobuf:
      return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
             "encoding=delimited";
    case ExpositionFormat::kPrometheusText:
      break;
  }
  return "text/plain; version=0.0.4; charset=utf-8";
}

ExpositionFormat ChooseFormat(std::string_view accept) {
  double protobuf = 0;
  double open_metrics = 0;
  double text = -1;
  double anything = 0;
  for (std::string_view part : Split(accept, ',')) {
    auto fields = Split(part, ';');
    std::string_view type = Trim(fields[0]);
    double weight = 1;
    bool known_version = true;
    bool families = false;
    bool delimited = false;
    for (size_t i = 1; i < fields.size(); ++i) {
      std::string_view field = Trim(fields[i]);
      if (field.starts_with("q=")) weight = ParseDouble(field.substr(2)).value_or(0);
      if (field.starts_with("version=")) {
        std::string_view version = field.substr(8);
        known_version = version == "1.0.0" || version == "0.0.1" || version == "0.0.4";
      }
      families = families || field == "proto=io.prometheus.client.MetricFamily";
      delimited = delimited || field == "encoding=delimited";
    }
    if (EqualsIgnoreCase(type, "application/vnd.google.protobuf") && families && delimited) {
      protobuf = std::max(protobuf, weight);
    } else if (EqualsIgnoreCase(type, "application/openmetrics-text") && known_version) {
      open_metrics = std::max(open_metrics, weight);
    } else if (EqualsIgnoreCase(type, "text/plain")) {
      text = std::max(text, weight);
    } else if (type == "*/*" || EqualsIgnoreCase(type, "text/*")) {
      anything = std::max(anything, weight);
    }
  }
  if (text < 0) text = anything;
  if (protobuf > 0 && protobuf >= std::max(open_metrics, text)) return ExpositionFormat::kProtobuf;
  return open_metrics > 0 && open_metrics >= text ? ExpositionFormat::kOpenMetrics
                                                  : ExpositionFormat::kPrometheusText;
}

std::string RenderMetrics(const std::vector<MetricFamily>& families, ExpositionFormat format) {
  if (format == ExpositionFormat::kProtobuf) return PrometheusProtobuf(families);
  std::string out;
  for (const MetricFamily& family : families) AppendFamily(out, family, format);
  if (format == ExpositionFormat::kOpenMetrics) out += "# EOF\n";
  return out;
}

void HandleMetrics(SeriesBudget& metrics, net::HttpExchange& exchange) {
  net::HttpResponse& response = exchange.response();
  if (exchange.request().asked_method() != "GET") {
    response.status = 405;
    response.headers += "allow: GET, HEAD\r\n";
    response.body += R"({"error": "metrics are read with GET"})";
    return;
  }
  ExpositionFormat format = ChooseFormat(exchange.request().Header("accept"));
  response.content_type = ContentType(format);
  response.headers += "vary: accept\r\n";
  response.body = RenderMetrics(metrics.Collect(), format);
}

std::string MetricsReferenceMarkdown(const Registry& registry) {
  std::string out = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n";
  for (const MetricDescription& d : registry.Descriptions()) {
    out += StrCat("| `", d.name, "` | ", TypeName(d.type), " | ");
    for (size_t i = 0; i < d.labels.size(); ++i)
      out += StrCat(i > 0 ? ", " : "", "`", d.labels[i], "`");
    out += " | ";
    for (char c : d.help) {
      if (c == '|') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    out += " |\n";
  }
  return out;
}

}  // namespace leadsman
