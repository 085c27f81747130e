#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace leadsman::net {

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string Header(std::string_view name) const;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;  ///< http://host:port/path
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds timeout{10'000};
  size_t max_response_bytes = 64 << 20;
};

/// A blocking client with one kept connection per host. Externally synchronised.
/// Errors: UNAVAILABLE (cannot connect; the message names host and port), DEADLINE_EXCEEDED,
/// INVALID_ARGUMENT (bad URL). An HTTP error status is not an error here.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Result<ClientResponse> Send(const ClientRequest& request) = 0;
};
std::unique_ptr<HttpClient> MakeHttpClient();

}  // namespace leadsman::net
