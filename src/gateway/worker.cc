#include "gateway/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "base/cpu.h"
#include "base/log.h"
#include "base/strings.h"
#include "gateway/downstream.h"
#include "gateway/upstream_connection.h"
#include "net/listener.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestSweep{250};
constexpr milliseconds kShortestSweep{5};
constexpr milliseconds kDrainSweep{10};
constexpr milliseconds kAcceptAfterShutdown{50};  // for handshakes that were under way
constexpr int kAcceptsAtOnce = 64;
constexpr size_t kMaxRefusedOpen = 256;

milliseconds SweepInterval(const Options& options) {
  milliseconds shortest = std::min(options.limits.head_timeout, options.limits.idle_timeout);
  for (const ServiceOptions& service : options.services) {
    const TimeoutOptions& t = service.timeouts;
    shortest = std::min({shortest, t.connect, t.per_try, t.idle, t.tunnel});
    if (t.total.count() > 0) shortest = std::min(shortest, t.total);
    shortest = std::min(shortest, service.mirror.value_or(MirrorOptions{}).timeout);
  }
  return std::clamp(shortest / 4, kShortestSweep, kLongestSweep);
}

std::string AddressText(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
  } else if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  }
  std::string_view shown = text;
  if (shown.starts_with("::ffff:") && shown.find('.') != std::string_view::npos)
    shown.remove_prefix(7);
  return std::string(shown);
}

}  // namespace

Shared::Shared(Options options, Clock& gateway_clock, Sink& event_sink, ExchangeSink* exchange_sink)
    : clock(gateway_clock),
      sink(event_sink),
      exchanges(exchange_sink),
      threads(static_cast<size_t>(options.io_threads > 0 ? options.io_threads : AvailableCores())) {
  SetTable(MakeTable(std::move(options)));
}

std::shared_ptr<Table> Shared::MakeTable(Options options) const {
  return std::make_shared<Table>(std::move(options), table().get(), threads, sink,
                                 exchanges != nullptr);
}

class Worker::Listener final : public net::EventLoop::Watcher {
 public:
  Listener(Worker& worker, Listening listening)
      : worker_(worker), socket_(listening.socket), listening_(std::move(listening)) {}
  ~Listener() { Close(); }
  void OnEvents(uint32_t) override { worker_.Accept(*this); }
  int socket() const { return socket_; }
  const Listening& listening() const { return listening_; }
  /// Those that connect from now on are spoken to so.
  void Change(const Listening& listening) {
    auto handed_over = std::move(listening_.handed_over);
    listening_ = listening;
    listening_.handed_over = std::move(handed_over);
  }
  bool handed_over() const {
    return listening_.handed_over != nullptr && listening_.handed_over->load();
  }
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

 private:
  Worker& worker_;
  int socket_;
  Listening listening_;
};

Worker::Worker(Shared& shared, std::vector<Listening> sockets)
    : shared_(shared),
      number_(shared.workers.size()),
      rng_(RandomSeed()),
      shadows_(*this),
      upstreams_h2_(*this) {
  TakeTable();
  for (Listening& one : sockets)
    listening_.push_back(std::make_unique<Listener>(*this, std::move(one)));
}

Worker::~Worker() = default;

// What is in force
// ---------------------------------------------------------------------------------------------------------------

void Worker::TakeTable() {
  // A control block of our own: no thread that takes or drops a request's reference touches another one's.
  const std::shared_ptr<const Table> table = shared_.table();
  std::shared_ptr<const Table> taken(table.get(), [table](const Table*) {});
  const size_t places = std::max(idle_.size(), table->places.size());
  idle_.resize(places);
  shadows_.MakeRoom(places);
  upstreams_h2_.MakeRoom(places);
  table_ = std::move(taken);  // last: without the room for it, it is not in force
}

void Worker::Adopt(std::vector<Listening> listeners, std::function<void()> done) {
  const auto over = std::make_shared<std::function<void()>>(std::move(done));
  const bool posted =
      loop_.Post([self = shared_from_this(), listeners = std::move(listeners), over]() mutable {
        try {
          self->AdoptNow(std::move(listeners));
        } catch (const std::exception& e) {
          LOG_ERROR("a thread of the gateway goes on with the configuration before",
                    {"error", e.what()});
        }
        (*over)();
      });
  if (!posted) (*over)();
}

void Worker::AdoptNow(std::vector<Listening> listeners) {
  TakeTable();
  for (const auto& listener : listening_) {
    const size_t of = listener->listening().listener;
    if (of < listeners.size()) listener->Change(listeners[of]);
  }
  for (auto& kept : idle_) {
    std::erase_if(kept, [](const auto& connection) {
      if (connection->Renew()) return false;
      connection->Close();
      return true;
    });
  }
  shadows_.Adopt();
  upstreams_h2_.Adopt();
  waiting_.Serve(nullptr);  // limits may be others
}

