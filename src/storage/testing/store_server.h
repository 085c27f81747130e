#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "net/http_server.h"

namespace leadsman {

/// A web server on this machine that answers as a test says and keeps what it was asked. Not for
/// answers to HEAD that have a body. Thread-safe.
class StoreServer {
 public:
  using Answer = std::function<void(const net::HttpRequest&, net::HttpResponse&)>;

  explicit StoreServer(Answer answer)
      : answer_(std::move(answer)),
        server_(net::HttpServer::Start({}, [this](net::HttpExchange& exchange) {
                  const net::HttpRequest& request = exchange.request();
                  {
                    MutexLock lock(mutex_);
                    asked_.push_back(StrCat(request.method, " ", request.target));
                  }
                  answer_(request, exchange.response());
                }).value()) {}

  std::string host() const { return StrCat("127.0.0.1:", server_->port()); }
  /// "GET /path?query", in the order in which they came.
  std::vector<std::string> asked() const {
    MutexLock lock(mutex_);
    return asked_;
  }

 private:
  const Answer answer_;
  mutable Mutex mutex_;
  std::vector<std::string> asked_ GUARDED_BY(mutex_);
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace leadsman
