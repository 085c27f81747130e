#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/http_client.h"
#include "telemetry/courier.h"

namespace leadsman {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

/// Where messages are sent, and as whom.
struct SenderTarget {
  std::string url;
  std::chrono::milliseconds timeout{10'000};
  net::TlsClientOptions tls;
  std::string token_file;               ///< a bearer token
  std::string username, password_file;  ///< or Basic
  std::string headers_file;             ///< lines "name: value"
};

/// Posts to one target. Secrets are read from their files at every post, so that they may be changed, and are in no message.
/// Externally synchronised; blocks for as long as the errand may take.
class SenderHttp {
 public:
  struct Message {
    std::string path;  ///< behind the target's; empty: that itself
    std::string body;
    HeaderList headers;
    std::string content_type = "application/json";
  };
  struct Answer {
    Status status;          ///< OK for 2xx alone; its message says who answered what
    int http = 0;           ///< 0: there was no answer
    std::string body = {};  ///< of OK
    /// The message itself is wrong, and would be again: 400, 413, 415, 422.
    bool IsRefusal() const { return http == 400 || http == 413 || http == 415 || http == 422; }
  };

  /// INVALID_ARGUMENT, NOT_FOUND … name the field and the file: the URL, a TLS file, a secret that cannot be read.
  static Result<std::unique_ptr<SenderHttp>> Create(SenderTarget target);
  Answer Post(const Courier::Errand& errand, Message message);

 private:
  explicit SenderHttp(SenderTarget target) : target_(std::move(target)) {}
  Result<HeaderList> OwnHeaders() const;

  const SenderTarget target_;
  std::unique_ptr<net::HttpClient> http_;
};

/// What of a target's files cannot be read, as "token_file: …". Blocks for the files.
std::vector<std::string> CheckTargetFiles(const SenderTarget& target);

/// A URL as it may be shown: without its query, and without what stands before '@'.
std::string ShownUrl(const std::string& url);

/// A file that holds one secret. INVALID_ARGUMENT when it is empty; never repeats what is in it.
Result<std::string> ReadSecret(const std::string& path);

/// Lines "name: value"; empty ones and those that begin with # are passed over. INVALID_ARGUMENT names the line, never its
/// text.
Result<HeaderList> ReadHeadersFile(const std::string& path);

}  // namespace leadsman
