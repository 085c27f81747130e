#include "gateway/grpc_words.h"

#include "base/strings.h"

namespace leadsman::gateway {

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kType = "application/grpc";
  if (content_type.size() < kType.size() ||
      !EqualsIgnoreCase(content_type.substr(0, kType.size()), kType))
    return false;
  // application/grpc-web is another protocol, over HTTP/1.1 as well.
  const std::string_view rest = content_type.substr(kType.size());
  return rest.empty() || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ';
}

std::optional<std::chrono::nanoseconds> ParseGrpcTimeout(std::string_view text) {
  using namespace std::chrono;  // NOLINT: units
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      // 99,999,999 hours are more than nanoseconds can count.
      return value > 1'000'000 ? hours(1'000'000) : hours(value);
    case 'M':
      return minutes(value);
    case 'S':
      return seconds(value);
    case 'm':
      return milliseconds(value);
    case 'u':
      return microseconds(value);
    case 'n':
      return nanoseconds(value);
    default:
      return std::nullopt;
  }
}

StatusCode ParseGrpcStatus(std::string_view text) {
  const auto code = ParseInt64(text);
  return code && *code >= 0 && *code < kStatusCodeCount ? static_cast<StatusCode>(*code)
                                                        : StatusCode::kUnknown;
}

StatusCode GrpcStatusOf(int http_status, Reason reason) {
  switch (reason) {
    case Reason::kTimeout:
    case Reason::kTotalTimeout:
      return StatusCode::kDeadlineExceeded;
    case Reason::kNoRoute:
      return StatusCode::kUnimplemented;
    case Reason::kTooLarge:
      return StatusCode::kResourceExhausted;
    case Reason::kProtocol:
      return StatusCode::kUnimplemented;
    case Reason::kClientSlow:
      return StatusCode::kCancelled;
    case Reason::kBadRequest:
      return http_status == 501 ? StatusCode::kUnimplemented : StatusCode::kInvalidArgument;
    default:
      return StatusCode::kUnavailable;
  }
}

std::string GrpcMessage(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace leadsman::gateway
