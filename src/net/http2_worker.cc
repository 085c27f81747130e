#include "net/http2_worker.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "net/http2_connection.h"
#include "net/listener_store.h"

namespace leadsman::net {
namespace {

using std::chrono::milliseconds;

constexpr size_t kReadBuffer = 128 << 10;
constexpr int kEvents = 64;
constexpr int kAcceptsAtOnce = 64;
constexpr milliseconds kSweepInterval{250};
constexpr milliseconds kDrainSweepInterval{10};
constexpr milliseconds kAcceptAfterShutdown{50};  // for handshakes that were under way

}  // namespace

Http2Worker::Http2Worker(std::shared_ptr<Http2Shared> shared, int listening_socket,
                         std::shared_ptr<const std::atomic<bool>> handed_over)
    : shared_(std::move(shared)),
      listener_(listening_socket),
      handed_over_(std::move(handed_over)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      read_buffer_(kReadBuffer) {
  if (!valid()) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  event.data.ptr = this;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
}

Http2Worker::~Http2Worker() {
  for (int fd : {listener_, epoll_, wake_}) {
    if (fd >= 0) close(fd);
  }
}

void Http2Worker::Run() {
  TurnScope turn(*this);
  next_sweep_ = std::chrono::steady_clock::now() + kSweepInterval;
  while (!over_) {
    try {
      RunOnce();
    } catch (const std::exception& e) {  // e.g. no memory for a new connection; the others go on
      LOG_ERROR("event loop caught an exception", {"server", options().name}, {"error", e.what()});
    }
  }
  CutAll();
  {
    MutexLock lock(mutex_);
    loop_over_ = true;
  }
  do {
    RunPosted();  // what came before: their streams are closed, but the work has to be done
  } while (RunAtEnd());
  buried_.clear();
}

void Http2Worker::RunOnce(milliseconds longest) {
  epoll_event events[kEvents];
  const Time before = std::chrono::steady_clock::now();
  auto wait = dirty_.empty() && at_end_.empty() && !posted_here_
                  ? std::chrono::ceil<milliseconds>(next_sweep_ - before).count()
                  : 0;
  int count = epoll_wait(epoll_, events, kEvents,
                         static_cast<int>(std::clamp<int64_t>(wait, 0, longest.count())));
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr == nullptr) {
      Accept();
    } else if (events[i].data.ptr == this) {
      uint64_t ignored;
      [[maybe_unused]] ssize_t got = read(wake_, &ignored, sizeof(ignored));
      RunPosted();
    } else {
      auto& connection = *static_cast<Http2Connection*>(events[i].data.ptr);
      if (connection.closed()) continue;  // buried by an event before; still in buried_
      const uint32_t what = events[i].events;
      connection.OnEvent((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0, (what & EPOLLOUT) != 0);
    }
  }
  RunAtEnd();
  if (posted_here_) RunPosted();
  FlushDirty();
  const Time now = std::chrono::steady_clock::now();
  if (now >= next_sweep_) {
    Sweep(Now());
    FlushDirty();
    next_sweep_ = now + (draining_ ? kDrainSweepInterval : kSweepInterval);
  }
  std::erase_if(dirty_, [](Http2Connection* connection) { return connection->closed(); });
  buried_.clear();
}

bool Http2Worker::RunAtEnd() {
  if (at_end_.empty()) return false;
  ending_.clear();  // of a turn that ended early
  ending_.swap(at_end_);
  for (const std::function<void()>& task : ending_) task();
  ending_.clear();
  return true;
}

void Http2Worker::FlushDirty() {
  // Those that are marked meanwhile have their turn after the events that are there by then.
  turn_.swap(dirty_);
  for (Http2Connection* connection : turn_) {
    connection->dirty = false;
    if (!connection->closed()) connection->OnTurn();
  }
  turn_.clear();
}

void Http2Worker::Accept() {
  for (int i = 0; i < kAcceptsAtOnce && listener_ >= 0; ++i) {
    int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        // Level-triggered: without this the loop would spin until a descriptor is free.
        if (!std::exchange(accept_paused_, true)) {
          LOG_WARN("cannot accept connections for now", {"server", options().name},
                   {"error", strerror(errno)});
        }
        epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
      }
      return;
    }
    if (shared_->open.load(std::memory_order_relaxed) >= options().max_connections) {
      stats_.refused.Add(1);
      close(fd);
      continue;
    }
    Connect(fd);
  }
}

