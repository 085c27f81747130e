#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "events/prediction_event.h"

namespace leadsman {

/// One served request as a trace is made of it. A value; the longest texts are cut.
struct TracedRequest {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  std::array<uint8_t, 8> parent_span_id{};  ///< zeros: the request began the trace
  std::string model;
  std::string request_id;
  int64_t version = 0;
  Protocol protocol = Protocol::kUnknown;
  StatusCode outcome = StatusCode::kOk;
  int64_t end_unix_ns = 0;
  uint64_t latency_ns = 0;
  uint64_t decode_ns = 0, queue_ns = 0, batch_ns = 0, compute_ns = 0;
  uint32_t rows = 0, request_bytes = 0, response_bytes = 0;
};

/// A stretch of a request's time.
struct Span {
  std::string_view name;
  std::array<uint8_t, 8> id{};
  int64_t start_unix_ns = 0, end_unix_ns = 0;
};

/// What a request's time went into, in order: "receive" (from its first byte until it is understood),
/// "queue", "batch" (joining its rows with others'), "compute" (the model), "respond". What took no
/// time is left out. Ids are derived from the request's own, so that both destinations get the same.
std::vector<Span> StagesOf(const TracedRequest& request);

/// Whose spans they are.
struct SpanSource {
  std::string service_name;
  std::string version;
  std::string host;
};

/// The body of an OTLP export of traces, protocol buffers (OpenTelemetry protocol 1.x): a server span
/// per request, its stages below it.
std::string OtlpTraces(const SpanSource& source, std::span<const TracedRequest> requests);
/// The body of a POST to Zipkin's /api/v2/spans.
std::string ZipkinSpans(const SpanSource& source, std::span<const TracedRequest> requests);

}  // namespace leadsman
