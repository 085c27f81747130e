#include "gateway/h2_exchange.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "gateway/ended_request.h"
#include "gateway/forward_head.h"
#include "gateway/grpc_words.h"
#include "gateway/outcome.h"
#include "net/http_status.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;

/// Of a request's body, to send it again.
constexpr size_t kMaxReplay = 64 << 10;
constexpr milliseconds kFirstBackoff{20};
/// A request that is answered already may still end.
constexpr milliseconds kEarlyPatience{500};

std::string InMs(milliseconds time) { return StrCat(time.count(), " ms"); }

bool IsPseudo(std::string_view name) { return name.starts_with(':'); }

}  // namespace

H2Exchange::H2Exchange(DownstreamH2& client, H2Stream& stream)
    : client_(client), worker_(client.worker()), stream_(&stream) {}

H2Exchange::~H2Exchange() = default;

// The request's head
// ---------------------------------------------------------------------------------------------------------------

/// What nghttp2 lets pass has each pseudo-field at most once, in front, and no field of a connection.
bool H2Exchange::ReadHead(H2Fields fields, net::HttpRequest& request, std::string_view& authority) {
  std::string_view host;
  for (const H2Field& field : fields) {
    if (field.name == ":method") {
      request.method = field.value;
    } else if (field.name == ":path") {
      request.target = field.value;
    } else if (field.name == ":authority") {
      authority = field.value;
    } else if (field.name == ":scheme") {
      // Ours is that of the version's connections.
    } else if (IsPseudo(field.name)) {
      return false;
    } else {
      if (field.name == "host" && host.empty()) host = field.value;
      request.fields.push_back({field.name, field.value});
    }
  }
  if (authority.empty()) authority = host;
  request.path = request.target.substr(0, request.target.find('?'));
  return true;
}

void H2Exchange::Begin(H2Fields fields, bool end) {
  started_ = worker_.shared().clock.SteadyNow();
  waiting_since_ = moved_at_ = worker_.now();
  request_ended_ = end;
  net::HttpRequest request;
  std::string_view authority;
  const bool known = ReadHead(fields, request, authority);
  grpc_ = IsGrpc(request.Header("content-type"));
  is_head_ = request.method == "HEAD";
  if (grpc_) {
    if (const auto timeout = ParseGrpcTimeout(request.Header("grpc-timeout")))
      deadline_ = worker_.now() + *timeout;
  }
  WorkerCounters& counters = worker_.counters();
  auto refuse = [&](int status, Reason reason, const std::string& message) {
    (reason == Reason::kNoRoute ? counters.no_route : counters.bad_requests).Add();
    Answer(status, reason, message);
  };
  if (!known || request.method == "CONNECT")
    return refuse(501, Reason::kBadRequest,
                  "CONNECT is not supported: this is a gateway to models");
  if (!IsTarget(request.method, request.target))
    return refuse(400, Reason::kBadRequest, "the path must begin with /, and have no fragment (#)");
  if (authority.find('@') != std::string_view::npos)
    return refuse(400, Reason::kBadRequest, "the authority must not name a user");
  const RouteTable::Route* const route = worker_.table().routes.Find(authority, request);
  if (route == nullptr) {
    return refuse(404, Reason::kNoRoute,
                  StrCat("no route fits ", CutUtf8(ToUtf8(authority), 100),
                         CutUtf8(ToUtf8(request.path), 200), " (gateway.routes)"));
  }
  const Service& service = *worker_.table().services[route->service];
  const Choice choice = ChooseVersion(service, request, client_.address(), worker_.rng());
  if (choice.version == nullptr)
    return refuse(400, Reason::kBadRequest, WhyNoVersion(service, request));
  version_ = worker_.Hold(*choice.version);
  drawn_ = choice.drawn;
  using Predictions = RouteOptions::Predictions;
  const Predictions which = route->options.predictions;
  prediction_ =
      which == Predictions::kAll || (which == Predictions::kPosts && request.method == "POST");
  idempotent_ = service.options.retries.posts || IsIdempotent(request.method);
  keeps_body_ = service.options.retries.max > 0;
  id_.assign(request.Header("x-request-id").substr(0, 256));
  if (service.options.protocol == ServiceOptions::Protocol::kHttp1) {
    counters.bad_requests.Add();
    return Answer(502, Reason::kProtocol,
                  StrCat(service.options.name,
                         " speaks HTTP/1.1, and is reached by HTTP/1.1 alone (protocol)"));
  }
  AppendHead(request, fields, authority, *version_, head_);
  if (prediction_) BeginKeeping(request, fields, authority, *route);
  version_->service->budget.Begin();
  begun_ = true;
  Connect();
}

