#include "gateway/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

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
    if (!service.http2())
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

Shared::Shared(Options gateway_options, Clock& gateway_clock, Sink& event_sink,
               ExchangeSink* exchange_sink)
    : options(std::move(gateway_options)),
      routes(options),
      clock(gateway_clock),
      sink(event_sink),
      exchanges(exchange_sink) {
  size_t next_version = 0;
  size_t next_endpoint = 0;
  for (const ServiceOptions& service : options.services)
    services.push_back(std::make_unique<Service>(service, next_version, next_endpoint));
  for (const auto& service : services) {
    segments.push_back(exchanges != nullptr ? sink.SegmentsOf(service->options.name)
                                            : std::span<const SegmentRule>());
    for (const auto& version : service->versions) {
      versions.push_back(version.get());
      for (const auto& endpoint : version->endpoints) endpoints.push_back(endpoint.get());
    }
    for (const auto& mirror : service->mirrors) {
      mirror->id = mirrors.size();
      mirrors.push_back(mirror.get());
    }
  }
}

class Worker::Listener final : public net::EventLoop::Watcher {
 public:
  Listener(Worker& worker, Listening listening)
      : worker_(worker), socket_(listening.socket), listening_(std::move(listening)) {}
  ~Listener() { Close(); }
  void OnEvents(uint32_t) override { worker_.Accept(*this); }
  int socket() const { return socket_; }
  const Listening& listening() const { return listening_; }
  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

 private:
  Worker& worker_;
  int socket_;
  const Listening listening_;
};

Worker::Worker(Shared& shared, std::vector<Listening> sockets)
    : shared_(shared),
      rng_(RandomSeed()),
      counters_(shared.versions.size(), shared.mirrors.size()),
      idle_(shared.endpoints.size()),
      waiting_(shared.versions.size()),
      shadows_(*this),
      upstreams_h2_(*this) {
  for (Listening& one : sockets)
    listening_.push_back(std::make_unique<Listener>(*this, std::move(one)));
}

Worker::~Worker() = default;

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
      shared_.open.load(std::memory_order_relaxed) >= shared_.options.limits.max_connections;
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

std::shared_ptr<UpstreamConnection> Worker::TakeIdle(Endpoint& endpoint) {
  auto& kept = idle_[endpoint.id];
  while (!kept.empty()) {
    // The one that was used last: the others may grow old and go.
    const auto connection = std::move(kept.back());
    kept.pop_back();
    if (connection->IsCurrent() && connection->IsQuiet()) return connection;
    connection->Close();
  }
  return nullptr;
}

void Worker::Keep(std::shared_ptr<UpstreamConnection> connection) {
  const Version& version = connection->version();
  const TimeoutOptions& timeouts = version.service->options.timeouts;
  const bool others_wait =
      version.pending.load(std::memory_order_relaxed) > 0 && !SomebodyWaits(version);
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
  if (!waiting_[version.id].empty()) {
    // Not from here: whoever has freed it is in the middle of something.
    loop_.Post([self = shared_from_this(), id = version.id] { self->ServePending(id); });
    return;
  }
  for (const auto& worker : shared_.workers) {
    if (worker.get() != this) worker->WakePending(version.id);
  }
}

void Worker::WakePending(size_t version_id) {
  loop_.Post([self = shared_from_this(), version_id] {
    self->ServePending(version_id);
    self->upstreams_h2_.ServePending(version_id);
  });
}

Worker::Waiting::iterator Worker::Wait(const Version& version, Downstream& client) {
  Waiting& queue = waiting_[version.id];
  const auto place = queue.insert(queue.end(), &client);
  // All of the endpoints' connections may lie idle with other threads.
  for (const auto& worker : shared_.workers) {
    if (worker.get() != this) worker->GiveBack(version);
  }
  return place;
}

void Worker::GiveBack(const Version& version) {
  loop_.Post([self = shared_from_this(), &version] {
    for (const auto& endpoint : version.endpoints) {
      auto& kept = self->idle_[endpoint->id];
      if (!kept.empty()) return self->DropIdle(*kept.front());
    }
  });
}

void Worker::ServePending(size_t version_id) {
  const Waiting& queue = waiting_[version_id];
  while (!queue.empty() && queue.front()->OnPending()) {
  }
}

// Time
// -------------------------------------------------------------------------------------------------------------------

void Worker::ScheduleSweep() {
  const milliseconds interval = draining_ ? kDrainSweep : SweepInterval(shared_.options);
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
  for (size_t id = 0; id < waiting_.size(); ++id) ServePending(id);
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
