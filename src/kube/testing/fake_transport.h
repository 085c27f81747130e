#pragma once

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "kube/transport.h"

namespace leadsman::kube {

/// An API server that answers as a test says, one answer after the other, and keeps what it was asked. Without an answer left,
/// requests fail with UNAVAILABLE. Thread-safe.
class FakeTransport final : public Transport {
 public:
  struct Scripted {
    int status = 200;
    std::string body;
    std::string retry_after;
    Status error;  ///< instead: the connection fails; of a stream, behind the body
  };

  void Answer(Scripted answer) {
    MutexLock lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  /// Answers every request that has none of its own.
  void Otherwise(std::function<Scripted(const ApiRequest&)> otherwise) {
    MutexLock lock(mutex_);
    otherwise_ = std::move(otherwise);
  }
  /// "GET /api/v1/pods?limit=500".
  std::vector<std::string> asked() const {
    MutexLock lock(mutex_);
    return asked_;
  }
  ApiRequest last() const {
    MutexLock lock(mutex_);
    return last_;
  }

  Result<ApiAnswer> Send(const ApiRequest& request) override {
    const Scripted next = Next(request);
    if (!next.error.ok()) return next.error;
    return ApiAnswer{next.status, next.body, next.retry_after};
  }
  Result<ApiAnswer> Stream(const ApiRequest& request, const Take& take) override {
    const Scripted next = Next(request);
    if (next.status < 200 || next.status >= 300)
      return ApiAnswer{next.status, next.body, next.retry_after};
    if (!next.error.ok() && next.body.empty()) return next.error;
    RETURN_IF_ERROR(take({}));
    RETURN_IF_ERROR(take(next.body));
    if (!next.error.ok()) return next.error;
    return ApiAnswer{next.status, "", ""};
  }

 private:
  Scripted Next(const ApiRequest& request) {
    std::function<Scripted(const ApiRequest&)> otherwise;
    {
      MutexLock lock(mutex_);
      asked_.push_back(StrCat(request.method, " ", request.target));
      last_ = request;
      if (!answers_.empty()) {
        Scripted next = std::move(answers_.front());
        answers_.pop_front();
        return next;
      }
      otherwise = otherwise_;
    }
    return otherwise ? otherwise(request)
                     : Scripted{.error = UnavailableError("connection refused")};
  }

  mutable Mutex mutex_;
  std::deque<Scripted> answers_ GUARDED_BY(mutex_);
  std::function<Scripted(const ApiRequest&)> otherwise_ GUARDED_BY(mutex_);
  std::vector<std::string> asked_ GUARDED_BY(mutex_);
  ApiRequest last_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::kube
