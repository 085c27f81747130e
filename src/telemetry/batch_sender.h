#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/http_client.h"

namespace leadsman {

/// Posts bodies to one URL, in order, on a thread of its own, so that a peer that hangs holds nobody
/// up. A body that is not taken is tried again after 1 s to 30 s; one that the peer refuses for good
/// (4xx but 401, 403, 408 and 429) is given up. Bounded: the oldest bodies make room for new ones. What is
/// given up is counted by its items. Thread-safe.
class BatchSender {
 public:
  struct Options {
    std::string url;
    std::string content_type = "application/json";
    std::string headers_file;  ///< lines "name: value"; read before each body
    std::shared_ptr<const net::TlsClient> tls;
    size_t max_bodies = 64;
    size_t max_bytes = 16 << 20;
    std::chrono::milliseconds timeout{5'000};
  };
  struct Counters {
    uint64_t sent = 0, failed = 0;  ///< requests
    uint64_t items_sent = 0, items_dropped = 0, items_refused = 0;
    uint64_t waiting = 0;  ///< bodies
  };

  BatchSender(Clock& clock, Options options);
  /// Gives what waits one more try, for at most a second together, after the body that is under way, and ends.
  ~BatchSender();

  void Send(std::string body, uint64_t items);
  Counters counters() const;

 private:
  struct Body {
    std::string bytes;
    uint64_t items = 0;
  };
  enum class Outcome { kSent, kAgain, kRefused };
  void Loop();
  void MakeRoom() REQUIRES(mutex_);
  Outcome Post(net::HttpClient& client, const Body& body, std::chrono::milliseconds timeout);

  Clock& clock_;
  const Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Body> bodies_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  bool sending_ GUARDED_BY(mutex_) = false;  ///< one more, which is not in `bodies_`
  Counters counters_ GUARDED_BY(mutex_);
  bool stop_ GUARDED_BY(mutex_) = false;
  bool complained_ = false;  ///< of the thread alone
  std::thread thread_;
};

/// Lines "name: value"; empty ones and those that begin with # are passed over. INVALID_ARGUMENT
/// names the line, never its text.
Result<std::vector<std::pair<std::string, std::string>>> ReadHeadersFile(const std::string& path);

}  // namespace leadsman