void H2Exchange::RefuseHead() {
  started_ = worker_.shared().clock.SteadyNow();
  worker_.counters().bad_requests.Add();
  Answer(431, Reason::kBadRequest,
         StrCat("the request's head is larger than ", worker_.options().limits.max_header,
                " bytes (gateway.limits.max_header)"));
}

/// As it is passed on, to a version.
void H2Exchange::AppendHead(const net::HttpRequest& request, H2Fields fields,
                            std::string_view authority, const Version& version,
                            FieldList& head) const {
  const bool append = client_.forwarded() == ListenerOptions::Forwarded::kAppend;
  head.Add(":method", request.method);
  head.Add(":scheme", version.tls ? "https" : "http");
  head.Add(":authority", authority.empty() ? version.endpoints[0]->name : authority);
  head.Add(":path", request.target);
  std::string forwarded_for;
  std::string_view proto;
  for (const H2Field& field : fields) {
    if (IsPseudo(field.name) || field.name == "host") continue;
    if (field.name == "te") {  // gRPC's servers insist on it
      if (field.value == "trailers") head.Add("te", "trailers");
      continue;
    }
    if (!IsForwarded(field.name)) continue;
    if (field.name == "x-forwarded-for") {
      if (append && !field.value.empty()) forwarded_for.append(field.value).append(", ");
      continue;
    }
    if (field.name == "x-forwarded-proto") {
      if (append && proto.empty()) proto = field.value;
      continue;
    }
    // Another connection has another table, which all clients share: what is secret is not to be in it, nor what changes with
    // every request to fill it.
    const bool secret = field.secret || field.name == "authorization" || field.name == "cookie";
    head.Add(field.name, field.value, secret);
  }
  forwarded_for += client_.address();
  head.Add("x-forwarded-for", forwarded_for);
  if (proto.empty()) proto = client_.secure() ? "https" : "http";
  head.Add("x-forwarded-proto", proto);
}

/// Of a prediction, for who reads it and for the mirror. Of calls only those are copied to a mirror of which it is known that they are
/// predictions, and of one message.
void H2Exchange::BeginKeeping(const net::HttpRequest& request, H2Fields fields,
                              std::string_view authority, const RouteTable::Route& route) {
  if (grpc_) call_ = GrpcMethodOf(request.path);
  const auto length = static_cast<uint64_t>(
      std::max<int64_t>(ParseInt64(request.Header("content-length")).value_or(0), 0));
  if (!request_ended_) kept_.Begin(route, request, length, call_);
  if (grpc_ && call_ == GrpcMethod::kNone) return;
  kept_.SetShadow(worker_.shadows().DrawH2(*version_, request, length, call_, route.source,
                                           [&](FieldList& head, const Version& version) {
                                             AppendHead(request, fields, authority, version, head);
                                           }));
}

// The request's body
// ---------------------------------------------------------------------------------------------------------------

void H2Exchange::CameBody(std::string_view bytes) {
  body_bytes_ += bytes.size();
  if (refused_) return stream_->Consumed(bytes.size());
  // A call is a stream of messages, each of which its server limits.
  const size_t max_body = worker_.options().limits.max_body;
  if (!grpc_ && max_body > 0 && body_bytes_ > max_body) {
    stream_->Consumed(bytes.size());
    return Answer(
        413, Reason::kTooLarge,
        StrCat("the request's body is larger than ", max_body, " bytes (gateway.limits.max_body)"));
  }
  kept_.Request(bytes);
  if (up_ != nullptr && !keeps_body_) {  // nothing waits in front of it
    body_lost_ = true;
    return up_->Send(bytes);
  }
  body_.append(bytes);
  PassOn();
}

