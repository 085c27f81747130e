#include "rpc/envoy_server.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "rpc/grpc_call.h"

namespace leadsman::rpc {
namespace {

using net::Http2Stream;
using Field = Http2Stream::Field;
using intake::EnvoyExchange;
using intake::EnvoyIntake;
using intake::ProcessingMessage;

constexpr std::string_view kAccessLog =
    "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
constexpr std::string_view kExtProc = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";
constexpr size_t kShown = 128;            // of what the caller has sent, in an error
constexpr size_t kKept = 256 << 10;       // of a message's memory, until the next one
constexpr size_t kUnsentLimit = 4 << 20;  // of one stream, before its next message is read
constexpr std::chrono::milliseconds kTick{250};
constexpr std::chrono::milliseconds kDrainWait{1000};  // for exchanges under way
constexpr uint64_t kFullDuplexStreamed = 4;            // ProcessingMode.BodySendMode
constexpr uint64_t kGrpc = 5;

bool IsDuplex(uint64_t body_send_mode) {
  return body_send_mode == kFullDuplexStreamed || body_send_mode == kGrpc;
}

struct Context {
  EnvoyIntake& intake;
  const Clock& clock;
  std::atomic<int64_t> drain_began_ns{0};  ///< 0: it has not
};

/// One call of an Envoy, kept with its stream. Confined to the server's thread.
class EnvoyCall {
 public:
  void OnHead(Http2Stream& stream, Context& context);
  void OnBody(Http2Stream& stream);
  void OnAlarm(Http2Stream& stream);
  void OnClose(Http2Stream& stream);
  void End(Http2Stream& stream, const Status& status);
  void OnRefuse(Http2Stream& stream, const Status& why);
  /// The same for a stream without a head.
  static void RefuseUnknown(Http2Stream& stream, const Status& why) {
    SendStatus(stream, why, false);
  }

 private:
  static void SendStatus(Http2Stream& stream, const Status& status, bool head_sent);
  enum class Kind { kNone, kAccessLog, kExtProc };
  void SendHead(Http2Stream& stream);
  void TakeMessage(Http2Stream& stream, std::string_view message);
  void Finish(EnvoyIntake::End how);
  intake::EnvoyCounters::Way& way() {
    return kind_ == Kind::kAccessLog ? context_->intake.counters().access_log
                                     : context_->intake.counters().ext_proc;
  }

