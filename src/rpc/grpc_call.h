#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/compression.h"

// gRPC's own layer on top of HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

namespace leadsman::rpc {

/// "100m" → 100 ms. Nothing when malformed. At most about ten thousand days, so that sums stay far from overflow.
std::optional<std::chrono::nanoseconds> ParseTimeout(std::string_view text);

/// A status message as grpc-message carries it: percent-encoded, cut to a length that every client takes.
std::string EncodeStatusMessage(std::string_view message);

/// How messages lie in a body: a flag, a length, the message.
inline constexpr size_t kPrefixSize = 5;
/// Room for a prefix; `at` is where it stands once the message behind it is complete.
size_t BeginMessage(std::string& out);
void EndMessage(std::string& out, size_t at);

/// Of entries that are kept while a message is read, with more memory than they have on the wire. No model has as many inputs
/// or outputs.
inline constexpr size_t kMaxEntries = 1024;

/// What a message may take. One that is small on the wire may become large, by inflating or by writing out what it says once for
/// many: as large as `expanded`, or, so that what is bounded is what a client really sends, kMostExpanded times what came.
struct MessageLimits {
  static constexpr size_t kMostExpanded = 16;
  size_t wire = 64 << 20;
  size_t expanded = 64 << 20;
  size_t Expanded(size_t received) const {
    return std::min(wire, std::max(expanded, kMostExpanded * received));
  }
};

enum class Compression { kNone, kGzip, kDeflate, kUnknown };
Compression ParseCompression(std::string_view grpc_encoding);

/// Takes messages out of a body that comes in pieces. Confined.
class MessageReader {
 public:
  enum class Outcome { kNeedMore, kMessage, kRefused };
  explicit MessageReader(MessageLimits limits) : limits_(limits) {}
  void SetLimits(MessageLimits limits) { limits_ = limits; }
  void SetCompression(Compression compression) { compression_ = compression; }

  /// Whether the first message of `body` is complete; then `*size` is what it takes of the body. kNeedMore: `*size` is how long
  /// the body has to be, as far as is known. kRefused: error().
  Outcome Measure(std::string_view body, size_t* size);
  /// The same, and message() is valid until the body or this changes. Inflates what is compressed: to be called once a message.
  Outcome Read(std::string_view body, size_t* size);
  std::string_view message() const { return message_; }
  const Status& error() const { return error_; }
  /// Memory that it holds on to.
  size_t kept_bytes() const { return inflated_.capacity(); }
  /// Lets go of it, and of message().
  void ReleaseMemory() {
    message_ = {};
    inflated_.Release();
  }

 private:
  Outcome Refuse(Status why) {
    error_ = std::move(why);
    return Outcome::kRefused;
  }
  MessageLimits limits_;
  Compression compression_ = Compression::kNone;
  std::string_view message_;
  net::PaddedBuffer inflated_;
  Status error_;
};

}  // namespace leadsman::rpc