void Worker::Run() {
  for (const auto& listener : listening_) loop_.Watch(listener->socket(), *listener);
  ScheduleSweep();
  loop_.Run();
  CutAll();
}

void Worker::Accept(Listener& listener) {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    if (listener.socket() < 0) return;
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    const int fd = accept4(listener.socket(), reinterpret_cast<sockaddr*>(&peer), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Admit(fd, AddressText(peer), listener.listening());
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // What waits is told of no more: the sweep comes back to it.
      if (!std::exchange(accept_paused_, true))
        LOG_WARN("cannot accept connections for now", {"server", "gateway"},
                 {"error", strerror(errno)});
    }
    return;
  }
  // There may be more, of which nothing will be told.
  loop_.Post([self = shared_from_this(), raw = &listener] {
    for (const auto& one : self->listening_) {
      if (one.get() == raw) return self->Accept(*one);
    }
  });
}

void Worker::Admit(int socket, std::string client, const Listening& listening) {
  const bool refused =
      shared_.open.load(std::memory_order_relaxed) >= options().limits.max_connections;
  (refused ? counters_.refused : counters_.accepted).Add();
  if (refused && refused_open_ >= kMaxRefusedOpen) {
    close(socket);  // not even words for this one
    return;
  }
  auto connection =
      std::make_shared<Downstream>(*this, socket, std::move(client), listening, refused);
  connection->index = clients_.size();
  clients_.push_back(connection);
  // Between this and the load above another thread may have added one: the limit is no exact science.
  refused ? void(++refused_open_) : void(shared_.open.fetch_add(1, std::memory_order_relaxed));
  if (!connection->Begin(listening) || !loop_.Watch(socket, *connection))
    return connection->Close();
  if (refused) connection->Refuse();
}

void Worker::Remove(Downstream& client) {
  client.refused() ? void(--refused_open_)
                   : void(shared_.open.fetch_sub(1, std::memory_order_relaxed));
  const size_t index = client.index;
  loop_.Bury(clients_[index]);
  std::swap(clients_[index], clients_.back());
  clients_[index]->index = index;
  clients_.pop_back();
}

// Connections to upstreams
// -----------------------------------------------------------------------------------------------

std::shared_ptr<UpstreamConnection> Worker::TakeIdle(const Version& version, Endpoint& endpoint) {
  auto& kept = idle_[endpoint.id];
  while (!kept.empty()) {
    // Asked for by a request that began when the endpoint was spoken to otherwise.
    if (!kept.back()->version().SpokenToAs(version)) return nullptr;
    // The one that was used last: the others may grow old and go.
    const auto connection = std::move(kept.back());
    kept.pop_back();
    if (connection->IsCurrent() && connection->IsQuiet()) return connection;
    connection->Close();
  }
  return nullptr;
}

void Worker::Keep(std::shared_ptr<UpstreamConnection> connection) {
  if (!connection->Renew()) return connection->Close();
  const Version& version = connection->version();
  const TimeoutOptions& timeouts = version.service->options.timeouts;
  const bool others_wait =
      version.pending.load(std::memory_order_relaxed) > 0 && !waiting_.AnyOf(version.state.get());
  // Kept here it would be of no use to requests that wait on another thread.
  if (timeouts.keep_alive.count() == 0 || others_wait || draining_) return connection->Close();
  connection->BecomeIdle();
  idle_[connection->endpoint().id].push_back(std::move(connection));
  Freed(version);
}

void Worker::DropIdle(UpstreamConnection& connection) {
  auto& kept = idle_[connection.endpoint().id];
  const auto at = std::find_if(kept.begin(), kept.end(),
                               [&](const auto& one) { return one.get() == &connection; });
  if (at == kept.end()) return;
  const auto gone = std::move(*at);
  kept.erase(at);
  gone->Close();
}

void Worker::Freed(const Version& version) {
  if (version.pending.load(std::memory_order_relaxed) == 0) return;
  const VersionState* const of = version.state.get();  // to be compared with alone
  if (waiting_.AnyOf(of)) {
    // Not from here: whoever has freed it is in the middle of something.
    loop_.Post([self = shared_from_this(), of] { self->waiting_.Serve(of); });
    return;
  }
  for (const auto& worker : shared_.workers) {
    if (worker.get() != this) worker->WakePending(of);
  }
}

