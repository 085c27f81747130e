#include "gateway/shadows.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/turn.h"
#include "events/http_outcome.h"
#include "gateway/answer_body.h"
#include "gateway/split.h"
#include "gateway/upstream_connection.h"
#include "gateway/upstream_tls.h"
#include "gateway/worker.h"
#include "net/answer_head.h"
#include "net/chunk_decoder.h"
#include "net/stream_socket.h"

namespace leadsman::gateway {
namespace {

using Got = net::StreamSocket::Got;

constexpr int kReadsPerTurn = 4;  // of one answer: clients come first
/// Of a request's body that a socket holds besides.
constexpr size_t kPiece = 64 << 10;

uint64_t Nanos(SteadyTime::duration time) {
  return static_cast<uint64_t>(std::max<int64_t>(std::chrono::nanoseconds(time).count(), 0));
}

}  // namespace

/// One connection to an endpoint, for one copy after the other.
///
///   kConnecting → kBusy ⇄ kIdle;   any → kClosed
class Shadows::Connection final : public net::EventLoop::Watcher,
                                  public std::enable_shared_from_this<Shadows::Connection> {
 public:
  Connection(Shadows& owner, VersionRef version, Endpoint& endpoint,
             const net::SocketAddress& address, int socket)
      : owner_(owner),
        worker_(owner.worker_),
        version_(std::move(version)),
        endpoint_(endpoint),
        address_(address),
        socket_(socket, worker_.pool()),
        parser_(worker_.options().limits.max_header) {}
  ~Connection() { socket_.Close(); }

  Endpoint& endpoint() const { return endpoint_; }
  bool IsOld(SteadyTime now) const { return now - since_ >= keep_alive(); }
  const Version& version() const { return *version_; }
  /// For copies by the table that is in force. False when its endpoint does not stand there, or is spoken to otherwise by now.
  bool Renew() {
    const Version* const now = worker_.table().VersionOf(endpoint_);
    if (now == version_.get()) return true;
    if (now == nullptr || !now->SpokenToAs(*version_)) return false;
    version_ = worker_.Hold(*now);
    return true;
  }
  size_t index = 0;  ///< the owner's: among the busy ones

  /// For the next one: nothing has come that nobody asked for, and the endpoint's name still stands for its address.
  bool Usable() {
    return endpoint_.Has(address_) && socket_.input().empty() &&
           (socket_.encrypted() || IsSilent()) && socket_.Fill() == Got::kNothing;
  }

  /// Takes a copy that holds its place among those under way.
  void Begin(std::unique_ptr<Shadow> shadow, SteadyTime since) {
    shadow_ = std::move(shadow);
    since_ = since;
    if (phase_ != Phase::kConnecting) Guard(*this, [&] { SendRequest(); });
  }

  void OnEvents(uint32_t events) override {
    if (phase_ == Phase::kClosed) return;
    const auto self = shared_from_this();
    socket_.OnEvents(events);
    Guard(*this, [&] { Run(events); });
  }

  void OnSweep(SteadyTime now) {
    if (now - since_ >= shadow_->mirror.options.timeout) Fail(Unanswered::kTimeout);
  }

  /// Its copy, if it has one, is over.
  void Fail(Unanswered reason) {
    if (phase_ == Phase::kClosed) return;
    const bool sent = phase_ == Phase::kBusy;
    const auto self = shared_from_this();
    auto shadow = std::move(shadow_);
    Close();
    if (!shadow) return;
    const bool not_connected = !sent && reason == Unanswered::kClosed;
    if (not_connected && owner_.ConnectAgain(shadow, endpoint_, since_)) return;
    owner_.Failed(std::move(shadow), sent, reason, since_);
  }

 private:
  enum class Phase { kConnecting, kBusy, kIdle, kClosed };

  /// The kernel is asked: of an end that has come in this turn the loop has not told yet.
  bool IsSilent() const {
    char byte;
    return recv(socket_.descriptor(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  MirrorCounters& Counters(const Shadow& shadow) { return worker_.CountersOf(shadow.mirror); }
  std::chrono::milliseconds keep_alive() const {
    return version_->service->options.timeouts.keep_alive;
  }

  void Run(uint32_t events) {
    switch (phase_) {
      case Phase::kConnecting:
        if (socket_.broken()) return Fail(Unanswered::kClosed);
        if (!socket_.encrypted()) {
          if (!(events & net::EventLoop::kWritable)) return;
          if (version_->tls && !BeginUpstreamTls(socket_, *version_, endpoint_))
            return Fail(Unanswered::kClosed);
        }
        if (socket_.encrypted()) {
          const auto shake = socket_.Handshake();
          if (shake == net::StreamSocket::Shake::kPending) return;
          if (shake == net::StreamSocket::Shake::kFailed) return Fail(Unanswered::kClosed);
        }
        SendRequest();
        [[fallthrough]];
      case Phase::kBusy:
        return ReadAnswer();
      case Phase::kIdle:
        // Whatever it is, nobody asked for it. That it can be written to says nothing, nor do TLS's own words.
        if ((events & ~net::EventLoop::kWritable) && !(socket_.encrypted() && Usable())) Close();
        return;
      case Phase::kClosed:
        return;
    }
  }

  void SendRequest() {
    phase_ = Phase::kBusy;
    Counters(*shadow_).sent.Add();
    head_read_ = needs_more_ = request_taken_ = false;
    answer_bytes_ = 0;
    body_at_ = 0;
    parser_.Reset();
    const std::string& body = shadow_->pair->live.request.body;
    std::string& out = worker_.scratch();
    out = shadow_->head;
    if (shadow_->says_length)
      out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    out += "\r\n";
    socket_.Queue(out);
    SendPiece();
    SendRest();
  }

  /// That it is broken is seen where the answer is read.
  void SendPiece() {
    const std::string_view body = shadow_->pair->live.request.body;
    const std::string_view piece = body.substr(body_at_, kPiece);
    body_at_ += piece.size();
    (void)socket_.Send(piece);
  }

  /// As far as the socket takes it: what it holds besides is never more than a piece.
  void SendRest() {
    (void)socket_.Flush();
    if (request_taken_) return;
    const size_t size = shadow_->pair->live.request.body.size();
    while (body_at_ < size && socket_.unsent() == 0 && !socket_.broken()) SendPiece();
    if (body_at_ < size || socket_.unsent() > 0) return;
    request_taken_ = true;
    shadow_->ForgetRequest();
  }

  void ReadAnswer() {
    SendRest();
    for (int round = 0; phase_ == Phase::kBusy; ++round) {
      if (socket_.input().empty() || needs_more_) {
        if (round >= kReadsPerTurn) return GoOnLater();
        const Got got = socket_.Fill(worker_.options().limits.max_header + net::BufferPool::kSize);
        if (got == Got::kNothing) return;
        if (got != Got::kBytes) return AnswerEnded();
        needs_more_ = false;
      }
      switch (head_read_ ? TakeBody() : TakeHead()) {
        case Taken::kMore:
          break;
        case Taken::kDone:
          return Answered(true);
        case Taken::kFailed:
          return Fail(Unanswered::kBadAnswer);
      }
      if (head_read_ && answer_bytes_ > shadow_->mirror.options.max_body) return Answered(false);
    }
  }

  void GoOnLater() {
    Turn::OfThisThread()->AtEnd([self = shared_from_this()] { self->OnEvents(0); });
  }

  Taken TakeHead() {
    switch (parser_.Feed(socket_.input(), answer_)) {
      case net::ParseState::kNeedMore:
        needs_more_ = true;
        return Taken::kMore;
      case net::ParseState::kError:
        return Taken::kFailed;
      case net::ParseState::kDone:
        break;
    }
    if (answer_.status == 101) return Taken::kFailed;  // which nobody has asked for
    if (answer_.interim()) {
      socket_.Take(answer_.size);
      parser_.Reset();
      return Taken::kMore;
    }
    head_read_ = true;
    status_ = answer_.status;
    left_ = answer_.content_length.value_or(0);
    framing_ = FramingOf(answer_, status_ == 204 || status_ == 304);
    if (framing_ == Framing::kLength)
      answer_bytes_ = left_;  // known before: one that is too long is not even begun
    chunks_.Reset();
    keeps_ = answer_.keep_alive && framing_ != Framing::kUntilClose;
    compared_ = worker_.shared().exchanges != nullptr && status_ < 400;
    if (compared_)
      copy().Begin(copy().response, answer_.Header("content-type"),
                   answer_.Header("content-encoding"),
                   answer_.Header("inference-header-content-length"), left_);
    socket_.Take(answer_.size);
    return framing_ == Framing::kNone ? Taken::kDone : Taken::kMore;
  }

  Taken TakeBody() {
    const bool told = framing_ == Framing::kLength;  // its length is counted already
    return TakeAnswerBody(socket_, framing_, left_, chunks_, [&](std::string_view bytes) {
      if (!told) answer_bytes_ += bytes.size();
      KeepAnswer(bytes);
    });
  }

  ExchangeCopy& copy() { return shadow_->pair->shadow; }
  void KeepAnswer(std::string_view bytes) {
    if (compared_) copy().Append(copy().response, bytes);
  }

  /// The connection has.
  void AnswerEnded() {
    if (head_read_ && framing_ == Framing::kUntilClose && socket_.error() == 0)
      return Answered(true);
    Fail(Unanswered::kClosed);
  }

  /// `whole`: else it is too long, and the rest is not read.
  void Answered(bool whole) {
    const bool keep = whole && keeps_ && request_taken_ && socket_.input().empty() &&
                      !socket_.broken() && !socket_.peer_ended() && Renew() &&
                      keep_alive().count() > 0;
    owner_.Answered(std::move(shadow_), status_, OutcomeOfHttp(status_), since_);
    if (!keep) return Close();
    phase_ = Phase::kIdle;
    since_ = worker_.now();
    owner_.Keep(*this);
  }

  void Close() {
    if (std::exchange(phase_, Phase::kClosed) == Phase::kClosed) return;
    worker_.loop().Unwatch(socket_.descriptor());
    socket_.Close();
    owner_.Forget(*this);
  }

  Shadows& owner_;
  Worker& worker_;
  VersionRef version_;
  Endpoint& endpoint_;  ///< of the version
  const net::SocketAddress address_;
  net::StreamSocket socket_;
  Phase phase_ = Phase::kConnecting;
  SteadyTime since_{};  ///< it has its copy, or has none
  std::unique_ptr<Shadow> shadow_;

  net::AnswerHeadParser parser_;
  net::AnswerHead answer_;
  net::ChunkDecoder chunks_;
  bool head_read_ = false;
  bool needs_more_ = false;
  bool request_taken_ = false;  ///< all of it, by the socket
  size_t body_at_ = 0;          ///< the rest of the request's body
  bool keeps_ = false;
  bool compared_ = false;  ///< its answer is kept
  int status_ = 0;
  Framing framing_ = Framing::kNone;
  uint64_t left_ = 0;
  uint64_t answer_bytes_ = 0;  ///< that have come, or are to
};

Shadows::Shadows(Worker& worker)
    : worker_(worker), upstreams_h2_(worker, UpstreamsH2::Use::kCopies) {}
Shadows::~Shadows() = default;

std::unique_ptr<Shadow> Shadows::NewShadow(const Mirror& mirror, size_t source) const {
  return std::make_unique<Shadow>(worker_.Hold(mirror.version), source);
}

/// Null: this one is not mirrored.
Mirror* Shadows::MirrorOf(const Version& live, const net::HttpRequest& request, uint64_t length) {
  Mirror* const mirror = live.service->mirror;
  if (mirror == nullptr || &mirror->version == &live) return nullptr;
  if (request.method != "POST" && request.method != "GET") return nullptr;
  if (!request.Header(kShadowHeader).empty()) return nullptr;  // a copy itself
  const uint32_t parts = mirror->parts;
  if (parts < Split::kParts && worker_.rng().Below(Split::kParts) >= parts) return nullptr;
  if (length <= mirror->options.max_body) return mirror;
  Drop(*mirror, Unsent::kTooLarge);
  return nullptr;
}

std::unique_ptr<Shadow> Shadows::Draw(const Version& live, const net::HttpRequest& request,
                                      const net::RequestHead& head, const RequestForward& how,
                                      size_t source) {
  if (how.upgrade) return nullptr;
  Mirror* const mirror = MirrorOf(live, request, head.content_length);
  if (mirror == nullptr) return nullptr;
  return Make(*mirror, source, [&](Shadow& shadow) {
    shadow.says_length = request.method == "POST" || head.chunked || head.content_length > 0;
    RequestForward copied = how;
    copied.shadow = true;
    copied.chunked = false;
    if (how.host.empty() && request.Header("host").empty())
      copied.host = mirror->version.endpoints[0]->name;
    AppendRequestHead(shadow.head, request, copied);
  });
}

void Shadows::Send(std::unique_ptr<Shadow> shadow, bool whole) {
  using State = HttpBody::State;
  const VersionRef version = shadow->version;  // longer than the shadow
  const Mirror& mirror = shadow->mirror;
  const State body = shadow->pair->live.request.state;
  if (body == State::kTooLong) return Drop(mirror, Unsent::kTooLarge);
  if (body == State::kNoMemory) return Drop(mirror, Unsent::kNoMemory);
  if (!whole) return Drop(mirror, Unsent::kUnfinished);
  if (draining_) return Drop(mirror, Unsent::kDraining);
  try {
    waiting_.push_back(std::move(shadow));
    if (waiting_.size() == 1) Turn::OfThisThread()->AtEnd([this] { SendAll(); });
  } catch (const std::exception&) {    // the original has no part in it
    if (!shadow) waiting_.pop_back();  // else nobody would ever send those behind it
    Drop(mirror, Unsent::kNoMemory);
  }
}

void Shadows::GiveUp(std::unique_ptr<Shadow> shadow) noexcept {
  Drop(shadow->mirror, Unsent::kNoMemory);
}

void Shadows::SendAll() {
  std::vector<std::unique_ptr<Shadow>> waiting;
  waiting.swap(waiting_);
  for (auto& shadow : waiting) {
    const VersionRef version = shadow->version;  // longer than the shadow
    const Mirror& mirror = shadow->mirror;
    try {
      Start(std::move(shadow));
    } catch (const std::exception& e) {
      LOG_ERROR("a mirrored request failed", {"server", "gateway"}, {"error", e.what()});
      Drop(mirror, Unsent::kNoMemory);
    }
  }
}

void Shadows::Start(std::unique_ptr<Shadow> shadow) {
  Mirror& mirror = shadow->mirror;
  Endpoint* const endpoint = mirror.version.Pick(worker_.rng(), worker_.now(), nullptr);
  if (endpoint == nullptr || !endpoint->health.Available(worker_.now()))
    return Drop(mirror, Unsent::kNoEndpoint);
  shadow->has_place = mirror.TryBegin();
  if (!shadow->has_place) return Drop(mirror, Unsent::kBusy);
  if (shadow->version->service->options.http2()) return StartH2(std::move(shadow), *endpoint);
  bool at_fault = true;
  const auto connection = ConnectionTo(*shadow, *endpoint, &at_fault);
  if (!connection)
    return Failed(std::move(shadow), false, Unanswered::kClosed, worker_.now(), at_fault);
  BeginOn(connection, std::move(shadow), worker_.now());
}

void Shadows::BeginOn(const std::shared_ptr<Connection>& connection, std::unique_ptr<Shadow> shadow,
                      SteadyTime since) {
  connection->index = busy_.size();
  try {
    busy_.push_back(connection);
  } catch (const std::bad_alloc&) {  // the loop must not know one that is gone
    connection->Fail(Unanswered::kClosed);
    throw;
  }
  connection->Begin(std::move(shadow), since);
}

/// By another address of the same endpoint. False when there is none that could be tried.
bool Shadows::ConnectAgain(std::unique_ptr<Shadow>& shadow, Endpoint& endpoint, SteadyTime since) {
  bool at_fault = true;
  const auto connection = ConnectNext(*shadow, endpoint, &at_fault);
  if (!connection) return false;
  BeginOn(connection, std::move(shadow), since);
  return true;
}

/// A kept one, or one that is being made; null when that cannot be, `at_fault` then: for the endpoint's sake.
std::shared_ptr<Shadows::Connection> Shadows::ConnectionTo(Shadow& shadow, Endpoint& endpoint,
                                                           bool* at_fault) {
  Connections& kept = idle_[endpoint.id];
  while (!kept.empty()) {
    const auto connection = kept.back();
    if (!connection->version().SpokenToAs(*shadow.version)) break;  // the copy is older than that
    if (!connection->Usable()) {
      connection->Fail(Unanswered::kClosed);  // and so leaves
      continue;
    }
    kept.pop_back();
    return connection;
  }
  shadow.addresses_left = endpoint.addresses.Get()->size();
  *at_fault = shadow.addresses_left > 0;  // a name that nobody has found was not asked
  shadow.address = endpoint.next_address.fetch_add(1, std::memory_order_relaxed);
  return ConnectNext(shadow, endpoint, at_fault);
}

std::shared_ptr<Shadows::Connection> Shadows::ConnectNext(Shadow& shadow, Endpoint& endpoint,
                                                          bool* at_fault) {
  const auto addresses = endpoint.addresses.Get();
  while (shadow.addresses_left > 0 && !addresses->empty()) {
    --shadow.addresses_left;
    const net::SocketAddress& address = (*addresses)[shadow.address++ % addresses->size()];
    int error = 0;
    const int socket = BeginConnect(address, &error);
    *at_fault = !IsOurFault(error);
    if (socket < 0 && *at_fault) continue;
    if (socket < 0) break;
    auto connection =
        std::make_shared<Connection>(*this, shadow.version, endpoint, address, socket);
    if (worker_.loop().Watch(socket, *connection)) return connection;
    *at_fault = false;
    break;
  }
  return nullptr;
}

/// One that is busy has none to send any more.
void Shadows::Keep(Connection& connection) {
  const auto self = busy_[connection.index];
  Forget(connection);
  idle_[connection.endpoint().id].push_back(self);
}

void Shadows::Forget(Connection& connection) {
  const size_t index = connection.index;
  if (index < busy_.size() && busy_[index].get() == &connection) {
    worker_.loop().Bury(busy_[index]);  // events of this turn may still come for it
    std::swap(busy_[index], busy_.back());
    busy_[index]->index = index;
    busy_.pop_back();
    return;
  }
  Connections& kept = idle_[connection.endpoint().id];
  const auto at = std::find_if(kept.begin(), kept.end(),
                               [&](const auto& one) { return one.get() == &connection; });
  if (at == kept.end()) return;
  worker_.loop().Bury(*at);
  kept.erase(at);
}

void Shadows::Answered(std::unique_ptr<Shadow> shadow, int status, StatusCode outcome,
                       SteadyTime since) {
  shadow->ForgetRequest();
  MirrorCounters& counters = worker_.CountersOf(shadow->mirror);
  const auto of = static_cast<size_t>(status / 100);
  counters.answers[of < VersionCounters::kClasses ? of : 0].Add();
  const uint64_t ns = Nanos(worker_.shared().clock.SteadyNow() - since);
  counters.latency[FineLatencyScheme::PlaceOf(ns).index()].Add();
  counters.latency_ns.Add(ns);
  Compare(*shadow, outcome, ns);
}

void Shadows::Failed(std::unique_ptr<Shadow> shadow, bool sent, Unanswered reason, SteadyTime since,
                     bool at_fault) {
  shadow->ForgetRequest();
  const bool ends = reason == Unanswered::kDraining;
  if (sent) {
    worker_.CountersOf(shadow->mirror).unanswered[static_cast<size_t>(reason)].Add();
  } else {
    Drop(shadow->mirror, ends ? Unsent::kDraining : Unsent::kNotConnected);
  }
  // That the gateway ends says nothing of the shadow, nor does what it lacks itself.
  if (!ends && at_fault)
    Compare(*shadow, StatusCode::kUnavailable, Nanos(worker_.shared().clock.SteadyNow() - since));
}

/// Gives both answers to who compares them, if somebody does.
void Shadows::Compare(Shadow& shadow, StatusCode outcome, uint64_t latency_ns) {
  ExchangeSink* const exchanges = worker_.shared().exchanges;
  if (exchanges == nullptr) return;
  try {
    PredictionEvent event = shadow.pair->live.event();
    event.version = shadow.mirror.version.number;
    event.outcome = outcome;
    event.latency_ns = latency_ns;
    shadow.pair->shadow.SetEvent(event);
    shadow.pair->tolerance = shadow.mirror.options.tolerance;
    exchanges->OfferPair(std::move(shadow.pair));
  } catch (const std::exception& e) {
    LOG_ERROR("two answers are not compared", {"server", "gateway"}, {"error", e.what()});
  }
}

void Shadows::Drop(const Mirror& mirror, Unsent reason) {
  worker_.CountersOf(mirror).unsent[static_cast<size_t>(reason)].Add();
}

void Shadows::Sweep(SteadyTime now) {
  // Backwards: one that ends puts the last one, which has been seen, in its place.
  for (size_t i = busy_.size(); i-- > 0;) {
    if (i < busy_.size()) busy_[i]->OnSweep(now);
  }
  for (Connections& kept : idle_) {
    while (!kept.empty() && kept.front()->IsOld(now)) kept.front()->Fail(Unanswered::kClosed);
  }
  SweepH2(now);
}

void Shadows::Adopt() {
  for (Connections& kept : idle_) {
    const Connections of_endpoint(kept.begin(), kept.end());  // each that fails leaves
    for (const auto& connection : of_endpoint) {
      if (!connection->Renew()) connection->Fail(Unanswered::kClosed);
    }
  }
  upstreams_h2_.Adopt();
}

void Shadows::Drain() {
  draining_ = true;
  for (const auto& shadow : waiting_) Drop(shadow->mirror, Unsent::kDraining);
  waiting_.clear();
  while (!busy_.empty()) busy_.back()->Fail(Unanswered::kDraining);
  for (Connections& kept : idle_) {
    while (!kept.empty()) kept.back()->Fail(Unanswered::kClosed);
  }
  DrainH2();
}

}  // namespace leadsman::gateway
