#include "net/http_worker.h"

#include <time.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "net/http_connection.h"
#include "net/listener.h"

namespace leadsman::net {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSweepInterval{250};
constexpr milliseconds kDrainSweepInterval{10};
constexpr milliseconds kAcceptAfterShutdown{50};  // for handshakes that were under way
constexpr size_t kMaxRefusedOpen = 256;

Time Read(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return Time(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

}  // namespace

Time NowExact() { return Read(CLOCK_MONOTONIC); }
Time NowCoarse() { return Read(CLOCK_MONOTONIC_COARSE); }

// UNSAFE_IO: one thread only ever touches this loop's sockets, so that Asio need not lock them;
// posting stays safe from any.
HttpWorker::HttpWorker(std::shared_ptr<ServerShared> shared, int listening_socket,
                       const ListenerGroup& group)
    : shared_(std::move(shared)),
      io_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO),
      acceptor_(io_.get_executor(), group.ipv6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(),
                listening_socket),
      handed_over_(group.handed_over),
      sweep_timer_(io_.get_executor()),
      peers_(io_) {
  const HttpServerOptions& o = shared_->options;
  milliseconds shortest =
      std::min({o.idle_timeout, o.read_timeout, o.write_timeout, o.handshake_timeout});
  sweep_interval_ = std::clamp(shortest / 4, milliseconds(5), kSweepInterval);
}

void HttpWorker::Run() {
  TurnScope turn(*this);
  Accept();
  ScheduleSweep();
  for (;;) {
    try {
      io_.run();
      break;
    } catch (const std::exception& e) {  // e.g. no memory for a new connection; the others go on
      LOG_ERROR("event loop caught an exception", {"server", options().name}, {"error", e.what()});
    }
  }
  {
    MutexLock lock(loop_mutex_);
    loop_over_ = true;
  }
  // What has been posted or cancelled until now still holds connections; let it run out.
  CutAll();
  do {
    io_.restart();  // what runs now may stop the loop once more: a sweep that was due
  } while (io_.poll() > 0);
}

/// What is posted by the loop's own thread comes after what was ready before.
void HttpWorker::AtEnd(std::function<void()> task) { asio::post(io_, std::move(task)); }

void HttpWorker::Accept() {
  acceptor_.async_accept(
      [self = shared_from_this()](boost::system::error_code error, Socket socket) {
        if (error == asio::error::operation_aborted) return;
        if (!self->acceptor_.is_open()) {
          // Accepted before that was closed: nobody else has this connection.
          if (!error && !self->cut_) self->Admit(std::move(socket));
          return;
        }
        if (!error) {
          self->Admit(std::move(socket));
        } else if (error == asio::error::no_descriptors || error == asio::error::no_memory ||
                   error == asio::error::no_buffer_space ||
                   error == boost::system::errc::too_many_files_open_in_system) {
          // Trying again at once would spin; the next sweep does.
          if (!std::exchange(self->accept_paused_, true)) {
            LOG_WARN("cannot accept connections for now", {"server", self->options().name},
                     {"error", error.message()});
          }
          return;
        }
        self->Accept();
      });
}

void HttpWorker::Admit(Socket socket) {
  const bool refused = shared_->open.load(std::memory_order_relaxed) >= options().max_connections;
  if (refused) {
    stats_.refused.Add(1);
    if (refused_open_ >= kMaxRefusedOpen) return;  // not even words for this one
  } else {
    stats_.accepted.Add(1);
  }
  std::shared_ptr<HttpConnection> connection;
  try {
    connection = std::make_shared<HttpConnection>(shared_from_this(), std::move(socket), refused);
    connection->index = connections_.size();
    connections_.push_back(connection);
  } catch (const std::exception& e) {  // no memory: it must not be the last one that is accepted
    LOG_ERROR("a connection could not be served", {"server", options().name}, {"error", e.what()});
    return;
  }
  // Only now, so that Remove undoes it for certain.
  if (refused) {
    ++refused_open_;
  } else {
    // Between this and the load above another worker may have added one: the limit is no exact
    // science.
    shared_->open.fetch_add(1, std::memory_order_relaxed);
  }
  try {
    refused ? connection->StartRefused() : connection->Start();
  } catch (const std::exception& e) {
    LOG_ERROR("a connection could not be served", {"server", options().name}, {"error", e.what()});
    connection->Close();
  }
}

void HttpWorker::Remove(HttpConnection& connection, bool refused) {
  if (refused) {
    --refused_open_;
  } else {
    shared_->open.fetch_sub(1, std::memory_order_relaxed);
  }
  const size_t index = connection.index;
  std::swap(connections_[index], connections_.back());
  connections_[index]->index = index;
  connections_.pop_back();
}

void HttpWorker::ScheduleSweep() {
  sweep_timer_.expires_after(draining_ ? kDrainSweepInterval : sweep_interval_);
  sweep_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
    if (!error) self->Sweep();
  });
}