void Worker::WakePending(const VersionState* version) {
  loop_.Post([self = shared_from_this(), version] {
    self->waiting_.Serve(version);
    self->upstreams_h2_.ServePending(version);
  });
}

Worker::Place Worker::Wait(const VersionRef& version, Downstream& client) {
  const Place place = waiting_.Add(*version, client);
  // All of the endpoints' connections may lie idle with other threads.
  for (const auto& worker : shared_.workers) {
    if (worker.get() != this) worker->GiveBack(version);
  }
  return place;
}

void Worker::GiveBack(VersionRef version) {
  loop_.Post([self = shared_from_this(), version = std::move(version)] {
    for (const auto& endpoint : version->endpoints) {
      if (endpoint->id >= self->idle_.size()) continue;  // not known here yet
      auto& kept = self->idle_[endpoint->id];
      if (!kept.empty()) return self->DropIdle(*kept.front());
    }
  });
}

// Time
// -------------------------------------------------------------------------------------------------------------------

void Worker::ScheduleSweep() {
  const milliseconds interval = draining_ ? kDrainSweep : SweepInterval(options());
  // The next one first: whatever happens in this one, time goes on.
  loop_.At(loop_.now() + interval, [this] {
    ScheduleSweep();
    Sweep();
  });
}

void Worker::Sweep() {
  const SteadyTime now = loop_.now();
  if (std::exchange(accept_paused_, false)) {
    for (const auto& listener : listening_) Accept(*listener);
  }
  // Backwards: a client that closes puts the last one, which has been seen, in its place.
  for (size_t i = clients_.size(); i-- > 0;) {
    if (i >= clients_.size()) continue;
    const auto client = clients_[i];
    client->OnSweep(now);
  }
  for (size_t id = 0; id < idle_.size(); ++id) {
    auto& kept = idle_[id];
    // Oldest first.
    size_t old = 0;
    while (old < kept.size() &&
           (draining_ || now - kept[old]->idle_since() >=
                             kept[old]->version().service->options.timeouts.keep_alive))
      ++old;
    for (size_t i = 0; i < old; ++i) kept[i]->Close();
    kept.erase(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(old));
  }
  // What has become free without a word: an endpoint that is well again, a place that another thread gave back just then.
  waiting_.Serve(nullptr);
  draining_ ? shadows_.Drain() : shadows_.Sweep(now);
  upstreams_h2_.Sweep(now);
  if (draining_) {
    const auto passed = now - drain_began_;
    if (!listening_.empty() && passed >= std::min(grace_ / 4, kAcceptAfterShutdown))
      StopListening();
    if (passed >= grace_) CutAll();
    if (listening_.empty() && clients_.empty()) {
      loop_.Stop();
    }
  }
}

/// Stops to accept where another process does; what waits in the queue of a socket is its.
void Worker::LeaveHandedOver() {
  std::erase_if(listening_, [this](std::unique_ptr<Listener>& listener) {
    if (!listener->handed_over()) return false;
    loop_.Unwatch(listener->socket());
    listener->Close();
    loop_.Bury(std::shared_ptr<Listener>(std::move(listener)));
    handed_over_ = true;
    return true;
  });
}

/// Takes every connection whose handshake is complete, then stops listening.
void Worker::StopListening() {
  for (const auto& listener : listening_) {
    Accept(*listener);
    loop_.Unwatch(listener->socket());
    listener->Close();
  }
  for (auto& listener : listening_) loop_.Bury(std::shared_ptr<Listener>(std::move(listener)));
  listening_.clear();
}

void Worker::BeginDrain(milliseconds grace) {
  loop_.Post([self = shared_from_this(), grace] {
    const SteadyTime now = self->loop_.now();
    if (self->draining_) {
      // Again: the time that is left can only become shorter.
      const auto passed = std::chrono::ceil<milliseconds>(now - self->drain_began_);
      self->grace_ = std::min(self->grace_, passed + grace);
      return;
    }
    self->draining_ = true;
    self->drain_began_ = now;
    self->grace_ = grace;
    self->LeaveHandedOver();
    for (const auto& listener : self->listening_) net::RefuseNewConnections(listener->socket());
    // Sooner than the sweep that is due.
    self->loop_.At(now, [raw = self.get()] {
      raw->ScheduleSweep();
      raw->Sweep();
    });
  });
}

void Worker::CutAll() {
  listening_.clear();
  while (!clients_.empty()) {
    const auto client = clients_.back();
    client->Close();
  }
  for (auto& kept : idle_) {
    for (const auto& connection : kept) connection->Close();
    kept.clear();
  }
  shadows_.Drain();
  upstreams_h2_.CloseAll();
}

}  // namespace leadsman::gateway