bool Http2Worker::Connect(int socket) {
  auto connection = std::make_unique<Http2Connection>(*this, socket);
  if (!connection->Start()) return false;  // it closes the socket
  stats_.accepted.Add(1);
  shared_->open.fetch_add(1, std::memory_order_relaxed);
  connection->index = connections_.size();
  // Our settings go out with the first answer: a client of another protocol is to get something it can read.
  connections_.push_back(std::move(connection));
  return true;
}

void Http2Worker::Bury(Http2Connection& connection) {
  shared_->open.fetch_sub(1, std::memory_order_relaxed);
  const size_t index = connection.index;
  buried_.push_back(std::move(connections_[index]));
  if (index + 1 < connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index = index;
  }
  connections_.pop_back();
}

bool Http2Worker::Post(std::shared_ptr<Http2Stream> stream,
                       std::function<void(Http2Stream&)> work) {
  {
    MutexLock lock(mutex_);
    if (loop_over_) return false;
    posted_.push_back({std::move(stream), std::move(work)});
    if (posted_.size() > 1) return true;  // the loop has been woken for the one before
  }
  if (Turn::OfThisThread() == this) {  // it is awake, and looks before it sleeps
    posted_here_ = true;
    return true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
  return true;
}

void Http2Worker::RunPosted() {
  posted_here_ = false;
  std::vector<Posted> posted;
  bool shutdown;
  milliseconds grace;
  {
    MutexLock lock(mutex_);
    posted.swap(posted_);
    shutdown = std::exchange(shutdown_asked_, false);
    grace = asked_grace_;
  }
  for (Posted& item : posted) {
    try {
      item.work(*item.stream);
    } catch (const std::exception& e) {
      LOG_ERROR("a posted answer failed", {"server", options().name}, {"error", e.what()});
      item.stream->Reset(2);  // INTERNAL_ERROR
    }
  }
  if (!shutdown || over_) return;
  const Time now = Now();
  next_sweep_ = std::chrono::steady_clock::now();
  if (draining_) {  // asked again: only the time that is left can become less
    grace_ = std::min(grace_, std::chrono::ceil<milliseconds>(now - drain_began_) + grace);
    return;
  }
  draining_ = true;
  drain_began_ = now;
  grace_ = grace;
  if (grace.count() <= 0) {
    over_ = true;
    return;
  }
  if (handed_over_ != nullptr && handed_over_->load()) {
    StopListening();  // what waits in its queue is another one's
  } else {
    RefuseNewConnections(listener_);
  }
}

void Http2Worker::StopListening() {
  // The socket may live on elsewhere: closed alone it would still be told of.
  epoll_event unused{};
  epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, &unused);
  close(listener_);
  listener_ = -1;
  // Only now: who is told to go elsewhere often tries the same address first, and is to find it shut at once.
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->BeginDrain();
}

void Http2Worker::BeginShutdown(milliseconds grace) {
  {
    MutexLock lock(mutex_);
    shutdown_asked_ = true;
    asked_grace_ = grace;
  }
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
}

void Http2Worker::Sweep(Time now) {
  if (accept_paused_ && listener_ >= 0) {
    accept_paused_ = false;
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  }
  // Backwards: a connection that closes puts the last one, which has been seen, in its place.
  for (size_t i = connections_.size(); i-- > 0;) {
    if (i < connections_.size()) connections_[i]->OnSweep(now);
  }
  if (!draining_) return;
  const auto passed = now - drain_began_;
  if (listener_ >= 0 && passed >= std::min(grace_ / 4, kAcceptAfterShutdown)) {
    Accept();  // every connection whose handshake is complete
    StopListening();
  }
  if (passed >= grace_ || (listener_ < 0 && connections_.empty())) over_ = true;
}