  Context* context_ = nullptr;
  Kind kind_ = Kind::kNone;
  bool ended_ = false;
  bool head_sent_ = false;
  bool counts_ = false;  ///< the exchange is one of those that are open
  bool observability_ = false;
  bool duplex_request_ = false, duplex_response_ = false;
  SteadyTime until_{};
  MessageReader reader_{
      MessageLimits{.wire = EnvoyServer::kMaxMessage, .expanded = EnvoyServer::kMaxMessage}};
  EnvoyExchange exchange_;
  std::string answer_;
};

void EnvoyCall::OnHead(Http2Stream& stream, Context& context) {
  context_ = &context;
  kind_ = Kind::kNone;
  ended_ = head_sent_ = counts_ = observability_ = duplex_request_ = duplex_response_ = false;
  if (stream.method() != "POST" || !stream.Header("content-type").starts_with("application/grpc")) {
    const Field fields[] = {{":status", "415"}, {"content-type", "text/plain"}};
    stream.SendHead(fields);
    stream.SendBody("this port takes Envoy's gRPC access log and ext_proc only\n");
    stream.SendTrailers({});
    ended_ = true;
    return;
  }
  const std::string_view path = stream.path();
  if (path != kAccessLog && path != kExtProc) {
    return End(stream,
               UnimplementedError(StrCat("unknown method ", CutUtf8(path, kShown),
                                         "; this port takes ", kAccessLog, " and ", kExtProc)));
  }
  reader_.SetCompression(ParseCompression(stream.Header("grpc-encoding")));
  kind_ = path == kAccessLog ? Kind::kAccessLog : Kind::kExtProc;
  ++way().streams;
  stream.patient = true;
  const SteadyTime now = context_->clock.SteadyNow();
  if (kind_ == Kind::kExtProc) {
    counts_ = context_->intake.Begin(exchange_);
    until_ = now + context_->intake.options().exchange_timeout;
  }
  SendHead(stream);
  stream.SetAlarm(now + kTick);
}

void EnvoyCall::SendHead(Http2Stream& stream) {
  if (std::exchange(head_sent_, true)) return;
  const Field fields[] = {{":status", "200"}, {"content-type", "application/grpc"}};
  stream.SendHead(fields);
}

void EnvoyCall::End(Http2Stream& stream, const Status& status) {
  if (std::exchange(ended_, true)) return;
  stream.SetAlarm(std::nullopt);
  SendStatus(stream, status, head_sent_);
}

void EnvoyCall::OnRefuse(Http2Stream& stream, const Status& why) {
  if (kind_ != Kind::kNone) ++way().malformed;
  Finish(EnvoyIntake::End::kCut);
  // As with a message that cannot be read: an error would fail the request that Envoy asks about.
  End(stream, stream.path() == kExtProc ? OkStatus() : why);
}

void EnvoyCall::SendStatus(Http2Stream& stream, const Status& status, bool head_sent) {
  const std::string code = std::to_string(static_cast<int>(status.code()));
  const std::string message = EncodeStatusMessage(status.message());
  std::vector<Field> fields;
  if (!head_sent) fields = {{":status", "200"}, {"content-type", "application/grpc"}};
  fields.push_back({"grpc-status", code});
  if (!status.ok()) fields.push_back({"grpc-message", message, false});
  stream.SendTrailers(fields);
}

void EnvoyCall::OnBody(Http2Stream& stream) {
  if (ended_ || kind_ == Kind::kNone) return;
  if (stream.unsent() > kUnsentLimit || (stream.unsent() > 0 && stream.crowded()))
    return stream.TellWhenSent();
  size_t size = 0;
  switch (reader_.Read(stream.body(), &size)) {
    case MessageReader::Outcome::kRefused:
      ++way().malformed;
      Finish(EnvoyIntake::End::kCut);
      // An error would fail the request that Envoy asks about; an orderly end lets it pass.
      return End(stream, kind_ == Kind::kExtProc ? OkStatus() : reader_.error());
    case MessageReader::Outcome::kNeedMore:
      if (!stream.half_closed()) return stream.ExpectBody(size);
      Finish(exchange_.complete() ? EnvoyIntake::End::kComplete : EnvoyIntake::End::kClientGone);
      if (kind_ == Kind::kAccessLog) {
        // StreamAccessLogsResponse, of which Envoy waits for one.
        const size_t at = (answer_.clear(), BeginMessage(answer_));
        EndMessage(answer_, at);
        stream.SendBody(answer_);
      }
      return End(stream, OkStatus());
    case MessageReader::Outcome::kMessage:
      TakeMessage(stream, reader_.message());
      if (reader_.kept_bytes() > kKept) reader_.ReleaseMemory();
      stream.Take(size);
      if (!ended_) stream.CallAgain();
      return;
  }
}

void EnvoyCall::TakeMessage(Http2Stream& stream, std::string_view message) {
  if (kind_ == Kind::kAccessLog) {
    [[maybe_unused]] bool counted = context_->intake.TakeAccessLog(message);
    return;
  }
  ProcessingMessage part;
  if (!intake::ReadProcessingMessage(message, part)) {
    ++way().malformed;
    Finish(EnvoyIntake::End::kCut);
    return End(stream, OkStatus());
  }
  observability_ = part.observability;
  duplex_request_ = duplex_request_ || IsDuplex(part.request_body_mode);
  duplex_response_ = duplex_response_ || IsDuplex(part.response_body_mode);
  // First of all the answer, for which the request waits.
  if (!observability_) {
    const bool of_request = part.part == ProcessingMessage::Part::kRequestBody;
    answer_.clear();
    const size_t at = BeginMessage(answer_);
    if (intake::AppendPassOn(part, of_request ? duplex_request_ : duplex_response_, answer_)) {
      EndMessage(answer_, at);
      stream.SendBody(answer_);
    }
  }
  if (counts_ && !context_->intake.Take(exchange_, part)) Finish(EnvoyIntake::End::kCut);
  if (counts_ && exchange_.complete()) Finish(EnvoyIntake::End::kComplete);
  // Envoy would keep the call open for its deferred_close_timeout.
  if (!counts_ && observability_) End(stream, OkStatus());
}

void EnvoyCall::Finish(EnvoyIntake::End how) {
  if (std::exchange(counts_, false)) context_->intake.Finish(exchange_, how);
}

void EnvoyCall::OnAlarm(Http2Stream& stream) {
  if (ended_) return;
  const SteadyTime now = context_->clock.SteadyNow();
  if (kind_ == Kind::kExtProc && now >= until_) {
    Finish(EnvoyIntake::End::kTimedOut);
    return End(stream, OkStatus());
  }
  const int64_t drain_began_ns = context_->drain_began_ns.load();
  if (drain_began_ns != 0 && stream.body().empty()) {
    const SteadyTime began{Duration(drain_began_ns)};
    if (kind_ == Kind::kAccessLog || now >= began + kDrainWait) {
      Finish(EnvoyIntake::End::kCut);
      return End(stream, kind_ == Kind::kExtProc
                             ? OkStatus()
                             : UnavailableError("the monitor is shutting down"));
    }
  }
  stream.SetAlarm(now + kTick);
}

void EnvoyCall::OnClose(Http2Stream& stream) {
  if (kind_ == Kind::kNone) return;
  Finish(stream.reset_by_client() ? EnvoyIntake::End::kClientGone : EnvoyIntake::End::kCut);
  --way().streams;
  kind_ = Kind::kNone;
  ended_ = true;
  if (answer_.capacity() > kKept) stream.DropState();
}

}  // namespace

struct EnvoyServer::Impl final : net::Http2Handler {
  Impl(EnvoyIntake& intake, const Clock& clock) : context{intake, clock} {}

