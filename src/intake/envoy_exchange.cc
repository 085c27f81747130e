#include "intake/envoy_exchange.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "base/wire.h"
#include "intake/model_path.h"

namespace leadsman::intake {
namespace {

using Part = ProcessingMessage::Part;

constexpr size_t kMaxTarget = 8 << 10;  // of what is kept of each text
constexpr size_t kMaxText = 256;
/// What a cleared exchange may hold on to.
constexpr size_t kKept = 16 << 10;

/// A key of google.protobuf.Struct, when its value is a string.
std::string_view StructText(std::string_view bytes, std::string_view key) {
  std::string_view found;
  WireReader in(bytes);
  while (in.Next()) {
    if (!in.Is(1, WireReader::kBytes)) continue;
    std::string_view name, value;
    WireReader entry(in.bytes());
    while (entry.Next()) {
      if (entry.Is(1, WireReader::kBytes)) name = entry.bytes();
      if (entry.Is(2, WireReader::kBytes)) value = entry.bytes();
    }
    if (name != key) continue;
    WireReader of(value);
    while (of.Next()) {
      if (of.Is(3, WireReader::kBytes)) found = of.bytes();
    }
  }
  return found;
}

/// An entry of ProcessingRequest.attributes.
std::string_view ClusterOf(std::string_view attributes) {
  std::string_view cluster;
  WireReader in(attributes);
  while (in.Next()) {
    if (in.Is(2, WireReader::kBytes)) cluster = StructText(in.bytes(), "xds.cluster_name");
  }
  return cluster;
}

/// What a HeaderMap holds, in the order of its headers. False: malformed.
template <typename Take>
bool ForEachHeader(std::string_view map, Take take) {
  WireReader in(map);
  while (in.Next()) {
    if (!in.Is(1, WireReader::kBytes)) continue;
    std::string_view name, value;
    WireReader header(in.bytes());
    while (header.Next()) {
      if (header.Is(1, WireReader::kBytes)) name = header.bytes();
      // Envoy fills raw_value; value is of older ones.
      if (header.Is(2, WireReader::kBytes) || header.Is(3, WireReader::kBytes))
        value = header.bytes();
    }
    if (!header.ok()) return false;
    take(name, value);
  }
  return in.ok();
}

std::optional<int> StatusNumber(std::string_view text, int64_t most) {
  auto number = ParseInt64(text);
  if (!number || *number < 0 || *number > most) return std::nullopt;
  return static_cast<int>(*number);
}

void Keep(std::string_view value, size_t most, std::string& into) {
  into.assign(value.substr(0, most));
}

}  // namespace

bool ReadProcessingMessage(std::string_view message, ProcessingMessage& out) {
  out = ProcessingMessage();
  WireReader in(message);
  while (in.Next()) {
    if (in.type() == WireReader::kBytes && in.field() >= 2 && in.field() <= 7) {
      out.part = static_cast<Part>(in.field());
      out.content = in.bytes();
    }
    if (in.Is(9, WireReader::kBytes)) out.cluster = ClusterOf(in.bytes());
    if (in.Is(10, WireReader::kVarint)) out.observability = in.varint() != 0;
    if (in.Is(11, WireReader::kBytes)) {
      WireReader modes(in.bytes());
      while (modes.Next()) {
        if (modes.Is(1, WireReader::kVarint)) out.request_body_mode = modes.varint();
        if (modes.Is(2, WireReader::kVarint)) out.response_body_mode = modes.varint();
      }
    }
  }
  return in.ok();
}

bool AppendPassOn(const ProcessingMessage& message, bool duplex, std::string& out) {
  if (message.part == Part::kNone) return false;
  WireWriter writer(out);
  // Answers have the numbers of their questions, less one.
  const uint32_t field = static_cast<uint32_t>(message.part) - 1;
  const bool body = message.part == Part::kRequestBody || message.part == Part::kResponseBody;
  if (!body || !duplex) {
    writer.Bytes(field, {});
    return true;
  }
  // HttpBody and StreamedBodyResponse alike: body, end_of_stream; of gRPC end_of_stream_without_message and
  // grpc_message_compressed.
  std::string_view bytes;
  std::array<uint64_t, 3> flags{};
  WireReader in(message.content);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) bytes = in.bytes();
    for (uint32_t i = 0; i < flags.size(); ++i)
      if (in.Is(2 + i, WireReader::kVarint)) flags[i] = in.varint();
  }
  std::string streamed;
  WireWriter part(streamed);
  part.Text(1, bytes);
  for (uint32_t i = 0; i < flags.size(); ++i) part.NumberOrNothing(2 + i, flags[i] != 0 ? 1 : 0);
  writer.Message(field, [&](WireWriter& body_response) {
    body_response.Message(1, [&](WireWriter& common) {
      common.Message(3, [&](WireWriter& mutation) { mutation.Bytes(3, streamed); });
    });
  });
  return true;
}

