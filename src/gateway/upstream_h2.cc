#include "gateway/upstream_h2.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "base/turn.h"
#include "gateway/upstream_connection.h"
#include "gateway/upstream_tls.h"
#include "gateway/worker.h"

namespace leadsman::gateway {
namespace {

using Got = net::StreamSocket::Got;

constexpr size_t kHighWater = 128 << 10;  // of frames that the socket has not taken
constexpr size_t kPiece = 64 << 10;
constexpr int kReadsPerTurn = 8;
constexpr size_t kMaxStreams = 100;  // of one connection; then there is another one
/// So long it may owe an answer, and say nothing at all, before a request that is given up makes it suspect.
constexpr std::chrono::seconds kSilence{1};

}  // namespace

UpstreamH2::UpstreamH2(UpstreamsH2& owner, VersionRef version, Endpoint& endpoint)
    : owner_(owner),
      worker_(owner.worker()),
      version_(std::move(version)),
      endpoint_(endpoint),
      idle_since_(worker_.now()),
      sent_at_(worker_.now()) {}

UpstreamH2::~UpstreamH2() { CloseSocket(); }

bool UpstreamH2::has_room() const {
  if (retired_ || phase_ == Phase::kClosed) return false;
  if (connecting()) return waiters_.size() < kMaxStreams;
  return session_->room() > 0;
}

uint64_t UpstreamH2::bytes_in() const { return socket_ ? socket_->bytes_in() : 0; }

void UpstreamH2::Wait(Waiter& waiter) {
  waiters_.push_back(&waiter);
  if (!std::exchange(started_, true)) Start();
}

void UpstreamH2::StopWaiting(const Waiter& waiter) {
  const auto at = std::find(waiters_.begin(), waiters_.end(), &waiter);
  if (at != waiters_.end()) waiters_.erase(at);
}

// Connecting
// ---------------------------------------------------------------------------------------------------------------

void UpstreamH2::Start() {
  const size_t count = endpoint_.addresses.Get()->size();
  if (count == 0)
    return NotConnected(Reason::kConnectFailed, "has no address: its name was not found", true);
  addresses_left_ = count;
  turn_ = endpoint_.next_address.fetch_add(1, std::memory_order_relaxed);
  counted_ = owner_.counted();
  if (counted_) endpoint_.connections.fetch_add(1, std::memory_order_relaxed);
  ConnectNext();
}

void UpstreamH2::ConnectNext() {
  for (int error = 0;;) {
    const auto addresses = endpoint_.addresses.Get();
    if (addresses_left_ == 0 || addresses->empty()) return ConnectFailed(error);
    --addresses_left_;
    address_ = (*addresses)[turn_++ % addresses->size()];
    const int fd = BeginConnect(address_, &error);
    if (fd < 0) {
      if (IsOurFault(error)) return ConnectFailed(error);
      continue;
    }
    socket_ = std::make_unique<net::StreamSocket>(fd, worker_.pool());
    if (!worker_.loop().Watch(fd, *this)) {
      CloseSocket();
      return ConnectFailed(ENOMEM);
    }
    if (counted_) worker_.CountersOf(*version_).connections.Add();
    return;
  }
}

void UpstreamH2::ConnectFailed(int error) {
  if (error == ECONNREFUSED) {
    NotConnected(Reason::kConnectRefused, "refused the connection", true);
  } else if (error == ETIMEDOUT) {
    NotConnected(Reason::kConnectTimeout, "did not take the connection in time", true);
  } else {
    NotConnected(Reason::kConnectFailed,
                 StrCat("cannot be connected to: ", strerror(error != 0 ? error : EADDRNOTAVAIL)),
                 !IsOurFault(error));
  }
}

void UpstreamH2::NotConnected(Reason reason, const std::string& why, bool endpoint_at_fault) {
  const auto self = shared_from_this();
  why_ = why;
  Close();
  while (!waiters_.empty()) {
    Waiter* const waiter = waiters_.front();
    waiters_.pop_front();
    waiter->OnNotConnected(reason, why, endpoint_at_fault);
  }
}

void UpstreamH2::OnEvents(uint32_t events) {
  if (phase_ == Phase::kClosed || !socket_) return;
  const auto self = shared_from_this();
  socket_->OnEvents(events);
  if (phase_ == Phase::kOpen) {
    Read();
    if (phase_ == Phase::kOpen) OnOutput();
    return;
  }
  if (socket_->encrypted()) return ShakeHands();
  if (socket_->broken()) {
    const int error = socket_->error() != 0 ? socket_->error() : ECONNRESET;
    CloseSocket();
    return addresses_left_ > 0 ? ConnectNext() : ConnectFailed(error);
  }
  if (!(events & net::EventLoop::kWritable)) return;
  if (!version_->tls) return Connected();
  if (!BeginUpstreamTls(*socket_, *version_, endpoint_)) return ConnectFailed(ENOMEM);
  ShakeHands();
}

void UpstreamH2::ShakeHands() {
  const auto shake = socket_->Handshake();
  if (shake == net::StreamSocket::Shake::kPending && !socket_->broken()) return;
  if (shake == net::StreamSocket::Shake::kDone) {
    if (socket_->tls_protocol() == "h2") return Connected();
    return NotConnected(Reason::kTlsFailed,
                        "does not speak HTTP/2 over TLS (ALPN); set protocol: http1", true);
  }
  const std::string why = WhyTlsFailed(*socket_, *version_, endpoint_);
  if (addresses_left_ == 0) return NotConnected(Reason::kTlsFailed, why, true);
  CloseSocket();
  ConnectNext();
}

void UpstreamH2::Connected() {
  session_ = H2Session::Client(
      *this, {.max_streams = kMaxStreams, .max_header = worker_.options().limits.max_header});
  if (!session_) return ConnectFailed(ENOMEM);
  phase_ = Phase::kOpen;
  sent_at_ = worker_.now();
  OnOutput();
  Read();
}

/// How many streams the server takes is known now, and not before: who opens more has them refused.
void UpstreamH2::Greeted() {
  if (session_->room() == 0)
    return NotConnected(Reason::kConnectFailed, "takes no requests over its HTTP/2 connections",
                        true);
  greeted_ = true;
  idle_since_ = worker_.now();
  std::list<Waiter*> waiters;
  waiters.swap(waiters_);
  for (Waiter* waiter : waiters) waiter->OnConnected();
}

// Streams
// ---------------------------------------------------------------------------------------------------------------

H2Stream* UpstreamH2::Open(H2Stream::User& user, H2Fields fields, bool end) {
  if (phase_ != Phase::kOpen || retired_) return nullptr;
  H2Stream* const stream = session_->Open(user, fields, end);
  if (stream != nullptr && silent_since_ == SteadyTime{}) silent_since_ = worker_.now();
  return stream;
}

void UpstreamH2::Retire() { retired_ = true; }

void UpstreamH2::Renew() {
  const Version* const now = worker_.table().VersionOf(endpoint_);
  if (now == version_.get()) return;
  if (now == nullptr || !now->SpokenToAs(*version_)) return Retire();
  version_ = worker_.Hold(*now);
}

void UpstreamH2::GivenUp(SteadyTime now) {
  if (silent_since_ != SteadyTime{} && now - silent_since_ >= kSilence) Retire();
}

void UpstreamH2::Read() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const Got got = socket_->Fill();
    if (got == Got::kNothing) return;
    if (got != Got::kBytes) {
      const std::string& tls = socket_->tls_error();
      return Broken(!tls.empty() ? StrCat("ended TLS: ", tls)
                    : socket_->error() != 0
                        ? StrCat("ended the connection: ", strerror(socket_->error()))
                        : std::string("ended the connection"));
    }
    const bool good = session_->Feed(socket_->input());
    socket_->Take(socket_->input().size());
    if (phase_ != Phase::kOpen) return;
    silent_since_ = session_->streams() > 0 ? worker_.now() : SteadyTime{};
    if (!good) {
      Flush();
      return Broken("sent what is not HTTP/2");
    }
    if (!greeted_ && session_->greeted()) {
      Greeted();
      if (phase_ != Phase::kOpen) return;
    }
  }
  worker_.loop().Post([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self && self->phase_ == Phase::kOpen) self->Read();
  });
}