void H2Exchange::CameTrailers(H2Fields fields) {
  for (const H2Field& field : fields) {
    if (!IsPseudo(field.name)) trailers_.Add(field.name, field.value, field.secret);
  }
}

void H2Exchange::RequestEnded() {
  request_ended_ = true;
  answer_due_from_ = worker_.now();
  PassOn();
}

/// What has come, to the upstream. It takes it when it can.
void H2Exchange::PassOn() {
  if (up_ == nullptr || refused_) return;
  up_->Send(std::string_view(body_).substr(passed_));
  passed_ = body_.size();
  if (!keeps_body_ || body_.size() > kMaxReplay) {
    keeps_body_ = false;
    body_lost_ = body_lost_ || !body_.empty();
    body_.clear();
    if (body_.capacity() > kMaxReplay) body_.shrink_to_fit();
    passed_ = 0;
  }
  if (!request_ended_ || up_->ended_here()) return;
  trailers_.empty() ? up_->SendEnd() : up_->SendTrailers(trailers_.View());
}

/// So much of the body is on its way: the client may send as much again.
void H2Exchange::UpstreamTook(size_t bytes) {
  taken_ += bytes;
  if (taken_ <= credited_) return;
  const uint64_t more = taken_ - std::exchange(credited_, taken_);
  if (stream_ != nullptr) stream_->Consumed(static_cast<size_t>(more));
}

// The upstream
// ---------------------------------------------------------------------------------------------------------------

std::string H2Exchange::Upstream() const {
  return StrCat(version_->service->options.name, " version ", version_->number,
                tried_ != nullptr ? StrCat(" at ", tried_->name) : std::string());
}

void H2Exchange::Connect() {
  waiting_since_ = worker_.now();
  ++tries_;
  ++serial_;
  UpstreamsH2& upstreams = worker_.upstreams_h2();
  // Not before those that wait already: who asks much would keep them waiting.
  if (!upstreams.SomebodyWaits(*version_) && TryEndpoints()) return;
  const UpstreamLimits& limits = version_->service->options.limits;
  // Counted first: several threads may come at once.
  if (version_->pending.fetch_add(1) >= limits.max_pending) {
    version_->pending.fetch_sub(1);
    return Answer(503, Reason::kOverloaded,
                  StrCat(version_->service->options.name, " version ", version_->number,
                         " is busy: each of its endpoints has ", limits.max_connections,
                         " requests, and ", limits.max_pending, " wait"));
  }
  place_ = upstreams.Wait(*version_, *this);
  pends_ = true;
}

void H2Exchange::StopWaiting() {
  if (!std::exchange(pends_, false)) return;
  version_->pending.fetch_sub(1);
  worker_.upstreams_h2().StopWaiting(*version_, place_);
}

bool H2Exchange::OnPending() { return TryEndpoints(); }

/// False when none of them has a place to give.
bool H2Exchange::TryEndpoints() {
  Endpoint* const picked = version_->Pick(worker_.rng(), worker_.now(), tried_);
  if (picked == nullptr) {
    Answer(503, Reason::kNoEndpoint,
           StrCat(version_->service->options.name, " version ", version_->number, ": ",
                  version_->WhyNone(worker_.now())));
    return true;
  }
  if (TryEndpoint(*picked)) return true;
  for (const auto& other : version_->endpoints) {
    if (other.get() != picked && other->health.Available(worker_.now()) && TryEndpoint(*other))
      return true;
  }
  return false;
}

bool H2Exchange::TryEndpoint(Endpoint& endpoint) {
  // Of HTTP/2 it is the requests that are limited: many share a connection.
  if (endpoint.active.fetch_add(1) >= version_->service->options.limits.max_connections) {
    endpoint.active.fetch_sub(1);
    return false;
  }
  StopWaiting();
  tried_ = active_ = &endpoint;
  UseConnection();
  return true;
}

