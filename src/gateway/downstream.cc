#include "gateway/downstream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "gateway/downstream_h2.h"
#include "gateway/ended_request.h"
#include "gateway/outcome.h"
#include "net/response_head.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;
using Got = net::StreamSocket::Got;

/// What may be unsent to one side before the other one is read no further.
constexpr size_t kHighWater = 256 << 10;
/// Pieces from here on are given to the socket as they lie; smaller ones go out together with what is before and behind.
constexpr size_t kSendDirectly = 16 << 10;
/// Of a request's body, to send it again.
constexpr size_t kMaxReplay = 64 << 10;
constexpr size_t kKeptMemory = 16 << 10;
constexpr size_t kMaxDiscard = 256 << 10;
constexpr int kStepsPerTurn = 128;  // of one client, before others get their turn
constexpr int kRoundsPerTurn = 16;  // of one body
constexpr milliseconds kFirstBackoff{20};
constexpr milliseconds kLinger{2000};
constexpr milliseconds kLingerWhenDraining{500};
constexpr milliseconds kQuietWhenDraining{1000};
/// The same where another process accepts already, and nobody waits for this one to be over.
constexpr milliseconds kQuietWhenHandedOver{10'000};
constexpr milliseconds kHandshakeWhenDraining{10'000};
constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

std::string_view SizeLine(size_t size, std::array<char, 20>& room) {
  char* end = std::to_chars(room.data(), room.data() + 16, size, 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return {room.data(), static_cast<size_t>(end - room.data())};
}

std::string InMs(milliseconds time) { return StrCat(time.count(), " ms"); }

void Trim(std::string& text) {
  text.clear();
  if (text.capacity() > kKeptMemory) text.shrink_to_fit();
}

}  // namespace

Downstream::Downstream(Worker& worker, int socket, std::string client,
                       const Worker::Listening& listening, bool refused)
    : worker_(worker),
      socket_(socket, worker.pool()),
      client_(std::move(client)),
      forwarded_(listening.options.forwarded),
      protocol_(listening.options.protocol),
      refused_(refused),
      since_(worker.now()),
      parser_(worker.options().limits.max_header),
      answer_parser_(worker.options().limits.max_header),
      moved_at_(since_) {
  int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Downstream::~Downstream() = default;

bool Downstream::Begin(const Worker::Listening& listening) {
  if (!listening.certificates) return true;
  phase_ = Phase::kTls;
  return socket_.BeginTls(*listening.certificates,
                          listening.offers_http2 ? "h2,http/1.1" : "http/1.1");
}

void Downstream::Enter(Phase phase) {
  phase_ = phase;
  since_ = moved_at_ = worker_.now();
}

void Downstream::OnEvents(uint32_t events) {
  if (phase_ == Phase::kClosed) return;
  socket_.OnEvents(events);
  Run();
}

void Downstream::OnUpstream() { Run(); }

void Downstream::Run() {
  if (std::exchange(running_, true)) {
    again_ = true;
    return;
  }
  const auto self = shared_from_this();
  try {
    int steps = 0;
    do {
      again_ = false;
      while (Step() && ++steps < kStepsPerTurn) {
      }
    } while (again_ && steps < kStepsPerTurn);
    if (steps >= kStepsPerTurn) RunSoon();
  } catch (const std::exception& e) {  // out of memory: this connection's problem alone
    LOG_ERROR("connection failed", {"server", "gateway"}, {"error", e.what()});
    Close();
  }
  running_ = false;
}

void Downstream::RunSoon() {
  worker_.loop().Post([self = shared_from_this()] { self->Run(); });
}

/// False when there is nothing to do until something happens.
bool Downstream::Step() {
  switch (phase_) {
    case Phase::kTls:
      return ShakeHands();
    case Phase::kIdle:
    case Phase::kHead:
      return ReadHead();
    case Phase::kWaiting:
      return Connecting();
    case Phase::kProxying:
      return Proxy();
    case Phase::kTunnel:
      return Tunnel();
    case Phase::kHttp2:
      return StepHttp2();
    case Phase::kLingering:
      return Linger();
    case Phase::kClosed:
      break;
  }
  return false;
}

bool Downstream::ShakeHands() {
  switch (socket_.Handshake()) {
    case net::StreamSocket::Shake::kPending:
      return false;
    case net::StreamSocket::Shake::kFailed:
      worker_.counters().tls_failures.Add();
      Close();
      return false;
    case net::StreamSocket::Shake::kDone:
      break;
  }
  if (socket_.tls_protocol() == "h2") return BeginHttp2();
  Enter(Phase::kIdle);
  return true;
}

/// Whatever it says from now on is HTTP/2's.
bool Downstream::BeginHttp2() {
  h2_ = std::make_unique<DownstreamH2>(worker_, *this, client_, forwarded_, socket_.encrypted());
  if (!h2_->Start()) {
    Close();
    return false;
  }
  Enter(Phase::kHttp2);
  return true;
}

bool Downstream::StepHttp2() {
  if (h2_->over()) {
    h2_->End();
    StartLingering();
    return true;
  }
  if (!h2_->Step()) Close();
  return false;
}

// The request's head
// -----------------------------------------------------------------------------------------------------

bool Downstream::ReadHead() {
  if (!socket_.Flush()) {
    Close();
    return false;
  }
  if (socket_.unsent() >= kHighWater) return false;
  if (socket_.input().empty() || std::exchange(needs_more_, false)) {
    switch (socket_.Fill(worker_.options().limits.max_header + net::BufferPool::kSize)) {
      case Got::kBytes:
        break;
      case Got::kNothing:
        needs_more_ = !socket_.input().empty();
        return false;
      case Got::kEnd:
        // It may still read what it has asked for.
        if (socket_.unsent() > 0) {
          StartLingering();
          return true;
        }
        [[fallthrough]];
      case Got::kBroken:
        Close();
        return false;
    }
  }
  // With prior knowledge: the first words of a connection, which no request in HTTP/1.1 begins with.
  if (protocol_ == ListenerOptions::Protocol::kAuto &&
      socket_.bytes_in() == socket_.input().size() && socket_.input().starts_with("PRI "))
    return BeginHttp2();
  if (phase_ == Phase::kIdle) {
    parser_ = net::HeadParser(worker_.options().limits.max_header);  // as it is by now
    Enter(Phase::kHead);
  }
  switch (parser_.Feed(socket_.input(), request_, head_)) {
    case net::ParseState::kNeedMore:
      needs_more_ = true;
      return true;
    case net::ParseState::kError:
      if (parser_.error_status() == 431) {
        RefuseHead(431,
                   StrCat("the request's head is larger than ", worker_.options().limits.max_header,
                          " bytes (gateway.limits.max_header)"));
      } else {
        RefuseHead(parser_.error_status(), parser_.error_message());
      }
      return true;
    case net::ParseState::kDone:
      break;
  }
  return BeginExchange();
}

/// The head lies in the socket's buffer until all that is wanted of it has been taken.
bool Downstream::BeginExchange() {
  Exchange fresh;
  fresh.head.swap(x_.head);
  fresh.replay.swap(x_.replay);
  fresh.id.swap(x_.id);
  x_ = std::move(fresh);
  kept_.Clear();
  ++serial_;
  probed_ = false;
  needs_more_ = false;
  Enter(Phase::kWaiting);
  x_.started = worker_.shared().clock.SteadyNow();
  const uint64_t length = head_.content_length;
  x_.body = head_.chunked ? Framing::kChunked : length > 0 ? Framing::kLength : Framing::kNone;
  x_.body_left = length;
  x_.body_done = x_.body == Framing::kNone;
  if (head_.chunked) chunks_.Reset();

  int status = 0;
  Reason reason = Reason::kBadRequest;
  std::string problem;
  auto refuse = [&](int code, Reason why, std::string words) {
    status = code;
    reason = why;
    problem = std::move(words);
  };
  std::string origin_form;
  std::string_view authority;
  std::string_view target = request_.target;
  const bool absolute = SplitAbsoluteTarget(target, authority, origin_form);
  if (absolute) {
    target = origin_form;
    request_.path = target.substr(0, target.find('?'));  // what is passed on is what is routed by
  }
  const std::string_view host = absolute ? authority : request_.Header("host");
  const RouteTable::Route* route = nullptr;
  const size_t max_body = worker_.options().limits.max_body;
  if (request_.method == "CONNECT") {
    refuse(501, Reason::kBadRequest, "CONNECT is not supported: this is a gateway to models");
  } else if (!IsTarget(request_.method, target)) {
    refuse(400, Reason::kBadRequest,
           "the target must begin with / or http://, and have no fragment (#)");
  } else if (authority.find('@') != std::string_view::npos) {
    refuse(400, Reason::kBadRequest, "the target must not name a user");
  } else if (max_body > 0 && length > max_body) {
    refuse(
        413, Reason::kTooLarge,
        StrCat("the request's body is larger than ", max_body, " bytes (gateway.limits.max_body)"));
  } else if ((route = worker_.table().routes.Find(host, request_)) == nullptr) {
    refuse(404, Reason::kNoRoute,
           StrCat("no route fits ", CutUtf8(ToUtf8(host), 100), CutUtf8(ToUtf8(request_.path), 200),
                  " (gateway.routes)"));
  }
  if (status == 0) {
    const Service& service = *worker_.table().services[route->service];
    const Choice choice = ChooseVersion(service, request_, client_, worker_.rng());
    if (choice.version != nullptr) x_.version = worker_.Hold(*choice.version);
    x_.drawn = choice.drawn;
    if (x_.version == nullptr) {
      refuse(400, Reason::kBadRequest, WhyNoVersion(service, request_));
    } else if (service.options.http2()) {
      refuse(502, Reason::kProtocol,
             StrCat(service.options.name,
                    " speaks HTTP/2, and is reached by HTTP/2 alone (protocol)"));
    } else {
      using Predictions = RouteOptions::Predictions;
      const Predictions which = route->options.predictions;
      x_.prediction =
          which == Predictions::kAll || (which == Predictions::kPosts && request_.method == "POST");
      x_.idempotent = service.options.retries.posts || IsIdempotent(request_.method);
      x_.keeps_replay = service.options.retries.max > 0;
      x_.id.assign(request_.Header("x-request-id").substr(0, 256));
      if (x_.prediction && !x_.body_done) kept_.Begin(*route, request_, x_.body_left);
      const std::string_view upgrade = request_.Header("upgrade");
      // HTTP/2 in a tunnel would carry requests that nobody has looked at.
      x_.upgrade = !upgrade.empty() && !ListsWord(request_, "upgrade", "h2c") && !head_.http10 &&
                   x_.body_done && ListsWord(request_, "connection", "upgrade");
      x_.head.clear();
      RequestForward how{.client = client_,
                         .forwarded = forwarded_,
                         .proto = socket_.encrypted() ? "https" : "http",
                         .target = target,
                         .host = absolute ? authority : std::string_view(),
                         .chunked = head_.chunked,
                         .upgrade = x_.upgrade};
      if (x_.prediction)
        kept_.SetShadow(worker_.shadows().Draw(*x_.version, request_, head_, how, route->source));
      if (host.empty()) how.host = x_.version->endpoints[0]->name;
      AppendRequestHead(x_.head, request_, how);
    }
  }
  socket_.Take(head_.size);
  if (status != 0) {
    WorkerCounters& counters = worker_.counters();
    (reason == Reason::kNoRoute ? counters.no_route : counters.bad_requests).Add();
    Answer(status, reason, problem);
  } else {
    x_.version->service->budget.Begin();
    Connect();
  }
  return true;
}

// The upstream's connection
// ----------------------------------------------------------------------------------------------

void Downstream::Connect() {
  Enter(Phase::kWaiting);
  ++x_.tries;
  const Version& version = *x_.version;
  // Not before those that wait already: who asks much would keep them waiting.
  if (!worker_.SomebodyWaits(version) && TryEndpoints()) return;
  const UpstreamLimits& limits = version.service->options.limits;
  // Counted first: several threads may come at once.
  if (version.pending.fetch_add(1) >= limits.max_pending) {
    version.pending.fetch_sub(1);
    return Answer(503, Reason::kOverloaded,
                  StrCat(version.service->options.name, " version ", version.number,
                         " is busy: each of its endpoints has ", limits.max_connections,
                         " connections, and ", limits.max_pending, " requests wait for one"));
  }
  place_ = worker_.Wait(x_.version, *this);
  waits_ = true;
}

/// False when none of them has a connection to give.
bool Downstream::TryEndpoints() {
  const Version& version = *x_.version;
  Endpoint* picked = version.Pick(worker_.rng(), worker_.now(), x_.tried);
  if (picked == nullptr) {
    Answer(503, Reason::kNoEndpoint,
           StrCat(version.service->options.name, " version ", version.number, ": ",
                  version.WhyNone(worker_.now())));
    return true;
  }
  if (TryEndpoint(*picked)) return true;
  for (const auto& other : version.endpoints) {
    if (other.get() != picked && other->health.Available(worker_.now()) && TryEndpoint(*other))
      return true;
  }
  return false;
}

/// False when it has no connection to give.
bool Downstream::TryEndpoint(Endpoint& endpoint) {
  auto begin = [&] {
    StopWaiting();
    x_.tried = x_.active = &endpoint;
    endpoint.active.fetch_add(1, std::memory_order_relaxed);
  };
  if (auto kept = worker_.TakeIdle(*x_.version, endpoint)) {
    begin();
    upstream_ = std::move(kept);
    BeginTry();
    return true;
  }
  const size_t limit = x_.version->service->options.limits.max_connections;
  // Counted first: several threads may come at once.
  if (endpoint.connections.fetch_add(1) >= limit) {
    endpoint.connections.fetch_sub(1);
    return false;
  }
  begin();
  // Each of its addresses in turn: what a name stands for need not be there as a whole.
  x_.addresses_left = endpoint.addresses.Get()->size();
  x_.address = endpoint.next_address.fetch_add(1, std::memory_order_relaxed);
  int error = 0;
  if (!ConnectNext(&error)) ConnectFailed(error);
  return true;
}

/// Begins a connection to the next address, with a place among the endpoint's connections, which is given back when there is no
/// address left that could be tried.
bool Downstream::ConnectNext(int* error) {
  do {
    if (x_.addresses_left > 0) --x_.addresses_left;
    upstream_ =
        UpstreamConnection::Open(worker_, x_.version, *x_.tried, *this, x_.address++, error);
    if (upstream_) return true;
  } while (x_.addresses_left > 0 && !IsOurFault(*error));
  x_.tried->connections.fetch_sub(1);
  return false;
}

void Downstream::ConnectFailed(int error) {
  if (upstream_ && !upstream_->tls_problem().empty()) {
    UpstreamFailed(Reason::kTlsFailed, upstream_->tls_problem(), true);
  } else if (error == ECONNREFUSED) {
    UpstreamFailed(Reason::kConnectRefused, "refused the connection", true);
  } else if (error == ETIMEDOUT) {
    UpstreamFailed(Reason::kConnectTimeout, "did not take the connection in time", true);
  } else if (x_.tried->addresses.Get()->empty()) {
    UpstreamFailed(Reason::kConnectFailed, "has no address: its name was not found", true);
  } else {
    UpstreamFailed(Reason::kConnectFailed, StrCat("cannot be connected to: ", strerror(error)),
                   true, !IsOurFault(error));
  }
}

void Downstream::StopWaiting() {
  if (!std::exchange(waits_, false)) return;
  x_.version->pending.fetch_sub(1);
  worker_.StopWaiting(*x_.version, place_);
}

bool Downstream::OnPending() {
  if (!TryEndpoints()) return false;
  Run();
  return true;
}

bool Downstream::Connecting() {
  if (LookAtClient()) return false;
  if (waits_ || backing_off_ || !upstream_ || upstream_->connecting()) return false;
  int error = upstream_->connect_error();
  if (error == 0) {
    BeginTry();
    return true;
  }
  if (x_.addresses_left > 0) {
    const auto failed = std::exchange(upstream_, nullptr);
    failed->Release();
    // First: its own place may be somebody else's as soon as it is given back.
    x_.tried->connections.fetch_add(1);
    const bool begun = ConnectNext(&error);
    failed->Close();
    if (begun) return true;
  }
  ConnectFailed(error);
  return true;
}

void Downstream::BeginTry() {
  Enter(Phase::kProxying);
  upstream_->Use(*this);
  x_.active->requests.fetch_add(1, std::memory_order_relaxed);
  x_.try_began = worker_.now();
  if (x_.body_done) x_.answer_due_from = x_.try_began;
  answer_parser_ = net::AnswerHeadParser(worker_.options().limits.max_header);
  needs_more_ = false;
  upstream_->socket().Queue(x_.head);
  upstream_->socket().Queue(x_.replay);
}

// Bytes, both ways
// -------------------------------------------------------------------------------------------------------

bool Downstream::Proxy() {
  if (LookAtClient()) return false;
  for (int round = 0; round < kRoundsPerTurn; ++round) {
    request_stalled_ = answer_stalled_ = false;
    if (!PumpRequest()) return true;
    // That it is broken is no end yet: an answer may have come before.
    (void)upstream_->socket().Flush();
    if (!PumpAnswer()) return true;
    if (!socket_.Flush()) {
      ClientGone();
      return true;
    }
    const bool more = (request_stalled_ && upstream_->socket().unsent() < kHighWater) ||
                      (answer_stalled_ && socket_.unsent() < kHighWater);
    if (!more) return false;
  }
  RunSoon();
  return false;
}

/// False when the exchange has ended.
bool Downstream::PumpRequest() {
  net::StreamSocket& up = upstream_->socket();
  for (int round = 0; !x_.body_done && !up.broken(); ++round) {
    if (round == kRoundsPerTurn) {
      RunSoon();
      return true;
    }
    if (up.unsent() >= kHighWater && up.Flush() && up.unsent() >= kHighWater) {
      request_stalled_ = true;
      return true;
    }
    if (socket_.input().empty()) {
      const Got got = socket_.Fill();
      if (got == Got::kNothing) return true;
      if (got != Got::kBytes) {
        ClientGone();
        return false;
      }
    }
    switch (TakeBody()) {
      case Taken::kMore:
        break;
      case Taken::kDone:
        x_.body_done = true;
        x_.answer_due_from = worker_.now();
        break;
      case Taken::kFailed:
        return false;
    }
  }
  return true;
}

Taken Downstream::TakeBody() {
  const std::string_view input = socket_.input();
  if (x_.body == Framing::kLength) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(x_.body_left, input.size()));
    PassBody(input.substr(0, bytes));
    kept_.Request(input.substr(0, bytes));
    socket_.Take(bytes);
    x_.body_left -= bytes;
    x_.body_bytes += bytes;
    return x_.body_left == 0 ? Taken::kDone : Taken::kMore;
  }
  size_t read = 0;
  size_t written = 0;
  char* const bytes = socket_.mutable_input();
  const auto state = chunks_.Feed(bytes, input.size(), bytes, &read, &written);
  if (state == net::ChunkDecoder::State::kError) {
    Answer(400, Reason::kBadRequest, std::string(chunks_.error()));
    return Taken::kFailed;
  }
  x_.body_bytes += written;
  const size_t max_body = worker_.options().limits.max_body;
  if (max_body > 0 && x_.body_bytes > max_body) {
    Answer(
        413, Reason::kTooLarge,
        StrCat("the request's body is larger than ", max_body, " bytes (gateway.limits.max_body)"));
    return Taken::kFailed;
  }
  if (written > 0) {
    std::array<char, 20> room;
    PassBody(SizeLine(written, room));
    PassBody({bytes, written});
    PassBody("\r\n");
    kept_.Request({bytes, written});
  }
  socket_.Take(read);
  if (state != net::ChunkDecoder::State::kDone) return Taken::kMore;
  PassBody(kLastChunk);
  return Taken::kDone;
}

void Downstream::PassBody(std::string_view bytes) {
  if (x_.keeps_replay) {
    x_.keeps_replay = x_.replay.size() + bytes.size() <= kMaxReplay;
    if (x_.keeps_replay) {
      x_.replay.append(bytes);
    } else {
      Trim(x_.replay);
    }
  }
  net::StreamSocket& up = upstream_->socket();
  if (bytes.size() < kSendDirectly) return up.Queue(bytes);
  (void)up.Send(bytes);  // that it is broken is seen where the answer is read
}

/// False when the exchange has ended.
bool Downstream::PumpAnswer() {
  net::StreamSocket& up = upstream_->socket();
  for (int round = 0;; ++round) {
    if (round == kRoundsPerTurn) {
      RunSoon();
      return true;
    }
    if (socket_.unsent() >= kHighWater) {
      if (!socket_.Flush()) {
        ClientGone();
        return false;
      }
      if (socket_.unsent() >= kHighWater) {
        answer_stalled_ = true;
        return true;
      }
    }
    if (up.input().empty() || needs_more_) {
      const Got got = up.Fill(worker_.options().limits.max_header + net::BufferPool::kSize);
      if (got == Got::kNothing) return true;
      if (got != Got::kBytes) return AnswerEnded();
      needs_more_ = false;
    }
    switch (x_.answer_begun ? TakeAnswerBody() : TakeAnswerHead()) {
      case Taken::kMore:
        break;
      case Taken::kDone:
        Finish();
        return false;
      case Taken::kFailed:
        return false;
    }
  }
}

Taken Downstream::TakeAnswerHead() {
  net::StreamSocket& up = upstream_->socket();
  switch (answer_parser_.Feed(up.input(), answer_)) {
    case net::ParseState::kNeedMore:
      needs_more_ = true;
      return Taken::kMore;
    case net::ParseState::kError:
      UpstreamFailed(
          Reason::kBadAnswer,
          StrCat("sent an answer that is not understood: ", answer_parser_.error_message()), false);
      return Taken::kFailed;
    case net::ParseState::kDone:
      break;
  }
  if (answer_.interim()) return TakeInterim();
  x_.answer_begun = true;
  x_.status = answer_.status;
  const bool no_body = head_.is_head || x_.status == 204 || x_.status == 304;
  x_.answer = FramingOf(answer_, no_body);
  AnswerForward how;
  if (no_body) {
    how.body = x_.status == 204 ? AnswerForward::Body::kNone : AnswerForward::Body::kUntold;
    how.would_be_chunked = answer_.chunked && !head_.http10;
  } else if (answer_.content_length) {
    x_.answer_left = *answer_.content_length;
    x_.answer_out = x_.answer;
  } else {
    answer_chunks_.Reset();
    x_.answer_out = head_.http10 ? Framing::kUntilClose : Framing::kChunked;
    how.body = head_.http10 ? AnswerForward::Body::kUntilClose : AnswerForward::Body::kChunked;
  }
  x_.upstream_keeps = answer_.keep_alive && x_.answer != Framing::kUntilClose;
  x_.close_after = !head_.keep_alive || x_.answer_out == Framing::kUntilClose || !x_.body_done ||
                   (worker_.sends_away() && socket_.input().empty());
  how.close = x_.close_after;
  how.say_keep_alive = head_.http10 && !x_.close_after;
  std::string& out = worker_.scratch();
  out.clear();
  AppendAnswerHead(out, answer_, how);
  socket_.Queue(out);
  if (kept_.any()) {
    kept_.BeginAnswer({.content_type = answer_.Header("content-type"),
                       .content_encoding = answer_.Header("content-encoding"),
                       .json_bytes = answer_.Header("inference-header-content-length"),
                       .length = x_.answer_left});
  }
  up.Take(answer_.size);
  EndRetry();
  if (IsFailure(x_.status))
    x_.version->OnResult(*x_.tried, true, StrCat("answered ", x_.status), worker_.now());
  return x_.answer == Framing::kNone ? Taken::kDone : Taken::kMore;
}

Taken Downstream::TakeInterim() {
  net::StreamSocket& up = upstream_->socket();
  std::string& out = worker_.scratch();
  out.clear();
  if (answer_.status == 101) {
    if (!x_.upgrade) {
      UpstreamFailed(Reason::kBadAnswer, "switches protocols, which nobody has asked for", false);
      return Taken::kFailed;
    }
    AppendAnswerHead(out, answer_, {.body = AnswerForward::Body::kNone, .upgrade = true});
    socket_.Queue(out);
    up.Take(answer_.size);
    x_.status = 101;
    EndRetry();
    x_.version->OnResult(*x_.tried, false, {}, worker_.now());
    worker_.counters().upgrades.Add();
    Record(Reason::kNone);
    Enter(Phase::kTunnel);
    return Taken::kFailed;  // no exchange any more
  }
  // 100 is for who has asked; what else there is (103) for who may know it.
  if (!head_.http10 && (answer_.status != 100 || head_.expect_continue)) {
    AppendAnswerHead(out, answer_, {.body = AnswerForward::Body::kNone});
    socket_.Queue(out);
    x_.told_to_go_on = x_.told_to_go_on || answer_.status == 100;
  }
  up.Take(answer_.size);
  answer_parser_.Reset();
  return Taken::kMore;
}

Taken Downstream::TakeAnswerBody() {
  const Taken taken =
      gateway::TakeAnswerBody(upstream_->socket(), x_.answer, x_.answer_left, answer_chunks_,
                              [this](std::string_view bytes) { PassAnswer(bytes); });
  if (taken == Taken::kFailed) Cut(Reason::kBadAnswer);
  return taken;
}

/// At once: an event of a stream must not wait for the next one.
void Downstream::PassAnswer(std::string_view bytes) {
  if (bytes.empty()) return;
  x_.answer_bytes += bytes.size();
  // What a failed one says is no prediction.
  if (x_.status < 400) kept_.Answer(bytes);
  const bool chunked = x_.answer_out == Framing::kChunked;
  std::array<char, 20> room;
  if (chunked) socket_.Queue(SizeLine(bytes.size(), room));
  if (bytes.size() < kSendDirectly) {
    socket_.Queue(bytes);
  } else {
    (void)socket_.Send(bytes);  // that it is broken is seen at the next Flush
  }
  if (chunked) socket_.Queue("\r\n");
}

/// The upstream's connection has. Always false: so has the exchange, or this try of it.
bool Downstream::AnswerEnded() {
  const int error = upstream_->socket().error();
  if (!x_.answer_begun) {
    const bool nothing_taken = upstream_->NothingTaken();
    // By TLS 1.3 a server says only now what it thinks of our certificate.
    const std::string tls_error = upstream_->socket().tls_error();
    if (!tls_error.empty()) {
      UpstreamFailed(Reason::kTlsFailed, StrCat("ended TLS without an answer: ", tls_error),
                     nothing_taken);
      return false;
    }
    UpstreamFailed(Reason::kClosed,
                   StrCat("ended the connection without an answer",
                          error != 0 ? StrCat(": ", strerror(error)) : std::string()),
                   nothing_taken);
  } else if (x_.answer == Framing::kUntilClose && error == 0) {
    Finish();
  } else {
    Cut(Reason::kCut);
  }
  return false;
}

void Downstream::Finish() {
  if (x_.answer_out == Framing::kChunked) socket_.Queue(kLastChunk);
  net::StreamSocket& up = upstream_->socket();
  const bool keep = x_.upstream_keeps && x_.body_done && up.unsent() == 0 && up.input().empty() &&
                    !up.broken() && !up.peer_ended();
  const bool close = x_.close_after || !x_.body_done;
  Record(Reason::kNone);
  LetUpstreamGo(keep);
  EndExchange();
  NextOrClose(close);
}

// Tunnels
// ----------------------------------------------------------------------------------------------------------------

bool Downstream::Tunnel() {
  net::StreamSocket& up = upstream_->socket();
  bool over = false;
  auto pass = [&](net::StreamSocket& from, net::StreamSocket& to, bool& ended, bool& shut) {
    if (!ended && to.unsent() < kHighWater && from.input().empty()) {
      const Got got = from.Fill();
      over = over || got == Got::kBroken;
      ended = got == Got::kEnd;
    }
    const bool moved = !from.input().empty() && to.unsent() < kHighWater;
    if (!(moved ? to.Send(from.input()) : to.Flush())) over = true;
    if (moved) from.Take(from.input().size());
    if (ended && to.unsent() == 0 && !std::exchange(shut, true)) to.ShutdownWrite();
    return moved;
  };
  int round = 0;
  bool moved = true;
  for (; moved && !over && round < kRoundsPerTurn; ++round) {
    moved = pass(socket_, up, ended_up_, shut_up_);
    moved = pass(up, socket_, ended_down_, shut_down_) || moved;
  }
  if (over || (shut_up_ && shut_down_)) {
    Close();
    return false;
  }
  if (moved && round == kRoundsPerTurn) RunSoon();
  return false;
}

// Ends
// -------------------------------------------------------------------------------------------------------------------

std::string Downstream::Upstream() const {
  return StrCat(x_.version->service->options.name, " version ", x_.version->number,
                x_.tried != nullptr ? StrCat(" at ", x_.tried->name) : std::string());
}

void Downstream::Count(Reason reason) {
  if (x_.version != nullptr)
    worker_.CountersOf(*x_.version).errors[static_cast<size_t>(reason)].Add();
}

bool Downstream::MayRetry(Reason reason, bool nothing_taken) {
  const RetryOptions& options = x_.version->service->options.retries;
  if (x_.tries > options.max || reason == Reason::kBadAnswer) return false;
  if (!x_.keeps_replay && x_.body_bytes > 0) return false;
  if (!nothing_taken && !x_.idempotent) return false;
  if (x_.retrying) return true;  // it holds its place
  x_.retrying = x_.version->service->budget.TryRetry(options);
  if (!x_.retrying) worker_.CountersOf(*x_.version).retries_refused.Add();
  return x_.retrying;
}

/// `nothing_taken`: the upstream cannot have seen the request.
void Downstream::UpstreamFailed(Reason reason, std::string why, bool nothing_taken,
                                bool endpoint_at_fault) {
  Count(reason);
  if (endpoint_at_fault) x_.version->OnResult(*x_.tried, true, why, worker_.now());
  LetUpstreamGo(false);
  if (!MayRetry(reason, nothing_taken)) {
    return Answer(IsTimeout(reason) ? 504 : 502, reason, StrCat(Upstream(), " ", why));
  }
  worker_.CountersOf(*x_.version).retries.Add();
  if (x_.version->endpoints.size() > 1) return Connect();
  // The same one again: not at once, and not all of them at the same time.
  Enter(Phase::kWaiting);
  backing_off_ = true;
  const milliseconds most = kFirstBackoff * (1 << std::min(x_.tries, 6));
  const auto wait =
      most / 2 + milliseconds(worker_.rng().Below(static_cast<uint64_t>(most.count() / 2 + 1)));
  worker_.loop().At(worker_.now() + wait, [weak = weak_from_this(), serial = serial_] {
    const auto self = weak.lock();
    if (!self || self->serial_ != serial || !self->backing_off_) return;
    self->backing_off_ = false;
    self->Connect();
    self->Run();
  });
}

void Downstream::Answer(int status, Reason reason, const std::string& message) {
  if (x_.answer_begun) return Cut(reason);
  if (!IsOfATry(reason)) Count(reason);
  x_.status = status;
  const bool close =
      !head_.keep_alive || !x_.body_done || (worker_.sends_away() && socket_.input().empty());
  SendError(status, reason, message, close);
  Record(reason);
  LetUpstreamGo(false);
  EndExchange();
  NextOrClose(close);
}

void Downstream::RefuseHead(int status, std::string_view message) {
  worker_.counters().bad_requests.Add();
  head_.is_head = false;
  SendError(status, Reason::kBadRequest, message, true);
  StartLingering();
}

void Downstream::Refuse() {
  if (socket_.encrypted()) return Close();  // the handshake alone is more than it may have
  SendError(503, Reason::kOverloaded,
            "the gateway has as many connections as it may have (gateway.limits.max_connections); "
            "try again later",
            true);
  StartLingering();
  Run();
}

void Downstream::SendError(int status, Reason reason, std::string_view message, bool close) {
  const std::string body = ErrorBody(reason, message, x_.version.get(),
                                     reason < Reason::kNoEndpoint ? x_.tried : nullptr);
  net::ResponseHeadSpec spec;
  spec.status = status;
  spec.content_type = "application/json";
  spec.content_length = body.size();
  spec.close = close;
  spec.say_keep_alive = head_.http10 && !close;
  if (status == 503) spec.headers = "Retry-After: 1\r\n";
  std::string& out = worker_.scratch();
  out.clear();
  net::AppendResponseHead(out, spec);
  if (!head_.is_head) out += body;
  socket_.Queue(out);
}

/// The head of an answer is on its way already: that the rest does not come can only be shown by an end of the connection
/// that is no end of the answer.
void Downstream::Cut(Reason reason) {
  Count(reason);
  if (reason == Reason::kCut || reason == Reason::kBadAnswer || reason == Reason::kTotalTimeout)
    x_.version->OnResult(*x_.tried, true, StrCat("an answer was cut: ", ReasonName(reason)),
                         worker_.now());
  const bool reset = x_.answer_out == Framing::kUntilClose;
  Record(reason);
  (void)socket_.Flush();
  if (reset) {
    worker_.loop().Unwatch(socket_.descriptor());
    socket_.Reset();
  }
  Close();
}

void Downstream::ClientGone() {
  Count(Reason::kClientGone);
  Record(Reason::kClientGone);
  Close();
}

void Downstream::LetUpstreamGo(bool keep) {
  if (x_.version != nullptr) StopWaiting();
  if (x_.active != nullptr) x_.active->active.fetch_sub(1, std::memory_order_relaxed);
  x_.active = nullptr;
  if (!upstream_) return;
  const auto connection = std::exchange(upstream_, nullptr);
  connection->Release();
  if (keep) {
    worker_.Keep(connection);
  } else {
    connection->Close();
  }
}

void Downstream::Record(Reason reason) {
  if (x_.version == nullptr || std::exchange(x_.recorded, true)) return;
  RecordOriginal(reason);
  SendShadow(reason);
}

void Downstream::RecordOriginal(Reason reason) {
  auto event = CountEnded(worker_, {.version = *x_.version,
                                    .tried = x_.tried,
                                    .started = x_.started,
                                    .reason = reason,
                                    .status = x_.status,
                                    .answer_begun = x_.answer_begun,
                                    .failed = IsFailure(x_.status),
                                    .prediction = x_.prediction,
                                    .drawn = x_.drawn,
                                    .request_bytes = x_.body_bytes,
                                    .answer_bytes = x_.answer_bytes,
                                    .id = x_.id,
                                    .outcome = OutcomeOf(x_.status, reason)});
  if (event) kept_.Tell(*event);
}

void Downstream::SendShadow(Reason reason) noexcept {
  kept_.SendShadow(*x_.version, FirstOutcome(x_.tries, OutcomeOf(x_.status, reason)), x_.id,
                   x_.started, x_.body_done && IsComparable(x_.tries, reason));
}

void Downstream::EndRetry() {
  if (std::exchange(x_.retrying, false)) x_.version->service->budget.RetryEnded();
}

void Downstream::EndExchange() {
  if (x_.version != nullptr && !x_.head.empty()) {
    x_.version->service->budget.End();
    EndRetry();
  }
  x_.version = nullptr;
  x_.tried = nullptr;
  kept_.Clear();
  backing_off_ = false;
  ++serial_;
  Trim(x_.head);
  Trim(x_.replay);
  Trim(x_.id);
}

void Downstream::NextOrClose(bool close) {
  needs_more_ = false;
  parser_.Reset();
  if (close) return StartLingering();
  Enter(Phase::kIdle);
}

void Downstream::StartLingering() {
  needs_more_ = false;
  shut_ = false;
  discarded_ = 0;
  Enter(Phase::kLingering);
}

/// Closing at once would reset the answer away, if the client is still sending.
bool Downstream::Linger() {
  if (!shut_) {
    if (!socket_.Flush()) {
      Close();
      return false;
    }
    if (socket_.unsent() == 0) {
      socket_.ShutdownWrite();
      shut_ = true;
      since_ = worker_.now();
    }
  }
  while (discarded_ < kMaxDiscard) {
    discarded_ += socket_.input().size();
    socket_.Take(socket_.input().size());
    const Got got = socket_.Fill();
    if (got == Got::kNothing) return false;
    if (got == Got::kBytes) continue;
    if (shut_ || got == Got::kBroken) Close();
    return false;
  }
  return false;
}

void Downstream::Close() {
  if (phase_ == Phase::kClosed) return;
  if (x_.version != nullptr) {
    Record(Reason::kClientGone);
    LetUpstreamGo(false);
    EndExchange();
  }
  if (h2_) h2_->End();
  phase_ = Phase::kClosed;
  if (socket_.open()) worker_.loop().Unwatch(socket_.descriptor());
  socket_.Close();
  worker_.Remove(*this);
}

/// A client whose answer is being waited for. The end of what it sends looks the same whether it has gone or only has nothing
/// more to ask; who has gone answers a byte that comes with a reset.
bool Downstream::LookAtClient() {
  if (socket_.broken()) {
    ClientGone();
    return true;
  }
  if (socket_.peer_ended() && !probed_ && x_.body_done && !x_.answer_begun && !head_.http10 &&
      socket_.unsent() == 0) {
    probed_ = true;
    (void)socket_.Send(kGoOn);
  }
  return false;
}

// Time
// -------------------------------------------------------------------------------------------------------------------

void Downstream::OnSweep(SteadyTime now) {
  try {
    Sweep(now);
  } catch (const std::exception& e) {  // the sweep has others to look at
    LOG_ERROR("connection failed", {"server", "gateway"}, {"error", e.what()});
    Close();
  }
}

/// For `patience`; `bytes`: what has moved in all.
bool Downstream::NothingMoved(uint64_t bytes, SteadyTime now, milliseconds patience) {
  if (bytes != std::exchange(moved_, bytes)) moved_at_ = now;
  return now - moved_at_ >= patience;
}

void Downstream::Sweep(SteadyTime now) {
  const ClientLimits& limits = worker_.options().limits;
  const uint64_t moved = socket_.bytes_in() + socket_.bytes_out();
  const auto waited = now - since_;
  switch (phase_) {
    case Phase::kIdle:
      if (worker_.draining()) {
        // The next request may be on the way, from a client that has little time of its own machine, too.
        const milliseconds patience = std::min(
            worker_.grace() / 2, worker_.handed_over() ? kQuietWhenHandedOver : kQuietWhenDraining);
        const SteadyTime start = std::max(worker_.drain_began(), since_);
        if (now - start >= patience && socket_.unsent() == 0 && !socket_.HasInput())
          StartLingering();
      } else if (NothingMoved(moved, now, limits.idle_timeout) &&
                 (socket_.unsent() > 0 || !socket_.HasInput())) {
        return Close();
      }
      break;
    case Phase::kTls:
      // Who has connected before the end may still shake hands, and ask once.
      if (waited < limits.head_timeout &&
          (!worker_.sends_away() ||
           now - worker_.drain_began() < std::min(worker_.grace() / 2, kHandshakeWhenDraining)))
        break;
      worker_.counters().tls_failures.Add();
      return Close();
    case Phase::kHead:
      if (waited >= limits.head_timeout)
        RefuseHead(408, "the request's head did not arrive in time");
      break;
    case Phase::kWaiting:
    case Phase::kProxying:
      SweepExchange(now);
      break;
    case Phase::kTunnel:
      if (NothingMoved(moved, now, x_.version->service->options.timeouts.tunnel)) return Close();
      break;
    case Phase::kHttp2:
      if (!h2_->Sweep(now)) return Close();
      break;
    case Phase::kLingering:
      if (shut_ ? waited >= (worker_.draining() ? kLingerWhenDraining : kLinger)
                : NothingMoved(socket_.bytes_out(), now, limits.idle_timeout))
        return Close();
      break;
    case Phase::kClosed:
      return;
  }
  Run();
}

/// It has not asked for its body yet, as the client expects.
bool Downstream::WaitsToGoOn() const {
  return head_.expect_continue && !x_.told_to_go_on && x_.body_bytes == 0;
}

/// The upstream has taken what has come of the request, or the client does not take what has come of the answer.
bool Downstream::ClientIsSlow() const {
  if (!upstream_ || phase_ != Phase::kProxying) return false;
  if (x_.answer_begun && socket_.unsent() > 0) return true;
  return !x_.body_done && upstream_->socket().unsent() == 0 && !WaitsToGoOn();
}

void Downstream::SweepExchange(SteadyTime now) {
  const TimeoutOptions& timeouts = x_.version->service->options.timeouts;
  if (timeouts.total.count() > 0 && now - x_.started >= timeouts.total) {
    if (ClientIsSlow()) {
      return Answer(408, Reason::kClientSlow,
                    StrCat("the request's body was not there within ", InMs(timeouts.total),
                           " (timeouts.total)"));
    }
    if (x_.tried != nullptr && !x_.answer_begun)
      x_.version->OnResult(*x_.tried, true, "no answer within timeouts.total", now);
    return Answer(
        504, Reason::kTotalTimeout,
        StrCat(Upstream(), " did not answer within ", InMs(timeouts.total), " (timeouts.total)"));
  }
  if (phase_ == Phase::kWaiting) {
    if (backing_off_ || now - since_ < timeouts.connect) return;
    if (waits_) {
      return Answer(503, Reason::kOverloaded,
                    StrCat(Upstream(), " is busy: no connection became free within ",
                           InMs(timeouts.connect), " (timeouts.connect)"));
    }
    return UpstreamFailed(Reason::kConnectTimeout,
                          StrCat("did not take the connection within ", InMs(timeouts.connect),
                                 " (timeouts.connect)"),
                          true);
  }
  const net::StreamSocket& up = upstream_->socket();
  const bool idle =
      NothingMoved(socket_.bytes_in() + socket_.bytes_out() + up.bytes_in() + up.bytes_out(), now,
                   timeouts.idle);
  if (x_.answer_begun) {
    if (idle) Cut(ClientIsSlow() ? Reason::kClientSlow : Reason::kCut);
    return;
  }
  if (x_.body_done || WaitsToGoOn()) {
    const SteadyTime from = std::max(x_.answer_due_from, x_.try_began);
    if (now - from < timeouts.per_try) return;
    return UpstreamFailed(
        Reason::kTimeout,
        StrCat("did not answer within ", InMs(timeouts.per_try), " (timeouts.per_try)"), false);
  }
  if (!idle) return;
  if (ClientIsSlow()) {
    return Answer(
        408, Reason::kClientSlow,
        StrCat("the request's body did not go on for ", InMs(timeouts.idle), " (timeouts.idle)"));
  }
  UpstreamFailed(
      Reason::kTimeout,
      StrCat("took nothing of the request for ", InMs(timeouts.idle), " (timeouts.idle)"), false);
}

}  // namespace leadsman::gateway
