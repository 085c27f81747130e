#include "net/http_server.h"

#include <pthread.h>

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "net/http_worker.h"
#include "net/listener_store.h"

namespace leadsman::net {
namespace {

class Server final : public HttpServer {
 public:
  Server(std::shared_ptr<ServerShared> shared, const ListenerGroup& listeners)
      : shared_(std::move(shared)), port_(listeners.port) {
    for (int socket : listeners.sockets) {
      workers_.push_back(std::make_shared<HttpWorker>(shared_, socket, listeners));
    }
    {
      MutexLock lock(running_mutex_);
      running_ = workers_.size();
    }
    for (size_t i = 0; i < workers_.size(); ++i) {
      threads_.emplace_back([this, worker = workers_[i]] {
        worker->Run();
        MutexLock lock(running_mutex_);
        --running_;
        ended_.NotifyAll();
      });
      std::string name = StrCat(shared_->options.name.substr(0, 10), "-", i);
      pthread_setname_np(threads_.back().native_handle(), name.c_str());
    }
  }
  ~Server() override { Shutdown(std::chrono::milliseconds(0)); }

  uint16_t port() const override { return port_; }

  HttpServerStats stats() const override {
    HttpServerStats sum;
    for (const auto& worker : workers_) {
      const WorkerStats& s = worker->stats();
      sum.connections_accepted += s.accepted.value();
      sum.connections_refused += s.refused.value();
      sum.requests += s.requests.value();
      sum.bad_requests += s.bad_requests.value();
      sum.bodies_refused += s.bodies_refused.value();
      sum.timeouts += s.timeouts.value();
      sum.bytes_in += s.bytes_in.value();
      sum.bytes_out += s.bytes_out.value();
      sum.tls_handshakes += s.tls_handshakes.value();
      sum.tls_resumed += s.tls_resumed.value();
      sum.tls_failures += s.tls_failures.value();
    }
    sum.connections_open = shared_->open.load(std::memory_order_relaxed);
    return sum;
  }

  std::string_view drain_name() const override { return shared_->options.name; }
  void BeginDrain(std::chrono::milliseconds grace) override {
    for (const auto& worker : workers_) worker->BeginShutdown(grace);
  }
  bool AwaitDrained(std::chrono::milliseconds wait) override {
    auto deadline = std::chrono::steady_clock::now() + wait;
    MutexLock lock(running_mutex_);
    while (running_ > 0) {
      auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      ended_.WaitFor(running_mutex_, left);
    }
    return true;
  }

  void Shutdown(std::chrono::milliseconds grace) override {
    MutexLock lock(mutex_);  // a second caller returns when the first has done the work
    if (threads_.empty()) return;
    BeginDrain(grace);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::shared_ptr<ServerShared> shared_;
  const uint16_t port_;
  std::vector<std::shared_ptr<HttpWorker>> workers_;
  Mutex running_mutex_;
  CondVar ended_;
  size_t running_ GUARDED_BY(running_mutex_) = 0;  ///< I/O threads that are not over
  Mutex mutex_;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                      HttpHandler handler) {
  if (!handler) return InvalidArgumentError("an HTTP server needs a handler");
  options.io_threads = std::max(1, options.io_threads);
  ASSIGN_OR_RETURN(ListenerGroup listeners,
                   ListenBy(options.listeners, options.address, options.port, options.io_threads));
  auto shared = std::make_shared<ServerShared>();
  shared->options = std::move(options);
  shared->handler = std::move(handler);
  return std::unique_ptr<HttpServer>(std::make_unique<Server>(std::move(shared), listeners));
}

}  // namespace leadsman::net