void H2Exchange::UseConnection() {
  for (;;) {
    connection_ = worker_.upstreams_h2().Get(version_, *tried_);
    if (connection_->connecting()) {
      connecting_ = true;
      return connection_->Wait(*this);  // which may come back at once
    }
    const auto fields = head_.View();
    const bool all = request_ended_ && body_.empty() && trailers_.empty();
    up_ = connection_->Open(up_user_, fields, all);
    if (up_ != nullptr) break;
    connection_->Retire();
  }
  try_began_ = worker_.now();
  connection_in_ = connection_->bytes_in();
  if (request_ended_) answer_due_from_ = try_began_;
  active_->requests.fetch_add(1, std::memory_order_relaxed);
  passed_ = 0;
  taken_ = 0;
  PassOn();
}

void H2Exchange::OnConnected() {
  connecting_ = false;
  UseConnection();
}

void H2Exchange::OnNotConnected(Reason reason, const std::string& why, bool endpoint_at_fault) {
  connecting_ = false;
  UpstreamFailed(reason, why, true, endpoint_at_fault);
}

void H2Exchange::LetUpstreamGo() {
  if (version_ != nullptr) StopWaiting();
  if (std::exchange(connecting_, false)) connection_->StopWaiting(*this);
  if (up_ != nullptr) {
    H2Stream* const up = std::exchange(up_, nullptr);
    up->Forget();
    up->Reset(H2Error::kCancel);
    connection_->GivenUp(worker_.now());
  }
  connection_.reset();
  if (active_ == nullptr) return;
  active_->active.fetch_sub(1, std::memory_order_relaxed);
  active_ = nullptr;
  worker_.upstreams_h2().Freed(*version_);
}

bool H2Exchange::MayRetry(Reason reason, bool nothing_taken) {
  const RetryOptions& options = version_->service->options.retries;
  if (tries_ > options.max || reason == Reason::kBadAnswer || refused_) return false;
  if (body_lost_ || answered_) return false;
  if (!nothing_taken && !idempotent_) return false;
  if (retrying_) return true;  // it holds its place
  retrying_ = version_->service->budget.TryRetry(options);
  if (!retrying_) worker_.CountersOf(*version_).retries_refused.Add();
  return retrying_;
}

/// `nothing_taken`: the upstream has not looked at the request.
void H2Exchange::UpstreamFailed(Reason reason, const std::string& why, bool nothing_taken,
                                bool endpoint_at_fault) {
  Count(reason);
  if (endpoint_at_fault) version_->OnResult(*tried_, true, why, worker_.now());
  LetUpstreamGo();
  if (!MayRetry(reason, nothing_taken))
    return Answer(IsTimeout(reason) ? 504 : 502, reason, StrCat(Upstream(), " ", why));
  worker_.CountersOf(*version_).retries.Add();
  reset_.reset();
  // Not at once, and not all of them at the same time.
  waiting_since_ = worker_.now();
  backing_off_ = true;
  const milliseconds most = kFirstBackoff * (1 << std::min(tries_, 6));
  const auto wait =
      version_->endpoints.size() > 1
          ? milliseconds(0)
          : most / 2 +
                milliseconds(worker_.rng().Below(static_cast<uint64_t>(most.count() / 2 + 1)));
  worker_.loop().At(worker_.now() + wait, [weak = weak_from_this(), serial = ++serial_] {
    const auto self = weak.lock();
    if (!self || self->serial_ != serial || !std::exchange(self->backing_off_, false)) return;
    self->Connect();
  });
}

// The answer
// ---------------------------------------------------------------------------------------------------------------