void UpstreamH2::OnOutput() {
  if (phase_ != Phase::kOpen || dirty_) return;
  Turn* const turn = Turn::OfThisThread();
  if (turn == nullptr) return;
  try {
    turn->AtEnd([self = shared_from_this()] {
      self->dirty_ = false;
      try {
        self->Flush();
      } catch (const std::exception& e) {
        LOG_ERROR("a connection failed", {"server", "gateway"}, {"error", e.what()});
        self->Broken("has failed");
      }
    });
    dirty_ = true;
  } catch (const std::exception&) {
    // No memory; nghttp2 may be above. The next event comes back to it.
  }
}

void UpstreamH2::Flush() {
  if (phase_ != Phase::kOpen) return;
  std::string& out = worker_.scratch();
  while (socket_->Flush() && socket_->unsent() < kHighWater) {
    out.clear();
    session_->Take(out, kPiece);
    if (out.empty()) break;
    (void)socket_->Send(out);  // that it is broken is seen where it is read
  }
  if (socket_->unsent() == 0 || socket_->bytes_out() != sent_) sent_at_ = worker_.now();
  sent_ = socket_->bytes_out();
  if (session_->over() || (session_->closing() && session_->streams() == 0))
    Broken("ended the connection");
}

void UpstreamH2::Broken(std::string why) {
  if (phase_ == Phase::kClosed) return;
  // Those who wait for its SETTINGS have no stream that would tell them.
  if (!greeted_) return NotConnected(Reason::kClosed, why, true);
  why_ = std::move(why);
  Close();
}

