#include "intake/log_format.h"

#include <algorithm>
#include <array>

namespace leadsman::intake {
namespace {

constexpr std::array<LogFormat, 9> kFormats = {{
    {"envoy", "Envoy's default access log, Istio's with it", MakeEnvoyTextParser},
    {"uvicorn", "uvicorn, and what runs on it: MLflow, FastAPI, KServe", MakeUvicornParser},
    {"access_log", "nginx, ingress-nginx, Apache, gunicorn, Werkzeug", MakeAccessLogParser},
    {"sagemaker_capture", "SageMaker's data capture: bodies of requests and answers",
     MakeCaptureParser},
    {"json", "JSON lines: Envoy, Istio, nginx, structlog, python-json-logger, any with a mapping",
     MakeJsonLinesParser},
    {"logfmt", "key=value", MakeLogfmtParser},
    {"csv", "CSV capture files: a header line, then a prediction a row; comma, semicolon or tab",
     MakeCsvParser},
    {"server_log", "TensorFlow Serving's and Triton's own logs: errors, no requests",
     MakeServerLogParser},
    {"pattern", "a declared pattern: $client [$time] \"$method $path $_\" $status $latency_ms",
     MakePatternParser},
}};

}  // namespace

std::span<const LogFormat> LogFormats() { return kFormats; }

const LogFormat* FindLogFormat(std::string_view name) {
  auto found = std::find_if(kFormats.begin(), kFormats.end(),
                            [&](const LogFormat& format) { return format.name == name; });
  return found == kFormats.end() ? nullptr : &*found;
}

}  // namespace leadsman::intake