void H2Exchange::CameAnswer(H2Fields fields, bool end) {
  if (stream_ == nullptr) return;
  int status = 0;
  std::vector<H2Field> passed;
  passed.reserve(fields.size());
  for (const H2Field& field : fields) {
    if (field.name == ":status") status = static_cast<int>(ParseInt64(field.value).value_or(0));
    if (field.name == "grpc-status" && grpc_) grpc_status_ = ParseGrpcStatus(field.value);
    if (IsPseudo(field.name) || IsForwarded(field.name)) passed.push_back(field);
  }
  if (status < 200) {
    if (status != 101) stream_->SendInterim(passed);
    return;
  }
  answered_ = true;
  status_ = status;
  if (std::exchange(retrying_, false)) version_->service->budget.RetryEnded();
  if (IsFailure(status_))
    version_->OnResult(*tried_, true, StrCat("answered ", status_), worker_.now());
  answer_ended_ = end;
  if (kept_.any()) {
    const bool framed = call_ != GrpcMethod::kNone && IsGrpc(ValueOf(fields, "content-type"));
    const int64_t length = ParseInt64(ValueOf(fields, "content-length")).value_or(0);
    kept_.BeginAnswer(
        {.content_type = ValueOf(fields, "content-type"),
         .content_encoding = ValueOf(fields, framed ? "grpc-encoding" : "content-encoding"),
         .json_bytes = ValueOf(fields, "inference-header-content-length"),
         .length = is_head_ ? 0 : static_cast<uint64_t>(std::max<int64_t>(length, 0)),
         .call = framed ? call_ : GrpcMethod::kNone});
  }
  stream_->SendHead(passed, end);
}

void H2Exchange::AnswerTooLarge() {
  UpstreamFailed(Reason::kBadAnswer,
                 StrCat("sent a head or trailers of more than ",
                        worker_.options().limits.max_header, " bytes"),
                 false);
}

void H2Exchange::CameAnswerBody(std::string_view bytes) {
  answer_bytes_ += bytes.size();
  if (stream_ != nullptr) stream_->Send(bytes);
  // What a failed one says is no prediction.
  if (status_ < 400) kept_.Answer(bytes);
}

void H2Exchange::CameAnswerTrailers(H2Fields fields) {
  if (stream_ == nullptr) return;
  for (const H2Field& field : fields) {
    if (field.name == "grpc-status" && grpc_) grpc_status_ = ParseGrpcStatus(field.value);
  }
  answer_ended_ = true;
  stream_->SendTrailers(fields);
}

void H2Exchange::AnswerEnded() {
  answer_ended_ = true;
  if (stream_ != nullptr) stream_->SendEnd();
}

/// The client has taken so much of the answer: the upstream may send as much again.
void H2Exchange::ClientTook(size_t bytes) {
  client_took_ += bytes;
  if (up_ != nullptr) up_->Consumed(bytes);
}

void H2Exchange::UpstreamClosed(H2Error code) {
  up_ = nullptr;
  const auto connection = connection_;
  if (answer_ended_) return LetUpstreamGo();
  if (code == H2Error::kLost) {
    const std::string why = connection->why().empty() ? "ended the connection" : connection->why();
    if (answered_) return UpstreamFailed(Reason::kCut, why, false);
    return UpstreamFailed(Reason::kClosed, StrCat(why, " without an answer"), false);
  }
  const bool untouched = code == H2Error::kRefusedStream && !answered_;
  if (!untouched) reset_ = code;
  UpstreamFailed(answered_ ? Reason::kCut : Reason::kClosed,
                 untouched
                     ? std::string("did not take the request (GOAWAY or REFUSED_STREAM)")
                     : StrCat("reset the stream (HTTP/2 error ", static_cast<uint32_t>(code), ")"),
                 untouched, !untouched && code != H2Error::kCancel);
}

// Answers of the gateway's own
// ---------------------------------------------------------------------------------------------------------------

