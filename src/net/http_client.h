#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace leadsman::net {

struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  ///< of Fetch: only of an answer that is not 2xx, at most its first 64 KiB
  std::string url;   ///< where it came from; another than was asked after a redirect
  /// Case-insensitive; empty when absent. The first when sent several times.
  std::string Header(std::string_view name) const;
};

/// Bytes `first` to `last`, both included; without `last`, to the end.
struct ByteRange {
  uint64_t first = 0;
  std::optional<uint64_t> last;
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;  ///< http://host:port/path or https://…
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<ByteRange> range;             ///< sent as Range; see BodySink::Info
  std::chrono::milliseconds timeout{10'000};  ///< for all of it: name, connection, redirects, body
  std::chrono::milliseconds idle_timeout{
      0};                                ///< without the server giving or taking a byte; 0 = none
  size_t max_response_bytes = 64 << 20;  ///< of a body that is kept; what a sink takes has no limit
  /// Of GET and HEAD. 0: an answer 3xx is an answer. A redirect from https to http is an error, and one to another
  /// scheme, host or port loses the fields Authorization, Cookie and Proxy-Authorization.
  int max_redirects = 0;
  /// Once true, the call ends within a tenth of a second: CANCELLED. Must live until then. Absent: never.
  const std::atomic<bool>* cancelled = nullptr;
};

/// Takes a body as it arrives, on the caller's thread. Errors end the call, and are its result.
class BodySink {
 public:
  struct Info {
    int status = 200;
    uint64_t offset = 0;  ///< where in the whole the first byte belongs. 0 although a range was
                          ///< asked for (status 200): the server does not know ranges
    std::optional<uint64_t> size;   ///< of this body, when the server says so
    std::optional<uint64_t> total;  ///< of the whole
  };
  virtual ~BodySink() = default;
  /// Once, before the first byte, also when there will be none.
  virtual Status Begin(const Info& info) = 0;
  virtual Status Write(std::string_view bytes) = 0;
};

/// Writes into an open file, at Info::offset and on. Owns nothing; does not sync. The callback hears how far it has come
/// (bytes of the whole that lie before the end of what was written) and may end the transfer with an error, for example
/// CANCELLED.
class FileSink final : public BodySink {
 public:
  using Progress = std::function<Status(uint64_t written_up_to, std::optional<uint64_t> total)>;
  explicit FileSink(int descriptor, Progress progress = nullptr)
      : descriptor_(descriptor), progress_(std::move(progress)) {}
  Status Begin(const Info& info) override;
  Status Write(std::string_view bytes) override;
  /// Of the latest transfer.
  const Info& info() const { return info_; }
  uint64_t written() const { return written_; }

 private:
  int descriptor_;
  Progress progress_;
  Info info_;
  uint64_t written_ = 0;
};

/// Whom a client believes, and who it says it is.
struct TlsClientOptions {
  std::string ca_file;  ///< PEM; empty: the system's (SSL_CERT_FILE and SSL_CERT_DIR are honoured)
  std::string cert_file;  ///< PEM, with its chain, for servers that ask; empty: none
  std::string key_file;
  bool verify =
      true;  ///< false: any certificate of any host will do. For tests of one's own servers only
  bool http2 = false;  ///< asks for HTTP/2 and nothing else; for who speaks it
  /// Instead of the files, their texts.
  std::string ca_pem;
  std::string cert_pem;
  std::string key_pem;
  /// What the server's certificate has to be for, when that is not the URL's host. Of HttpClient only.
  std::string server_name;
};

/// The same, read and checked. Immutable; may be shared by any number of clients on any threads.
class TlsClient {
 public:
  virtual ~TlsClient() = default;
  /// Reads the files. INVALID_ARGUMENT, NOT_FOUND … name the option and the file. At least TLS 1.2 is asked for.
  static Result<std::shared_ptr<const TlsClient>> Create(const TlsClientOptions& options);
};

/// A blocking client with one kept connection per origin. Externally synchronised: one for each thread. For https the
/// certificate and the host's name are verified.
///
/// Errors: UNAVAILABLE (cannot connect, lost, not HTTP, TLS failed: the message names host and port), DEADLINE_EXCEEDED
/// (the deadline, or idle_timeout), CANCELLED, INVALID_ARGUMENT (bad URL), FAILED_PRECONDITION (the server's certificate is not
/// trusted, or not for this host), RESOURCE_EXHAUSTED (larger than max_response_bytes). An HTTP error status is no error.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Result<ClientResponse> Send(const ClientRequest& request) = 0;
  /// As Send, but the body of a 2xx answer goes to `sink` as it arrives; a body that ends early is UNAVAILABLE, and what
  /// the sink has got by then stays good: ask for the rest with a range.
  virtual Result<ClientResponse> Fetch(const ClientRequest& request, BodySink& sink) = 0;
};
/// Without `tls` the system's certificate authorities are trusted; they are read at the first https request.
std::unique_ptr<HttpClient> MakeHttpClient(std::shared_ptr<const TlsClient> tls = nullptr);

}  // namespace leadsman::net
