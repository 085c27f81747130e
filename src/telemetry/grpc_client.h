#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "telemetry/courier.h"

namespace leadsman {

/// Unary gRPC calls to one peer, by libcurl's HTTP/2 (with TLS as ALPN finds it, without it by prior knowledge). A connection
/// each: libcurl 7.88 cannot use one again that has begun as HTTP/2 without TLS. Headers are read from their file at every call.
/// Externally synchronised; blocks for as long as the errand may take.
class GrpcClient {
 public:
  struct Options {
    std::string url;           ///< http(s)://host:port; a path is not looked at
    std::string headers_file;  ///< lines "name: value"
    std::string ca_file;       ///< PEM: who is trusted for https; empty: the system's
  };
  struct Answer {
    /// OK, or the peer's code and words, or why there is no answer: UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, and
    /// FAILED_PRECONDITION for a certificate that is not trusted.
    Status status;
    bool answered = false;  ///< the code is the peer's own
    /// The peer ended the call before it had read the message; libcurl 7.88 then loses what it answered.
    bool cut_off = false;
    std::string message = {};  ///< of OK
    std::string details = {};  ///< a google.rpc.Status, when the peer gives one with its code
  };

  /// INVALID_ARGUMENT, NOT_FOUND … name the field and the file.
  static Result<std::unique_ptr<GrpcClient>> Create(Options options);

  /// `method` as "/package.Service/Method".
  Answer Call(const Courier::Errand& errand, std::string_view method, std::string_view message);

 private:
  GrpcClient(Options options, std::string origin, std::string peer);

  const Options options_;
  const std::string origin_;  ///< "http://host:port"
  const std::string peer_;    ///< for messages
};

}  // namespace leadsman
