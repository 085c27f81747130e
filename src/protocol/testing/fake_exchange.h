#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "net/http_server.h"

namespace leadsman {

/// A connection without a network: Set() a request, hand it to a handler, read the response. Reused for the next
/// request like a kept-alive connection.
class FakeExchange final : public net::HttpExchange {
 public:
  void Set(std::string_view method, std::string_view target, std::string_view body,
           std::vector<std::pair<std::string, std::string>> headers = {}) {
    method_ = method;
    target_ = target;
    // What stands behind the body in a connection's buffer: digits, the most misleading bytes there are.
    body_.assign(body);
    body_.append(net::HttpRequest::kBodyPadding, '7');
    headers_ = std::move(headers);
    request_ = {};
    request_.method = method_;
    request_.target = target_;
    request_.path = request_.target.substr(0, request_.target.find('?'));
    request_.body = std::string_view(body_).substr(0, body.size());
    request_.wire_body_bytes = body.size();
    request_.received = std::chrono::steady_clock::time_point(std::chrono::seconds(1));
    for (const auto& [name, value] : headers_) request_.fields.push_back({name, value});
    response_.Clear();
    std::lock_guard<std::mutex> lock(mutex_);
    deferred_ = finished_ = false;
  }
  const net::HttpRequest& request() const override { return request_; }
  net::HttpResponse& response() override { return response_; }
  void Defer() override {
    std::lock_guard<std::mutex> lock(mutex_);
    deferred_ = true;
  }
  void FinishFromAnyThread() override {
    std::lock_guard<std::mutex> lock(mutex_);
    CHECK(deferred_ && !finished_);
    finished_ = true;
    cv_.notify_all();
  }
  void WhenGone(std::function<void()> told) override { when_gone_ = std::move(told); }
  /// The client of a deferred response goes away.
  void Go() {
    if (auto told = std::exchange(when_gone_, nullptr)) told();
  }
  bool deferred() {
    std::lock_guard<std::mutex> lock(mutex_);
    return deferred_;
  }
  /// After the handler has returned: waits for a deferred response.
  void Await() {
    std::unique_lock<std::mutex> lock(mutex_);
    CHECK(cv_.wait_for(lock, std::chrono::seconds(20), [&] { return !deferred_ || finished_; }));
  }
  std::string ResponseHeader(std::string_view name) const {
    for (std::string_view line : Split(response_.headers, '\n')) {
      size_t colon = line.find(':');
      if (colon != std::string_view::npos && EqualsIgnoreCase(line.substr(0, colon), name)) {
        return std::string(Trim(line.substr(colon + 1)));
      }
    }
    return "";
  }

 private:
  std::function<void()> when_gone_;
  std::string method_, target_, body_;
  std::vector<std::pair<std::string, std::string>> headers_;
  net::HttpRequest request_;
  net::HttpResponse response_;
  std::mutex mutex_;
  std::condition_variable cv_;
  bool deferred_ = false;
  bool finished_ = false;
};

}  // namespace leadsman
