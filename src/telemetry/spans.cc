#include "telemetry/spans.h"

#include <algorithm>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "base/strings.h"
#include "telemetry/hex.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

template <size_t N>
bool IsZero(const std::array<uint8_t, N>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

std::array<uint8_t, 8> ChildId(const std::array<uint8_t, 8>& parent, uint64_t number) {
  uint64_t bits = 0;
  std::memcpy(&bits, parent.data(), sizeof(bits));
  bits = Rng::Mix(bits + number);
  if (bits == 0) bits = 1;
  std::array<uint8_t, 8> id;
  std::memcpy(id.data(), &bits, sizeof(bits));
  return id;
}

std::string NameOf(const TracedRequest& request) { return StrCat("predict ", request.model); }
int64_t StartOf(const TracedRequest& request) {
  return request.end_unix_ns - static_cast<int64_t>(request.latency_ns);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Json Text(std::string_view key, std::string_view value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}
/// 64-bit integers are strings in JSON.
Json Number(std::string_view key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

}  // namespace

std::vector<Span> StagesOf(const TracedRequest& request) {
  struct Stage {
    std::string_view name;
    uint64_t ns;
  };
  const uint64_t known =
      request.decode_ns + request.queue_ns + request.batch_ns + request.compute_ns;
  const Stage stages[] = {
      {"receive", request.decode_ns},
      {"queue", request.queue_ns},
      {"batch", request.batch_ns},
      {"compute", request.compute_ns},
      // A request that never got to the model has no stages but one.
      {"respond",
       known > 0 && request.latency_ns > known ? request.latency_ns - known : uint64_t{0}}};
  std::vector<Span> spans;
  const int64_t end = request.end_unix_ns;
  int64_t at = StartOf(request);
  for (const Stage& stage : stages) {
    if (stage.ns == 0) continue;
    // Clocks are read one after the other: no stage ends after its request.
    const int64_t until = std::min(at + static_cast<int64_t>(stage.ns), end);
    spans.push_back({stage.name, ChildId(request.span_id, spans.size() + 1), at, until});
    at = until;
  }
  return spans;
}

std::string OtlpTraces(const SpanSource& source, std::span<const TracedRequest> requests) {
  constexpr int kServer = 2, kInternal = 1, kError = 2;
  Json spans = Json::array();
  for (const TracedRequest& request : requests) {
    const std::string trace = Hex(request.trace_id);
    Json span = {{"traceId", trace}, {"spanId", Hex(request.span_id)}};
    if (!IsZero(request.parent_span_id)) span["parentSpanId"] = Hex(request.parent_span_id);
    span["name"] = NameOf(request);
    span["kind"] = kServer;
    span["startTimeUnixNano"] = std::to_string(StartOf(request));
    span["endTimeUnixNano"] = std::to_string(request.end_unix_ns);
    span["attributes"] = {Text("leadsman.model", request.model),
                          Number("leadsman.version", request.version),
                          Text("leadsman.protocol", ProtocolName(request.protocol)),
                          Text("leadsman.outcome", StatusCodeName(request.outcome)),
                          Text("leadsman.request_id", request.request_id),
                          Number("leadsman.rows", request.rows),
                          Number("leadsman.request_bytes", request.request_bytes),
                          Number("leadsman.response_bytes", request.response_bytes)};
    if (request.outcome != StatusCode::kOk)
      span["status"] = {{"code", kError}, {"message", StatusCodeName(request.outcome)}};
    spans.push_back(std::move(span));
    for (const Span& stage : StagesOf(request)) {
      spans.push_back({{"traceId", trace},
                       {"spanId", Hex(stage.id)},
                       {"parentSpanId", Hex(request.span_id)},
                       {"name", stage.name},
                       {"kind", kInternal},
                       {"startTimeUnixNano", std::to_string(stage.start_unix_ns)},
                       {"endTimeUnixNano", std::to_string(stage.end_unix_ns)}});
    }
  }
  const Json resource = {
      {"attributes",
       {Text("service.name", source.service_name), Text("service.version", source.version),
        Text("host.name", source.host)}}};
  const Json scope = {{"name", "leadsman"}, {"version", source.version}};
  Json scoped = {{"scope", scope}, {"spans", std::move(spans)}};
  return Dump(
      {{"resourceSpans", Json::array({{{"resource", resource},
                                       {"scopeSpans", Json::array({std::move(scoped)})}}})}});
}

std::string ZipkinSpans(const SpanSource& source, std::span<const TracedRequest> requests) {
  const Json endpoint = {{"serviceName", source.service_name}};
  // Durations of less than a microsecond are written as one: Zipkin takes 0 for "not known".
  auto duration = [](int64_t from, int64_t to) { return std::max<int64_t>((to - from) / 1000, 1); };
  Json spans = Json::array();
  for (const TracedRequest& request : requests) {
    std::string trace = Hex(request.trace_id);
    // A trace id of 64 bits, as older B3 clients send, goes on as such.
    if (trace.starts_with("0000000000000000")) trace = trace.substr(16);
    Json span = {{"traceId", trace}, {"id", Hex(request.span_id)}};
    if (!IsZero(request.parent_span_id)) span["parentId"] = Hex(request.parent_span_id);
    span["name"] = NameOf(request);
    span["kind"] = "SERVER";
    span["timestamp"] = StartOf(request) / 1000;
    span["duration"] = duration(StartOf(request), request.end_unix_ns);
    span["localEndpoint"] = endpoint;
    span["tags"] = {{"leadsman.model", request.model},
                    {"leadsman.version", std::to_string(request.version)},
                    {"leadsman.protocol", ProtocolName(request.protocol)},
                    {"leadsman.outcome", StatusCodeName(request.outcome)},
                    {"leadsman.request_id", request.request_id},
                    {"leadsman.rows", std::to_string(request.rows)},
                    {"host.name", source.host}};
    if (request.outcome != StatusCode::kOk) span["tags"]["error"] = StatusCodeName(request.outcome);
    spans.push_back(std::move(span));
    for (const Span& stage : StagesOf(request)) {
      spans.push_back({{"traceId", trace},
                       {"id", Hex(stage.id)},
                       {"parentId", Hex(request.span_id)},
                       {"name", stage.name},
                       {"timestamp", stage.start_unix_ns / 1000},
                       {"duration", duration(stage.start_unix_ns, stage.end_unix_ns)},
                       {"localEndpoint", endpoint}});
    }
  }
  return Dump(spans);
}

}  // namespace leadsman