bool EnvoyExchange::Take(const ProcessingMessage& message, const EnvoyRules& rules,
                         const Limits& limits, SteadyTime now, int64_t unix_ms) {
  if (!message.cluster.empty()) Keep(message.cluster, kMaxText, cluster_);
  last_at_ = now;
  last_unix_ms_ = unix_ms;
  bool ended = false;
  switch (message.part) {
    case Part::kRequestHeaders: {
      if (begun_) return false;
      begun_ = true;
      begun_at_ = now;
      if (!TakeHeaders(message.content, true, ended)) return false;
      EnvoyRequest known;
      Describe(rules, known);
      gathers_ = known.record.inference;
      return true;
    }
    case Part::kRequestBody:
      return TakeBody(message.content, request_, limits, ended);
    case Part::kRequestTrailers:
      return true;
    case Part::kResponseHeaders:
      if (!TakeHeaders(message.content, false, ended)) return false;
      response_ended_ = response_ended_ || ended;
      return true;
    case Part::kResponseBody:
      if (!TakeBody(message.content, response_, limits, ended)) return false;
      response_ended_ = response_ended_ || ended;
      return true;
    case Part::kResponseTrailers:
      response_ended_ = true;
      return TakeTrailers(message.content);
    case Part::kNone:
      return true;
  }
  return true;
}

bool EnvoyExchange::TakeHeaders(std::string_view bytes, bool of_request, bool& ended) {
  std::string_view headers;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) headers = in.bytes();
    if (in.Is(3, WireReader::kVarint)) ended = in.varint() != 0;
  }
  return in.ok() && ForEachHeader(headers, [&](std::string_view name, std::string_view value) {
           TakeHeader(name, value, of_request);
         });
}

void EnvoyExchange::TakeHeader(std::string_view name, std::string_view value, bool of_request) {
  Side& side = of_request ? request_ : response_;
  if (name == "content-type") {
    Keep(value, kMaxText, side.content_type);
    if (of_request) grpc_ = value.starts_with("application/grpc");
  } else if (name == "content-encoding") {
    Keep(value, kMaxText, side.content_encoding);
  } else if (name == "inference-header-content-length") {
    const int64_t size = ParseInt64(value).value_or(0);
    side.json_bytes = size > 0 ? static_cast<uint64_t>(size) : 0;
  } else if (!of_request) {
    if (name == ":status") status_ = StatusNumber(value, 999);
    if (name == "grpc-status") grpc_status_ = StatusNumber(value, 16);
  } else if (name == ":method") {
    Keep(value, kMaxText, method_);
  } else if (name == ":path") {
    Keep(value, kMaxTarget, target_);
  } else if (name == ":authority") {
    Keep(value, kMaxText, host_);
  } else if (name == "x-request-id") {
    Keep(value, kMaxText, request_id_);
  }
}

bool EnvoyExchange::TakeBody(std::string_view bytes, Side& side, const Limits& limits,
                             bool& ended) {
  std::string_view body;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) body = in.bytes();
    if (in.Is(2, WireReader::kVarint)) ended = in.varint() != 0;
  }
  if (!in.ok()) return false;
  side.body_bytes += body.size();
  if (body.empty() || side.state == Body::kTooLong || side.state == Body::kNoMemory) return true;
  side.state = Body::kWhole;
  if (!gathers_) return true;
  if (side.body.size() + body.size() > limits.max_body) {
    DropBody(side, Body::kTooLong, limits);
  } else if (*limits.held_bytes + body.size() > limits.max_held_bytes) {
    DropBody(side, Body::kNoMemory, limits);
  } else {
    side.body.append(body);
    held_ += body.size();
    *limits.held_bytes += body.size();
  }
  return true;
}

void EnvoyExchange::DropBody(Side& side, Body why, const Limits& limits) {
  held_ -= side.body.size();
  *limits.held_bytes -= side.body.size();
  side.state = why;
  std::string().swap(side.body);
}

bool EnvoyExchange::TakeTrailers(std::string_view bytes) {
  std::string_view trailers;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) trailers = in.bytes();
  }
  return in.ok() && ForEachHeader(trailers, [&](std::string_view name, std::string_view value) {
           if (name == "grpc-status") grpc_status_ = StatusNumber(value, 16);
         });
}

void EnvoyExchange::Describe(const EnvoyRules& rules, EnvoyRequest& out) const {
  out.Clear();
  LogRecord& record = out.record;
  if (grpc_) record.protocol = "HTTP/2";
  record.method = method_;
  SetTarget(target_, record);
  record.grpc = record.grpc || grpc_;
  record.status = status_;
  record.grpc_status = grpc_status_;
  record.request_id = request_id_;
  record.request_bytes = request_.body_bytes;
  record.response_bytes = response_.body_bytes;
  if (answered()) record.latency_ns = (last_at_ - begun_at_).count();
  out.host = host_;
  out.cluster = cluster_;
  rules.Apply(out);
}

void EnvoyExchange::Clear(const Limits& limits) {
  *limits.held_bytes -= held_;
  held_ = 0;
  begun_ = gathers_ = response_ended_ = grpc_ = false;
  for (std::string* text : {&method_, &target_, &host_, &cluster_, &request_id_}) text->clear();
  status_.reset();
  grpc_status_.reset();
  for (Side* side : {&request_, &response_}) {
    side->content_type.clear();
    side->content_encoding.clear();
    if (side->body.capacity() > kKept) {
      std::string().swap(side->body);
    } else {
      side->body.clear();
    }
    side->body_bytes = 0;
    side->state = Body::kAbsent;
    side->json_bytes.reset();
  }
}

}  // namespace leadsman::intake