void H2Exchange::Answer(int status, Reason reason, const std::string& message) {
  if (!IsOfATry(reason)) Count(reason);
  LetUpstreamGo();
  refused_ = true;
  waiting_since_ = worker_.now();
  reason_ = reason;
  if (stream_ == nullptr) return;
  if (reset_) {
    if (!answered_) status_ = status;
    return stream_->Reset(*reset_);
  }
  const StatusCode code = GrpcStatusOf(status, reason);
  if (answered_) return Cut(reason, message);
  status_ = grpc_ ? net::HttpStatusOf(code) : status;
  if (grpc_) {
    grpc_status_ = code;
    const std::string number = std::to_string(static_cast<int>(code));
    const std::string text = GrpcMessage(message);
    const H2Field fields[] = {{":status", "200"},
                              {"content-type", "application/grpc"},
                              {"grpc-status", number},
                              {"grpc-message", text, true}};
    return stream_->SendHead(fields, true);
  }
  const std::string body =
      ErrorBody(reason, message, version_.get(), reason < Reason::kNoEndpoint ? tried_ : nullptr);
  const std::string number = std::to_string(status);
  const std::string length = std::to_string(body.size());
  std::vector<H2Field> fields = {
      {":status", number}, {"content-type", "application/json"}, {"content-length", length}};
  if (status == 503) fields.push_back({"retry-after", "1"});
  stream_->SendHead(fields, is_head_);
  if (is_head_) return;
  stream_->Send(body);
  stream_->SendEnd();
}

/// An answer has begun: a call still can be told why it ends, others only that it does.
void H2Exchange::Cut(Reason reason, const std::string& message) {
  // Behind what the client does not take, no words would reach it.
  if (reason == Reason::kClientSlow) return stream_->Reset(H2Error::kCancel);
  if (!grpc_ || stream_->ended_here()) return stream_->Reset(H2Error::kInternal);
  const StatusCode code = GrpcStatusOf(0, reason);
  grpc_status_ = code;
  const std::string number = std::to_string(static_cast<int>(code));
  const std::string text = GrpcMessage(message);
  const H2Field fields[] = {{"grpc-status", number}, {"grpc-message", text, true}};
  stream_->SendTrailers(fields);
}

void H2Exchange::Count(Reason reason) {
  if (version_ != nullptr) worker_.CountersOf(*version_).errors[static_cast<size_t>(reason)].Add();
}

// The end
// ---------------------------------------------------------------------------------------------------------------

void H2Exchange::Over(H2Error code) {
  const auto self = shared_from_this();
  stream_ = nullptr;
  if (code != H2Error::kNone && reason_ == Reason::kNone) {
    reason_ = Reason::kClientGone;
    Count(reason_);
  }
  LetUpstreamGo();
  Record();
  if (begun_) {
    version_->service->budget.End();
    if (std::exchange(retrying_, false)) version_->service->budget.RetryEnded();
  }
  ++serial_;
  backing_off_ = false;
  client_.Remove(*this);
}

StatusCode H2Exchange::Outcome() const {
  // Who sets a deadline and goes when it has come, has waited too long.
  if (reason_ == Reason::kClientGone)
    return deadline_ && worker_.now() >= *deadline_ ? StatusCode::kDeadlineExceeded
                                                    : StatusCode::kCancelled;
  if (grpc_ && grpc_status_) return *grpc_status_;
  if (grpc_ && reason_ == Reason::kNone && status_ < 400) return StatusCode::kUnknown;
  return OutcomeOf(status_, reason_);
}

void H2Exchange::Record() {
  if (version_ == nullptr) return;
  const StatusCode outcome = Outcome();
  const bool unavailable = grpc_ && reason_ == Reason::kNone && outcome == StatusCode::kUnavailable;
  if (unavailable && tried_ != nullptr)
    version_->OnResult(*tried_, true, "answered UNAVAILABLE", worker_.now());
  const int status = grpc_ && status_ < 300 ? net::HttpStatusOf(outcome) : status_;
  auto event = CountEnded(worker_, {.version = *version_,
                                    .tried = tried_,
                                    .started = started_,
                                    .reason = reason_,
                                    .status = status,
                                    .answer_begun = answered_,
                                    .failed = unavailable || IsFailure(status_),
                                    .prediction = prediction_,
                                    .drawn = drawn_,
                                    .request_bytes = body_bytes_,
                                    .answer_bytes = answer_bytes_,
                                    .id = id_,
                                    .outcome = outcome});
  if (event) kept_.Tell(*event);
  SendShadow(outcome);
}