  void OnHead(Http2Stream& stream) override { stream.State<EnvoyCall>().OnHead(stream, context); }
  void OnBody(Http2Stream& stream) override { stream.State<EnvoyCall>().OnBody(stream); }
  void OnClose(Http2Stream& stream, bool /*complete*/) override {
    if (auto* call = stream.state<EnvoyCall>()) call->OnClose(stream);
  }
  void OnAlarm(Http2Stream& stream) override { stream.State<EnvoyCall>().OnAlarm(stream); }
  void OnRefuse(Http2Stream& stream, const Status& why) override {
    if (stream.path().empty()) return EnvoyCall::RefuseUnknown(stream, why);
    stream.State<EnvoyCall>().OnRefuse(stream, why);
  }

  Context context;
  std::unique_ptr<net::Http2Server> server;  ///< last: its thread uses everything above
};

EnvoyServer::EnvoyServer() = default;
EnvoyServer::~EnvoyServer() = default;

Result<std::unique_ptr<EnvoyServer>> EnvoyServer::Start(EnvoyIntake& intake, const Clock& clock,
                                                        net::ListenerStore* listeners) {
  std::unique_ptr<EnvoyServer> server(new EnvoyServer());
  server->impl_ = std::make_unique<Impl>(intake, clock);
  net::Http2ServerOptions options;
  options.name = "envoy";
  options.address = intake.options().address;
  options.port = intake.options().port;
  options.listeners = listeners;
  options.max_body_bytes = kMaxMessage + kPrefixSize;
  options.max_streams = 10'000;
  // Each exchange of ext_proc in observability mode may end with one.
  options.max_resets_per_second = 100'000;
  options.http1_hint = "this port speaks gRPC (HTTP/2) only, with Envoy";
  ASSIGN_OR_RETURN(server->impl_->server,
                   net::Http2Server::Start(std::move(options), *server->impl_));
  return server;
}

uint16_t EnvoyServer::port() const { return impl_->server->port(); }
net::HttpServerStats EnvoyServer::stats() const { return impl_->server->stats(); }
void EnvoyServer::BeginDrain(std::chrono::milliseconds grace) {
  int64_t not_yet = 0;
  const int64_t now = impl_->context.clock.SteadyNow().time_since_epoch().count();
  impl_->context.drain_began_ns.compare_exchange_strong(not_yet, std::max<int64_t>(now, 1));
  impl_->server->BeginDrain(grace);
}
bool EnvoyServer::AwaitDrained(std::chrono::milliseconds wait) {
  return impl_->server->AwaitDrained(wait);
}

}  // namespace leadsman::rpc
