#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/http_client.h"

namespace leadsman {

/// Where notifications are sent, and as whom.
struct SenderTarget {
  std::string url;
  std::chrono::milliseconds timeout{10'000};
  net::TlsClientOptions tls;
  std::string token_file;               ///< a bearer token
  std::string username, password_file;  ///< or Basic
};

/// Posts JSON to one target. Secrets are read from their files at every post, so that they may be changed, and are in no
/// message. Externally synchronised; blocks for up to the target's timeout.
class SenderHttp {
 public:
  /// INVALID_ARGUMENT, NOT_FOUND … name the field and the file: the URL, a TLS file, a secret that cannot be read.
  static Result<std::unique_ptr<SenderHttp>> Create(SenderTarget target);

  /// UNAUTHENTICATED and PERMISSION_DENIED: 401 and 403. INVALID_ARGUMENT: refused, and would be again as it is.
  /// UNAVAILABLE: worth another try, as what the HTTP client says is.
  Status Post(const std::string& path, std::string body,
              std::vector<std::pair<std::string, std::string>> headers = {});

 private:
  explicit SenderHttp(SenderTarget target) : target_(std::move(target)) {}
  Result<std::string> Authorization() const;  ///< empty: none

  const SenderTarget target_;
  std::unique_ptr<net::HttpClient> http_;
};

/// A file that holds one secret. INVALID_ARGUMENT when it is empty; never repeats what is in it.
Result<std::string> ReadSecret(const std::string& path);

}  // namespace leadsman