void UpstreamH2::OnSweep(SteadyTime now) {
  const TimeoutOptions& timeouts = version_->service->options.timeouts;
  if (connecting()) {
    if (now - idle_since_ >= timeouts.connect)
      NotConnected(Reason::kConnectTimeout,
                   StrCat(phase_ == Phase::kConnecting ? "did not take the connection within "
                                                       : "did not begin HTTP/2 (SETTINGS) within ",
                          timeouts.connect.count(), " ms (timeouts.connect)"),
                   true);
    return;
  }
  if (phase_ != Phase::kOpen) return;
  if (!endpoint_.Has(address_)) Retire();
  if (session_->streams() > 0) {
    idle_since_ = now;
    if (socket_->unsent() > 0 && now - sent_at_ >= timeouts.idle)
      Broken(StrCat("took nothing for ", timeouts.idle.count(), " ms (timeouts.idle)"));
    return;
  }
  if (!retired_ && !worker_.draining() && now - idle_since_ < timeouts.keep_alive) return;
  session_->SayGoAway(false);
  Flush();
  Close();
}

void UpstreamH2::CloseSocket() {
  if (!socket_) return;
  if (socket_->open()) worker_.loop().Unwatch(socket_->descriptor());
  socket_.reset();
}

/// Whoever has a stream here hears of it when the session goes: it is buried, for it may be in the middle of something.
void UpstreamH2::Close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  if (std::exchange(counted_, false)) endpoint_.connections.fetch_sub(1, std::memory_order_relaxed);
  CloseSocket();
  owner_.Remove(*this);
  worker_.loop().Bury(self);
  if (session_) session_->CloseStreams();
}

// All of them
// ---------------------------------------------------------------------------------------------------------------

UpstreamsH2::UpstreamsH2(Worker& worker, Use use) : worker_(worker), use_(use) {}

UpstreamsH2::~UpstreamsH2() { CloseAll(); }

void UpstreamsH2::MakeRoom(size_t endpoints) { connections_.resize(endpoints); }

void UpstreamsH2::Adopt() {
  for (const auto& of_endpoint : connections_) {
    for (const auto& connection : of_endpoint) connection->Renew();
  }
  ServePending(nullptr);  // limits may be others
}

std::shared_ptr<UpstreamH2> UpstreamsH2::Get(const VersionRef& version, Endpoint& endpoint) {
  auto& of_endpoint = connections_[endpoint.id];
  for (const auto& connection : of_endpoint) {
    // A request that began when the endpoint was spoken to otherwise has connections of its own.
    if (connection->has_room() && connection->version().SpokenToAs(*version)) return connection;
  }
  auto made = std::make_shared<UpstreamH2>(*this, version, endpoint);
  of_endpoint.push_back(made);
  return made;
}

void UpstreamsH2::Remove(UpstreamH2& connection) {
  auto& of_endpoint = connections_[connection.endpoint().id];
  std::erase_if(of_endpoint, [&](const auto& one) { return one.get() == &connection; });
}

void UpstreamsH2::Freed(const Version& version) {
  if (version.pending.load(std::memory_order_relaxed) == 0) return;
  // Not from here: whoever has freed it is in the middle of something.
  const VersionState* const of = version.state.get();  // to be compared with alone
  if (waiting_.AnyOf(of)) return worker_.WakePending(of);
  for (const auto& worker : worker_.shared().workers) {
    if (worker.get() != &worker_) worker->WakePending(of);
  }
}

void UpstreamsH2::Sweep(SteadyTime now) {
  // A place that another thread gave back just then.
  ServePending(nullptr);
  for (size_t id = 0; id < connections_.size(); ++id) {
    const auto of_endpoint = connections_[id];  // it may change under our hands
    for (const auto& connection : of_endpoint) connection->OnSweep(now);
  }
}

void UpstreamsH2::CloseAll() {
  for (size_t id = 0; id < connections_.size(); ++id) {
    const auto of_endpoint = connections_[id];
    for (const auto& connection : of_endpoint) connection->Close();
  }
}

}  // namespace leadsman::gateway
