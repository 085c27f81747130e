#include "rpc/grpc_call.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::rpc {
namespace {

constexpr size_t kLongestMessage =
    2048;  // clients take some 8 KiB of trailers, percent signs included

}  // namespace

std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  uint64_t value = 0;
  for (char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  int64_t unit;
  switch (text.back()) {
    case 'H':
      unit = 3'600'000'000'000;
      break;
    case 'M':
      unit = 60'000'000'000;
      break;
    case 'S':
      unit = 1'000'000'000;
      break;
    case 'm':
      unit = 1'000'000;
      break;
    case 'u':
      unit = 1'000;
      break;
    case 'n':
      unit = 1;
      break;
    default:
      return std::nullopt;
  }
  constexpr int64_t kLongest = 864'000'000'000'000'000;
  int64_t total;
  if (__builtin_mul_overflow(static_cast<int64_t>(value), unit, &total)) total = kLongest;
  return std::chrono::nanoseconds(std::min(total, kLongest));
}

std::string EncodeStatusMessage(std::string_view message) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  message = CutUtf8(message, kLongestMessage);
  std::string out;
  out.reserve(message.size());
  for (char c : message) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

size_t BeginMessage(std::string& out) {
  out.append(kPrefixSize, '\0');
  return out.size() - kPrefixSize;
}

void EndMessage(std::string& out, size_t at) {
  const auto size = static_cast<uint32_t>(out.size() - at - kPrefixSize);
  for (size_t i = 0; i < 4; ++i) out[at + 1 + i] = static_cast<char>(size >> (24 - 8 * i));
}

Compression ParseCompression(std::string_view grpc_encoding) {
  if (grpc_encoding.empty() || grpc_encoding == "identity") return Compression::kNone;
  if (grpc_encoding == "gzip") return Compression::kGzip;
  if (grpc_encoding == "deflate") return Compression::kDeflate;
  return Compression::kUnknown;
}

MessageReader::Outcome MessageReader::Measure(std::string_view body, size_t* size) {
  *size = kPrefixSize;
  if (body.size() < kPrefixSize) return Outcome::kNeedMore;
  const auto flag = static_cast<uint8_t>(body[0]);
  uint32_t length = 0;
  for (size_t i = 1; i < kPrefixSize; ++i) length = length << 8 | static_cast<uint8_t>(body[i]);
  if (flag > 1)
    return Refuse(InternalError("malformed gRPC message: its compression flag is neither 0 nor 1"));
  if (length > limits_.wire) {
    return Refuse(
        ResourceExhaustedError(StrCat("the message has ", length, " bytes, more than the limit of ",
                                      limits_.wire, " (server.limits.max_message)")));
  }
  *size = kPrefixSize + length;
  return body.size() < *size ? Outcome::kNeedMore : Outcome::kMessage;
}

MessageReader::Outcome MessageReader::Read(std::string_view body, size_t* size) {
  const Outcome measured = Measure(body, size);
  if (measured != Outcome::kMessage) return measured;
  message_ = body.substr(kPrefixSize, *size - kPrefixSize);
  if (body[0] == 0) return Outcome::kMessage;
  if (compression_ == Compression::kNone || compression_ == Compression::kUnknown) {
    return Refuse(InternalError(
        "the message is flagged as compressed, but grpc-encoding names no compression"));
  }
  // A quarter of a megabyte, and of use to one message after the other: one a thread.
  thread_local net::Inflater inflater;
  size_t inflated = 0;
  const size_t limit = limits_.Expanded(message_.size());
  switch (inflater.Inflate(message_, limit, inflated_, &inflated)) {
    case net::Inflater::Outcome::kOk:
      message_ = std::string_view(inflated_.data(), inflated);
      return Outcome::kMessage;
    case net::Inflater::Outcome::kCorrupt:
      return Refuse(InternalError("the compressed message is not what grpc-encoding says"));
    case net::Inflater::Outcome::kTooLarge:
      return Refuse(
          ResourceExhaustedError(StrCat("the message has more than ", limit,
                                        " bytes when uncompressed (server.limits.max_body)")));
  }
  return Outcome::kRefused;
}

}  // namespace leadsman::rpc