void HttpWorker::Sweep() {
  const Time now = NowExact();
  if (accept_paused_ && acceptor_.is_open()) {
    accept_paused_ = false;
    Accept();
  }
  // Backwards: a connection that closes puts the last one, which has been seen, in its place.
  for (size_t i = connections_.size(); i-- > 0;) {
    auto connection = connections_[i];
    try {
      connection->OnSweep(now);
    } catch (const std::exception& e) {
      // The next sweep must come all the same: every timeout and the shutdown hang on it.
      LOG_ERROR("connection failed", {"server", options().name}, {"error", e.what()});
      connection->Close();
    }
  }
  if (draining_) {
    const auto passed = now - drain_began_;
    if (acceptor_.is_open() && passed >= std::min(grace_ / 4, kAcceptAfterShutdown)) DrainBacklog();
    if (passed >= grace_) CutAll();
    if (!acceptor_.is_open() && connections_.empty()) {
      io_.stop();
      return;
    }
  }
  ScheduleSweep();
}

/// Takes every connection whose handshake is complete, then stops listening.
void HttpWorker::DrainBacklog() {
  boost::system::error_code error;
  acceptor_.non_blocking(true, error);
  while (!error) {
    Socket socket(io_.get_executor());
    acceptor_.accept(socket, error);
    if (!error) Admit(std::move(socket));
  }
  acceptor_.close(error);
}

void HttpWorker::BeginShutdown(std::chrono::milliseconds grace) {
  MutexLock lock(loop_mutex_);
  if (loop_over_) return;  // what is posted now would hold the worker for ever
  asio::post(io_, [self = shared_from_this(), grace] {
    // Again: the time that is left can only become shorter.
    const Time now = NowExact();
    if (self->draining_ && self->drain_began_ + self->grace_ <= now + grace) return;
    self->grace_ = self->draining_ ? std::chrono::duration_cast<std::chrono::milliseconds>(
                                         now + grace - self->drain_began_)
                                   : grace;
    if (!self->draining_) self->drain_began_ = now;
    const bool again = std::exchange(self->draining_, true);
    if (grace.count() <= 0) {
      boost::system::error_code ignored;
      self->acceptor_.close(ignored);
      self->CutAll();
      self->io_.stop();
      return;
    }
    if (again) return;
    if (self->handed_over_ != nullptr && self->handed_over_->load()) {
      boost::system::error_code ignored;
      self->acceptor_.close(ignored);  // what waits in its queue is another one's
    } else {
      RefuseNewConnections(self->acceptor_.native_handle());
    }
    self->ScheduleSweep();
  });
}

void HttpWorker::CutAll() {
  cut_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  while (!connections_.empty()) {
    auto connection = connections_.back();
    connection->Close();
  }
  sweep_timer_.cancel();
  peers_.Stop();
}

bool HttpWorker::PostFinish(const std::shared_ptr<HttpConnection>& connection) {
  MutexLock lock(loop_mutex_);
  if (loop_over_) return false;
  asio::post(io_, [connection] { connection->OnDeferredFinished(); });
  return true;
}

void HttpWorker::LogHandlerException(std::string_view target, std::string_view what) {
  const Time now = NowCoarse();
  if (now - last_exception_log_ < std::chrono::seconds(1)) {
    ++exceptions_unlogged_;
    return;
  }
  last_exception_log_ = now;
  LOG_ERROR("a request handler threw", {"server", options().name}, {"target", target},
            {"what", what}, {"not_logged_before", std::exchange(exceptions_unlogged_, 0)});
}

}  // namespace leadsman::net