void Http2Worker::CutAll() {
  if (listener_ >= 0) close(listener_);
  listener_ = -1;
  while (!connections_.empty()) connections_.back()->Close();
  dirty_.clear();
}

// The server
// ------------------------------------------------------------------------------------------------------------------

namespace {

class Server final : public Http2Server {
 public:
  Server(std::shared_ptr<Http2Shared> shared, std::vector<std::shared_ptr<Http2Worker>> workers,
         uint16_t port)
      : shared_(std::move(shared)),
        workers_(std::move(workers)),
        port_(port),
        running_(workers_.size()) {
    for (size_t i = 0; i < workers_.size(); ++i) {
      threads_.emplace_back([this, worker = workers_[i]] {
        worker->Run();
        MutexLock lock(mutex_);
        if (--running_ == 0) all_ended_.NotifyAll();
      });
      std::string name = StrCat(shared_->options.name.substr(0, 10), "-", i);
      pthread_setname_np(threads_.back().native_handle(), name.c_str());
    }
  }
  ~Server() override {
    Shutdown(milliseconds(0));
    if (!shared_->options.socket_path.empty()) unlink(shared_->options.socket_path.c_str());
  }

  uint16_t port() const override { return port_; }
  std::string_view drain_name() const override { return shared_->options.name; }

  HttpServerStats stats() const override {
    HttpServerStats sum;
    for (const auto& worker : workers_) {
      const Http2Worker::Stats& s = worker->stats();
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

  void BeginDrain(milliseconds grace) override {
    for (const auto& worker : workers_) worker->BeginShutdown(grace);
  }
  bool AwaitDrained(milliseconds wait) override {
    const auto until = std::chrono::steady_clock::now() + wait;
    MutexLock lock(mutex_);
    while (running_ > 0) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      all_ended_.WaitFor(mutex_, left);
    }
    return true;
  }
  void Shutdown(milliseconds grace) override {
    BeginDrain(grace);
    MutexLock lock(join_mutex_);  // a second caller returns when the first has done the work
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  std::shared_ptr<Http2Shared> shared_;
  std::vector<std::shared_ptr<Http2Worker>> workers_;
  const uint16_t port_;
  Mutex mutex_;
  CondVar all_ended_;
  size_t running_ GUARDED_BY(mutex_);
  Mutex join_mutex_;
  std::vector<std::thread> threads_;  ///< touched by the constructor, and under join_mutex_
};

}  // namespace

Result<std::unique_ptr<Http2Server>> Http2Server::Start(Http2ServerOptions options,
                                                        Http2Handler& handler) {
  options.io_threads = std::max(1, options.io_threads);
  if (options.clock == nullptr) options.clock = &SystemClock();
  ASSIGN_OR_RETURN(
      ListenerGroup listeners,
      options.socket_path.empty()
          ? ListenBy(options.listeners, options.address, options.port, options.io_threads)
          : ListenUnix(options.socket_path, options.io_threads));
  auto shared = std::make_shared<Http2Shared>();
  shared->options = std::move(options);
  shared->handler = &handler;
  std::vector<std::shared_ptr<Http2Worker>> workers;
  bool valid = true;
  for (int socket : listeners.sockets) {
    workers.push_back(std::make_shared<Http2Worker>(shared, socket, listeners.handed_over));
    valid = valid && workers.back()->valid();
  }
  if (!valid) {
    return UnavailableError(
        StrCat("the ", shared->options.name,
               " server gets no file descriptors for its threads; raise the limit on open files"));
  }
  return std::unique_ptr<Http2Server>(
      std::make_unique<Server>(std::move(shared), std::move(workers), listeners.port));
}

}  // namespace leadsman::net