void H2Exchange::SendShadow(StatusCode outcome) noexcept {
  kept_.SendShadow(*version_, FirstOutcome(tries_, outcome), id_, started_,
                   request_ended_ && IsComparable(tries_, reason_));
}

// Time
// ---------------------------------------------------------------------------------------------------------------

bool H2Exchange::ClientIsSlow() const {
  if (up_ == nullptr || stream_ == nullptr) return false;
  if (stream_->unsent() > 0) return true;
  return !request_ended_ && up_->unsent() == 0;
}

/// False when it has been ended.
bool H2Exchange::Timely(SteadyTime now) {
  const TimeoutOptions& timeouts = version_->service->options.timeouts;
  if (deadline_ && now >= *deadline_) {
    Answer(504, Reason::kTotalTimeout,
           StrCat(Upstream(), " did not answer within the call's deadline"));
    return false;
  }
  if (timeouts.total.count() > 0 && now - started_ >= timeouts.total) {
    if (tried_ != nullptr && !answered_)
      version_->OnResult(*tried_, true, "no answer within timeouts.total", now);
    Answer(
        504, Reason::kTotalTimeout,
        StrCat(Upstream(), " did not answer within ", InMs(timeouts.total), " (timeouts.total)"));
    return false;
  }
  return true;
}

void H2Exchange::OnSweep(SteadyTime now) {
  if (stream_ == nullptr) return;
  if (stream_->answered_early()) {
    if (!early_since_) early_since_ = now;
    if (worker_.draining() || now - *early_since_ >= kEarlyPatience) stream_->StopClient();
    return;
  }
  if (refused_) {
    // Nor for ever does it wait to be told.
    if (now - waiting_since_ >= worker_.options().limits.idle_timeout)
      stream_->Reset(H2Error::kCancel);
    return;
  }
  if (!answer_ended_ && !Timely(now)) return;
  const TimeoutOptions& timeouts = version_->service->options.timeouts;
  if (pends_ && now - waiting_since_ >= timeouts.connect) {
    return Answer(503, Reason::kOverloaded,
                  StrCat(Upstream(), " is busy: no place became free within ",
                         InMs(timeouts.connect), " (timeouts.connect)"));
  }
  const uint64_t moved = body_bytes_ + taken_ + answer_bytes_ + client_took_;
  if (moved != std::exchange(moved_, moved)) moved_at_ = now;
  if (up_ == nullptr && !answer_ended_) return;
  const bool idle = now - std::max(moved_at_, try_began_) >= timeouts.idle;
  if (answered_) {
    if (!idle) return;
    const bool slow = ClientIsSlow() || answer_ended_;
    if (!slow) {
      Count(Reason::kCut);
      version_->OnResult(*tried_, true, "an answer did not go on", now);
    }
    return Answer(504, slow ? Reason::kClientSlow : Reason::kCut,
                  StrCat("nothing moved for ", InMs(timeouts.idle), " (timeouts.idle)"));
  }
  auto timed_out = [&](const std::string& why) {
    // It may be the connection that is dead, and all requests over it would wait as long.
    if (connection_->bytes_in() == connection_in_) connection_->Retire();
    UpstreamFailed(Reason::kTimeout, why, false);
  };
  if (request_ended_ && up_->unsent() == 0) {
    if (now - std::max(answer_due_from_, try_began_) >= timeouts.per_try)
      timed_out(StrCat("did not answer within ", InMs(timeouts.per_try), " (timeouts.per_try)"));
    return;
  }
  if (!idle) return;
  if (ClientIsSlow()) {
    return Answer(
        408, Reason::kClientSlow,
        StrCat("the request did not go on for ", InMs(timeouts.idle), " (timeouts.idle)"));
  }
  timed_out(StrCat("took nothing of the request for ", InMs(timeouts.idle), " (timeouts.idle)"));
}

}  // namespace leadsman::gateway
