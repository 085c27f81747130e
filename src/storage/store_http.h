#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace leadsman {

/// How long something may take and who may call it off; handed down to every call of a store.
struct StoreCall {
  SteadyTime deadline = SteadyTime::max();
  const std::atomic<bool>* cancel = nullptr;
  const std::atomic<bool>* stop = nullptr;  ///< the same, by somebody else

  bool cancelled() const {
    return (cancel != nullptr && cancel->load()) || (stop != nullptr && stop->load());
  }
};

struct AwsSigning {
  std::string access_key, secret_key, session_token, region, service;
};

struct StoreRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<AwsSigning> sign;
  /// "Authorization", sent to this origin only, never to where a redirect leads.
  std::string authorization;
  std::string netrc_file;  ///< user and password by host, as for curl; empty: none
  bool direct = false;     ///< through no proxy, whatever the environment says
  /// What else of it is secret (in the body or the URL): an answer that repeats it comes without, as without what is in
  /// `authorization` and `sign`.
  std::vector<std::string> secrets;
  size_t max_body = size_t{16} << 20;
};

struct StoreAnswer {
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  ///< names in small letters
  std::string body;

  bool ok() const { return status >= 200 && status < 300; }
  std::string Header(std::string_view name) const {
    auto it = headers.find(name);
    return it == headers.end() ? std::string() : it->second;
  }
};

/// HTTP as stores need it: one place for deadlines, stalls, retries, redirects, size limits and TLS,
/// and for keeping secrets out of messages: those name scheme, host and path, never a query, a
/// header or a body that was sent.
///
/// Thread-safe. Every call blocks, at most until its deadline, and looks at `cancel` at least once
/// a second.
class StoreHttp {
 public:
  struct Options {
    std::chrono::milliseconds connect_timeout{5'000};
    std::chrono::milliseconds stall_timeout{20'000};  ///< without a byte in either direction
    int retries = 5;
    std::chrono::milliseconds retry_delay{500};  ///< doubles, with jitter
    std::string ca_file;                         ///< empty: the system's
  };
  /// Told of the head of a 2xx answer before its body. Not OK ends the transfer with that status.
  using HeadSink = std::function<Status(const StoreAnswer& head)>;
  using BodySink = std::function<Status(std::string_view bytes)>;

  explicit StoreHttp(Options options);
  ~StoreHttp();
  StoreHttp(const StoreHttp&) = delete;
  StoreHttp& operator=(const StoreHttp&) = delete;

  /// The answer whatever its status (one that is no success comes without the request's secrets),
  /// after retries of what may pass: 408, 429, 5xx (Retry-After is honoured) and broken connections.
  /// UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED (the body is larger than
  /// `max_body`), FAILED_PRECONDITION (TLS, redirects).
  Result<StoreAnswer> Call(const StoreRequest& request, const StoreCall& call);

  /// One attempt; the body of a 2xx goes to `body`, that of any other status into the answer.
  Result<StoreAnswer> Stream(const StoreRequest& request, const HeadSink& head,
                             const BodySink& body, const StoreCall& call);

  /// Waits before attempt number `attempt` (from 1), at least `at_least`; less when called off.
  /// DEADLINE_EXCEEDED when the deadline would pass meanwhile.
  Status WaitBeforeRetry(int attempt, Duration at_least, const StoreCall& call);
  int retries() const { return options_.retries; }

 private:
  struct Handles;
  struct Attempt;
  Result<StoreAnswer> Once(const StoreRequest& request, const HeadSink* head, const BodySink* body,
                           const StoreCall& call);

  const Options options_;
  std::unique_ptr<Handles> handles_;
};

/// True for answers that another try may better: 408, 425, 429, 500, 502, 503, 504.
bool MayPassLater(int http_status);

/// The seconds of a Retry-After header; zero when there is none that can be read.
Duration RetryAfter(const StoreAnswer& answer, WallTime now);

/// What an answer that is no success means, for messages: "http://host/path answered 503 (…)".
/// `detail` is the store's own text, cut to a sane length.
Status StatusOfAnswer(const StoreAnswer& answer, std::string_view url, std::string_view detail);

/// Takes the secrets of a request out of a text that its server has sent.
void HideSecrets(const StoreRequest& request, std::string& text);

/// Percent-encodes everything but unreserved characters, and keeps "/".
std::string EncodePath(std::string_view path);

}  // namespace leadsman
