#include "telemetry/spans.h"

#include <algorithm>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "base/strings.h"
#include "monitor/observed.h"
#include "telemetry/hex.h"
#include "telemetry/otlp_wire.h"

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

std::string NameOf(const TracedRequest& request) {
  return request.model.empty() ? "predict" : StrCat("predict ", request.model);
}
int64_t StartOf(const TracedRequest& request) {
  return request.end_unix_ns - static_cast<int64_t>(request.latency_ns);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Field numbers of opentelemetry.proto: trace.v1.
namespace span {
constexpr uint32_t kTraceId = 1, kId = 2, kParent = 4, kName = 5, kKind = 6, kStart = 7, kEnd = 8,
                   kAttributes = 9, kStatus = 15;
constexpr uint64_t kInternal = 1, kServer = 2;
}  // namespace span
namespace status {
constexpr uint32_t kMessage = 2, kCode = 3;
constexpr uint64_t kError = 2;
}  // namespace status

template <size_t N>
std::string_view BytesOf(const std::array<uint8_t, N>& id) {
  return {reinterpret_cast<const char*>(id.data()), N};
}

void AddStage(WireWriter& out, const TracedRequest& request, const Span& stage) {
  out.Bytes(span::kTraceId, BytesOf(request.trace_id));
  out.Bytes(span::kId, BytesOf(stage.id));
  out.Bytes(span::kParent, BytesOf(request.span_id));
  out.Bytes(span::kName, stage.name);
  out.Number(span::kKind, span::kInternal);
  AddFixed64(out, span::kStart, static_cast<uint64_t>(stage.start_unix_ns));
  AddFixed64(out, span::kEnd, static_cast<uint64_t>(stage.end_unix_ns));
}

void AddRequest(WireWriter& out, const TracedRequest& request) {
  out.Bytes(span::kTraceId, BytesOf(request.trace_id));
  out.Bytes(span::kId, BytesOf(request.span_id));
  if (!IsZero(request.parent_span_id)) out.Bytes(span::kParent, BytesOf(request.parent_span_id));
  out.Bytes(span::kName, ToUtf8(NameOf(request)));
  out.Number(span::kKind, span::kServer);
  AddFixed64(out, span::kStart, static_cast<uint64_t>(StartOf(request)));
  AddFixed64(out, span::kEnd, static_cast<uint64_t>(request.end_unix_ns));
  auto attribute = [&](std::string_view key, auto value) {
    AddOtlpAttribute(out, span::kAttributes, key, value);
  };
  attribute("leadsman.model", std::string_view(request.model));
  attribute("leadsman.version", request.version);
  attribute("leadsman.protocol", ProtocolName(request.protocol));
  attribute("leadsman.outcome", StatusCodeName(request.outcome));
  attribute("leadsman.request_id", std::string_view(request.request_id));
  attribute("leadsman.rows", int64_t{request.rows});
  attribute("leadsman.request_bytes", int64_t{request.request_bytes});
  attribute("leadsman.response_bytes", int64_t{request.response_bytes});
  // What the client is to blame for is no error of a server's span (OpenTelemetry's conventions for HTTP and RPC).
  if (ObservedOutcomeOf(request.outcome) != ObservedOutcome::kServerError) return;
  out.Message(span::kStatus, [&](WireWriter& of) {
    of.Bytes(status::kMessage, StatusCodeName(request.outcome));
    of.Number(status::kCode, status::kError);
  });
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
  std::string spans;
  WireWriter out(spans);
  for (const TracedRequest& request : requests) {
    out.Message(kOtlpItem, [&](WireWriter& one) { AddRequest(one, request); });
    for (const Span& stage : StagesOf(request))
      out.Message(kOtlpItem, [&](WireWriter& one) { AddStage(one, request, stage); });
  }
  return OtlpExport({.service_name = source.service_name,
                     .instance_id = {},
                     .version = source.version,
                     .host = source.host},
                    spans);
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
