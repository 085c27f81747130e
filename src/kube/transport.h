#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "kube/cluster_access.h"

namespace leadsman::kube {

/// One HTTP request to the API server.
struct ApiRequest {
  std::string method = "GET";
  std::string target;  ///< path and query
  std::string content_type;
  std::string body;
  std::chrono::milliseconds timeout{30'000};  ///< for all of it
  std::chrono::milliseconds idle_timeout{0};  ///< without a byte; 0: none
  size_t max_bytes = 64 << 20;                ///< of the answer
  const std::atomic<bool>* cancelled =
      nullptr;  ///< once true it ends with CANCELLED. Absent: never
};

struct ApiAnswer {
  int status = 0;
  std::string body;  ///< of a stream: only when it is not 2xx
  std::string retry_after;
};

/// Carries requests to one API server, with the credentials on them. Thread-safe; blocks. An error status is no error; errors
/// are those of net::HttpClient.
class Transport {
 public:
  /// Takes a body as it arrives, on the caller's thread: first nothing, when a 2xx answer has begun. An error ends the call,
  /// and is its result.
  using Take = std::function<Status(std::string_view bytes)>;

  virtual ~Transport() = default;
  virtual Result<ApiAnswer> Send(const ApiRequest& request) = 0;
  /// The body of a 2xx answer goes to `take`.
  virtual Result<ApiAnswer> Stream(const ApiRequest& request, const Take& take) = 0;
};

/// Over net::HttpClient, HTTP/1.1 with kept connections: one for each request under way at the same time, of which those that
/// are idle are kept up to a number. Files of tokens and certificates are read again when they have changed, looked at before a
/// request, and for a 401 or a certificate that is not trusted at once.
///
/// INVALID_ARGUMENT, NOT_FOUND … name the file that is no good.
Result<std::unique_ptr<Transport>> MakeHttpTransport(ClusterAccess access, Clock& clock);

}  // namespace leadsman::kube
