#include "kube/transport.h"

#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "kube/credentials.h"
#include "net/http_client.h"

namespace leadsman::kube {
namespace {

using std::chrono::milliseconds;

constexpr size_t kKeptClients = 8;

class StreamSink final : public net::BodySink {
 public:
  explicit StreamSink(const Transport::Take& take) : take_(take) {}
  Status Begin(const Info&) override { return take_({}); }
  Status Write(std::string_view bytes) override { return take_(bytes); }

 private:
  const Transport::Take& take_;
};

class HttpTransport final : public Transport {
 public:
  HttpTransport(std::string server, std::unique_ptr<Credentials> credentials, Clock& clock)
      : server_(std::move(server)), credentials_(std::move(credentials)), clock_(clock) {}

  Result<ApiAnswer> Send(const ApiRequest& request) override { return Ask(request, nullptr); }
  Result<ApiAnswer> Stream(const ApiRequest& request, const Take& take) override {
    StreamSink sink(take);
    return Ask(request, &sink);
  }

 private:
  /// A client and the TLS that it was made with: another one's connections prove nothing of the new files.
  struct Pooled {
    std::shared_ptr<const net::TlsClient> tls;
    std::unique_ptr<net::HttpClient> http;
  };

  Result<ApiAnswer> Ask(const ApiRequest& request, net::BodySink* sink) {
    const SteadyTime deadline = clock_.SteadyNow() + request.timeout;
    const Credentials::Current used = credentials_->Get();
    Result<ApiAnswer> answer = Once(request, used, request.timeout, sink);
    const bool refused = answer.ok() ? answer->status == 401
                                     : answer.status().code() == StatusCode::kFailedPrecondition;
    // Neither has done anything: it may be asked again, once, as somebody else, within what is left of the time.
    if (!refused || !credentials_->Refresh(used)) return answer;
    const auto left = std::chrono::floor<milliseconds>(deadline - clock_.SteadyNow());
    return left > left.zero() ? Once(request, credentials_->Get(), left, sink) : std::move(answer);
  }

  Result<ApiAnswer> Once(const ApiRequest& request, const Credentials::Current& current,
                         milliseconds timeout, net::BodySink* sink) {
    Pooled pooled = Take(current.tls);
    net::ClientRequest http;
    http.method = request.method;
    http.url = server_ + request.target;
    http.headers = {{"Accept", "application/json"}, {"User-Agent", "leadsman"}};
    if (!request.content_type.empty())
      http.headers.emplace_back("Content-Type", request.content_type);
    if (!current.token.empty())
      http.headers.emplace_back("Authorization", StrCat("Bearer ", current.token));
    http.body = request.body;
    http.timeout = timeout;
    http.idle_timeout = request.idle_timeout;
    http.max_response_bytes = request.max_bytes;
    http.cancelled = request.cancelled;
    auto response = sink == nullptr ? pooled.http->Send(http) : pooled.http->Fetch(http, *sink);
    Return(std::move(pooled));
    if (!response.ok()) return response.status();
    return ApiAnswer{response->status, std::move(response->body), response->Header("retry-after")};
  }

  Pooled Take(const std::shared_ptr<const net::TlsClient>& tls) {
    {
      MutexLock lock(mutex_);
      while (!idle_.empty()) {
        Pooled pooled = std::move(idle_.back());
        idle_.pop_back();
        if (pooled.tls == tls) return pooled;
      }
    }
    return {tls, net::MakeHttpClient(tls)};
  }

  void Return(Pooled pooled) {
    MutexLock lock(mutex_);
    if (idle_.size() < kKeptClients) idle_.push_back(std::move(pooled));
  }

  const std::string server_;
  const std::unique_ptr<Credentials> credentials_;
  Clock& clock_;
  Mutex mutex_;
  std::vector<Pooled> idle_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<Transport>> MakeHttpTransport(ClusterAccess access, Clock& clock) {
  ASSIGN_OR_RETURN(auto credentials, Credentials::Create(access, clock));
  return std::unique_ptr<Transport>(
      std::make_unique<HttpTransport>(std::move(access.server), std::move(credentials), clock));
}

}  // namespace leadsman::kube
