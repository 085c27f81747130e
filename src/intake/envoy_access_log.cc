#include "intake/envoy_access_log.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "base/wire.h"
#include "intake/model_path.h"

// proto/envoy_*.proto have the messages, and the numbers of their fields.

namespace leadsman::intake {
namespace {

constexpr int64_t kNanos = 1'000'000'000;
constexpr int64_t kLongestSeconds = 4'000'000'000;  // of a time or a span that is believed

/// google.protobuf.Timestamp and Duration. Nothing when out of range.
std::optional<int64_t> Nanoseconds(std::string_view bytes) {
  int64_t seconds = 0;
  int64_t nanos = 0;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kVarint)) seconds = static_cast<int64_t>(in.varint());
    if (in.Is(2, WireReader::kVarint)) nanos = static_cast<int32_t>(in.varint());
  }
  if (!in.ok() || seconds < 0 || seconds > kLongestSeconds || nanos < 0 || nanos >= kNanos)
    return std::nullopt;
  return seconds * kNanos + nanos;
}

/// google.protobuf.UInt32Value.
std::optional<uint64_t> Wrapped(std::string_view bytes) {
  uint64_t value = 0;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kVarint)) value = in.varint();
  }
  if (!in.ok()) return std::nullopt;
  return value;
}

std::string_view MethodName(uint64_t method) {
  constexpr std::string_view kNames[] = {"",       "GET",     "HEAD",    "POST",  "PUT",
                                         "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return method < std::size(kNames) ? kNames[method] : "OTHER";
}

/// envoy.data.accesslog.v3.AccessLogType: what is written once a request is over.
constexpr uint64_t kNotSet = 0;
constexpr uint64_t kDownstreamEnd = 6;

struct Times {
  std::optional<int64_t> start, last_byte, duration;
};

struct Common {
  Times times;
  std::string_view cluster, stream_id;
  bool client_gone = false;
  bool final = true;
};

bool ClientGone(std::string_view flags) {
  bool gone = false;
  WireReader in(flags);
  while (in.Next()) {
    if (in.Is(15, WireReader::kVarint)) gone = in.varint() != 0;
  }
  return gone;
}

bool ReadCommon(std::string_view bytes, Common& out, uint32_t& unreadable) {
  WireReader in(bytes);
  auto time = [&](std::optional<int64_t>& into) {
    into = Nanoseconds(in.bytes());
    if (!into) ++unreadable;
  };
  while (in.Next()) {
    if (in.Is(5, WireReader::kBytes)) time(out.times.start);
    if (in.Is(12, WireReader::kBytes)) time(out.times.last_byte);
    if (in.Is(15, WireReader::kBytes)) out.cluster = in.bytes();
    if (in.Is(16, WireReader::kBytes)) out.client_gone = ClientGone(in.bytes());
    if (in.Is(23, WireReader::kBytes)) time(out.times.duration);
    if (in.Is(26, WireReader::kBytes)) out.stream_id = in.bytes();
    if (in.Is(27, WireReader::kVarint) && in.varint() != 0) out.final = false;
    if (in.Is(33, WireReader::kVarint) && in.varint() != kNotSet && in.varint() != kDownstreamEnd)
      out.final = false;
  }
  return in.ok();
}

bool ReadRequest(std::string_view bytes, EnvoyRequest& out) {
  LogRecord& record = out.record;
  std::string_view path, original;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kVarint)) record.method = MethodName(in.varint());
    if (in.Is(3, WireReader::kBytes)) out.host = in.bytes();
    if (in.Is(5, WireReader::kBytes)) path = in.bytes();
    if (in.Is(6, WireReader::kBytes)) record.user_agent = in.bytes();
    if (in.Is(9, WireReader::kBytes)) record.request_id = in.bytes();
    if (in.Is(10, WireReader::kBytes)) original = in.bytes();
    if (in.Is(12, WireReader::kVarint)) record.request_bytes = in.varint();
  }
  if (!in.ok()) return false;
  SetTarget(path, record);
  // A route may have written the path anew: whichever of the two says more.
  if (!record.inference && !original.empty()) {
    LogRecord other;
    SetTarget(original, other);
    if (other.inference) SetTarget(original, record);
  }
  return true;
}

/// A map<string, string> entry.
std::pair<std::string_view, std::string_view> MapEntry(std::string_view bytes) {
  std::pair<std::string_view, std::string_view> entry;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) entry.first = in.bytes();
    if (in.Is(2, WireReader::kBytes)) entry.second = in.bytes();
  }
  return entry;
}

bool ReadResponse(std::string_view bytes, LogRecord& record) {
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) {
      auto code = Wrapped(in.bytes());
      if (code && *code <= 999) record.status = static_cast<int>(*code);
    }
    if (in.Is(3, WireReader::kVarint)) record.response_bytes = in.varint();
    if (in.Is(4, WireReader::kBytes) || in.Is(5, WireReader::kBytes)) {
      const auto [name, value] = MapEntry(in.bytes());
      if (name != "grpc-status") continue;
      auto status = ParseInt64(value);
      if (status && *status >= 0 && *status <= 16) record.grpc_status = static_cast<int>(*status);
    }
  }
  return in.ok();
}

}  // namespace

bool ReadEnvoyEntry(std::string_view entry, EnvoyEntry& out) {
  out.request.Clear();
  LogRecord& record = out.request.record;
  Common common;
  bool good = true;
  bool http2 = false;
  std::string_view request, response;
  WireReader in(entry);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes))
      good = ReadCommon(in.bytes(), common, record.unreadable) && good;
    if (in.Is(2, WireReader::kVarint)) http2 = in.varint() == 3;
    if (in.Is(3, WireReader::kBytes)) request = in.bytes();
    if (in.Is(4, WireReader::kBytes)) response = in.bytes();
  }
  if (http2) record.protocol = "HTTP/2";
  if (!in.ok() || !good || !ReadRequest(request, out.request) || !ReadResponse(response, record))
    return false;
  out.request.cluster = common.cluster;
  out.final = common.final;
  if (record.request_id.empty()) record.request_id = common.stream_id;
  record.latency_ns = common.times.last_byte ? common.times.last_byte : common.times.duration;
  if (common.times.start) record.unix_ns = *common.times.start + record.latency_ns.value_or(0);
  // Whatever was sent by then: nobody has waited for the rest.
  if (common.client_gone) {
    record.status = 0;
    record.grpc_status.reset();
  }
  return true;
}

bool ForEachEnvoyEntry(std::string_view message, const std::function<void(std::string_view)>& http,
                       uint64_t& tcp) {
  WireReader in(message);
  while (in.Next()) {
    if (in.Is(2, WireReader::kBytes)) {
      WireReader entries(in.bytes());
      while (entries.Next()) {
        if (entries.Is(1, WireReader::kBytes)) http(entries.bytes());
      }
      if (!entries.ok()) return false;
    } else if (in.Is(3, WireReader::kBytes)) {
      WireReader entries(in.bytes());
      while (entries.Next()) {
        if (entries.Is(1, WireReader::kBytes)) ++tcp;
      }
      if (!entries.ok()) return false;
    }
  }
  return in.ok();
}

}  // namespace leadsman::intake
