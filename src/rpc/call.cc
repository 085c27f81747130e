#include "rpc/call.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "serving/request_guard.h"

namespace leadsman::rpc {
namespace {

using net::Http2Stream;
using Field = Http2Stream::Field;

constexpr size_t kUnsentLimit = 4 << 20;  // of one stream, before its next message is read
constexpr std::chrono::milliseconds kTick{250};
constexpr size_t kTraceText = 512;
constexpr size_t kKept = 256 << 10;  // what a stream that waits to be used again may hold on to
constexpr size_t kShown = 128;       // of what the caller has sent, in an error
constexpr std::string_view kAccepted = "identity,deflate,gzip";

SteadyTime Now() { return std::chrono::steady_clock::now(); }

/// Of calls with one request, which is a prediction.
bool IsUnaryPrediction(MethodKind kind) {
  return IsPrediction(kind) && kind != MethodKind::kV2StreamInfer;
}

TfServingApi ApiOf(MethodKind kind) {
  switch (kind) {
    case MethodKind::kPredict:
      return TfServingApi::kPredict;
    case MethodKind::kClassify:
      return TfServingApi::kClassify;
    case MethodKind::kRegress:
      return TfServingApi::kRegress;
    default:
      return TfServingApi::kUncounted;
  }
}

Status PastDeadline() {
  return DeadlineExceededError("the call's deadline (grpc-timeout) has passed");
}

}  // namespace

// The call
// ------------------------------------------------------------------------------------------------------------------

void Call::OnHead(Http2Stream& stream, ServiceContext& context) {
  terms_.context = &context;
  terms_.method = nullptr;
  terms_.request_id.clear();
  terms_.deadline.reset();
  ended_ = head_sent_ = busy_ = task_waits_ = false;
  reader_.SetLimits(context.messages);
  prediction_.request_id.clear();
  prediction_.trace.Clear();
  response_.clear();
  if (!TakeHeaders(stream)) return;
  if (!IsStream()) return;
  stream.patient = true;
  last_active_ = Now();
  if (terms_.method->kind == MethodKind::kV2StreamInfer) {
    if (!infer_) infer_ = std::make_unique<StreamInfer>();
    infer_->Begin(terms_, stream.Header("triton_grpc_error") == "true", [this](Http2Stream& s) {
      last_active_ = Now();
      PumpStream(s);
    });
  }
  SendHead(stream);
  Tick(stream);
}

bool Call::TakeHeaders(Http2Stream& stream) {
  std::string_view type = stream.Header("content-type");
  if (stream.method() != "POST" || !type.starts_with("application/grpc")) {
    const Field fields[] = {{":status", "415"}, {"content-type", "text/plain"}};
    stream.SendHead(fields);
    stream.SendBody("this port speaks gRPC only: POST with the content type application/grpc\n");
    stream.SendTrailers({});
    ended_ = true;
    return false;
  }
  std::string_view id = stream.Header("x-request-id");
  if (IsAcceptableRequestId(id)) terms_.request_id.assign(id);
  terms_.method = FindMethod(stream.path());
  if (terms_.method == nullptr) {
    End(stream, UnimplementedError(StrCat(
                    "unknown method ", CutUtf8(stream.path(), kShown),
                    "; this server's services are told by grpc.reflection.v1.ServerReflection")));
    return false;
  }
  if (terms_.context->authorize) {
    terms_.authorization.assign(stream.Header("authorization"));
    const CalledModel model{.to_come = NamesModel(*terms_.method), .name = {}};
    Status allowed = terms_.context->authorize(terms_.authorization, terms_.method->path, model);
    if (!allowed.ok()) {
      End(stream, allowed);
      return false;
    }
  }
  const Compression compression = ParseCompression(stream.Header("grpc-encoding"));
  if (compression == Compression::kUnknown) {
    End(stream, UnimplementedError(StrCat("grpc-encoding '",
                                          CutUtf8(stream.Header("grpc-encoding"), kShown),
                                          "' is not supported; use one of ", kAccepted)));
    return false;
  }
  reader_.SetCompression(compression);
  std::string_view timeout = stream.Header("grpc-timeout");
  if (timeout.empty()) return true;
  std::optional<std::chrono::nanoseconds> left = ParseTimeout(timeout);
  if (!left) {
    End(stream,
        InvalidArgumentError(StrCat("malformed grpc-timeout '", CutUtf8(timeout, kShown), "'")));
    return false;
  }
  terms_.deadline = stream.received() + *left;
  stream.SetAlarm(terms_.deadline);
  return true;
}

/// The request's id and the caller's trace, as HTTP answers have them.
void Call::AddIdentity() {
  const bool prediction = terms_.method != nullptr && IsUnaryPrediction(terms_.method->kind);
  const std::string& id =
      prediction && !prediction_.request_id.empty() ? prediction_.request_id : terms_.request_id;
  if (!id.empty()) fields_.push_back({"x-request-id", id, false});
  if (!prediction || !prediction_.trace.valid()) return;
  field_text_.clear();
  field_text_.reserve(kTraceText);  // the fields point into it
  prediction_.trace.ForEachAnswerField([this](std::string_view name, std::string_view value) {
    const size_t at = field_text_.size();
    if (at + value.size() > field_text_.capacity()) return;
    field_text_.append(value);
    fields_.push_back({name, std::string_view(field_text_).substr(at), false});
  });
}

void Call::SendHead(Http2Stream& stream) {
  if (std::exchange(head_sent_, true)) return;
  fields_.assign({{":status", "200"},
                  {"content-type", "application/grpc"},
                  {"grpc-accept-encoding", kAccepted}});
  AddIdentity();
  stream.SendHead(fields_);
}

void Call::End(Http2Stream& stream, const Status& status) {
  if (std::exchange(ended_, true)) return;
  stream.SetAlarm(std::nullopt);
  if (status.ok()) {
    SendHead(stream);
    const Field fields[] = {{"grpc-status", "0"}};
    return stream.SendTrailers(fields);
  }
  const std::string code = std::to_string(static_cast<int>(status.code()));
  const std::string message = EncodeStatusMessage(status.message());
  if (head_sent_) {
    const Field fields[] = {{"grpc-status", code}, {"grpc-message", message, false}};
    return stream.SendTrailers(fields);
  }
  head_sent_ = true;
  fields_.assign({{":status", "200"},
                  {"content-type", "application/grpc"},
                  {"grpc-status", code},
                  {"grpc-message", message, false},
                  {"grpc-accept-encoding", kAccepted}});
  AddIdentity();
  stream.SendTrailers(fields_);
}

void Call::Refuse(Http2Stream& stream, const Status& status) {
  const std::string code = std::to_string(static_cast<int>(status.code()));
  const std::string message = EncodeStatusMessage(status.message());
  const Field fields[] = {{":status", "200"},
                          {"content-type", "application/grpc"},
                          {"grpc-status", code},
                          {"grpc-message", message, false}};
  stream.SendTrailers(fields);
}

void Call::OnBody(Http2Stream& stream) {
  if (ended_ || terms_.method == nullptr) return;
  if (IsStream()) return PumpStream(stream);
  if (std::exchange(task_waits_, false)) return Predict(stream, {});
  if (terms_.method->kind == MethodKind::kWatch && head_sent_) return;
  size_t size = 0;
  // Inflated once, when all of it is there.
  switch (stream.half_closed() ? reader_.Read(stream.body(), &size)
                               : reader_.Measure(stream.body(), &size)) {
    case MessageReader::Outcome::kRefused:
      return End(stream, reader_.error());
    case MessageReader::Outcome::kNeedMore:
      if (stream.half_closed()) {
        return End(stream, InternalError(stream.body().empty()
                                             ? "the call ended without a message"
                                             : "the call ended in the middle of a message"));
      }
      return stream.ExpectBody(size);
    case MessageReader::Outcome::kMessage:
      break;
  }
  if (size != stream.body().size())
    return End(stream, UnimplementedError("a unary call has one message, here came more"));
  if (!stream.half_closed()) return;
  RunUnary(stream, reader_.message());
}

void Call::RunUnary(Http2Stream& stream, std::string_view message) {
  task_ = 0;
  if (IsUnaryPrediction(terms_.method->kind)) return Predict(stream, message);
  prediction_.request_id.clear();
  if (terms_.method->kind == MethodKind::kWatch) {
    Result<std::string> service = HealthService(message);
    if (!service.ok()) return End(stream, service.status());
    watched_ = std::move(service).value();
    last_health_ = Health::kUnknown;
    SendHead(stream);
    return WatchHealth(stream);
  }
  if (terms_.method->kind == MethodKind::kLoadModel) return LoadModel(stream, message);
  if (terms_.method->kind == MethodKind::kReload) return ReloadModels(stream, message);
  response_.clear();
  const size_t at = BeginMessage(response_);
  Status status = Guarded("answered", [&] { return AnswerUnary(message); });
  if (!status.ok()) return End(stream, status);
  EndMessage(response_, at);
  SendHead(stream);
  stream.SendBody(response_);
  End(stream, OkStatus());
}

Status Call::AnswerUnary(std::string_view message) {
  if (terms_.method->named_model != nullptr) {
    ASSIGN_OR_RETURN(std::string_view model, terms_.method->named_model(message));
    RETURN_IF_ERROR(AuthorizeModel(terms_, model));
  }
  return terms_.method->unary(*terms_.context, message, response_);
}

std::function<void(const Status&)> Call::AnswerLater(Http2Stream& stream,
                                                     std::function<void(std::string&)> append) {
  return
      [this, held = stream.shared_from_this(), append = std::move(append)](const Status& status) {
        // When the thread is over, so is the connection, and nobody waits for the answer.
        [[maybe_unused]] bool taken = held->Post([this, status, append](Http2Stream& s) {
          if (ended_) return;
          if (!status.ok()) return End(s, status);
          response_.clear();
          const size_t at = BeginMessage(response_);
          append(response_);
          EndMessage(response_, at);
          SendHead(s);
          s.SendBody(response_);
          End(s, OkStatus());
        });
      };
}

void Call::LoadModel(Http2Stream& stream, std::string_view message) {
  GivenModel given;
  Result<std::string> model = ParseRepositoryRequest(message, &given);
  // A load may take minutes: what it brings has been copied, and others need the room.
  stream.Take(stream.body().size());
  if (!model.ok()) return End(stream, model.status());
  if (!terms_.context->models.load) return End(stream, NotByRequest());
  terms_.context->models.load(*model, std::move(given), AnswerLater(stream, [](std::string&) {}));
}

void Call::ReloadModels(Http2Stream& stream, std::string_view message) {
  Result<ReloadRequest> request = ReloadRequest::Parse(message);
  if (!request.ok()) return End(stream, request.status());
  if (!terms_.context->models.reload) {
    return End(stream, UnimplementedError("this server's models are not configured by request"));
  }
  std::string config = std::move(request->config);
  auto values = [context = terms_.context](const std::vector<std::string>& names) {
    return context->models.metrics && !names.empty() ? context->models.metrics(names)
                                                     : std::vector<int64_t>(names.size(), 0);
  };
  std::vector<int64_t> before = values(request->metric_names);
  terms_.context->models.reload(
      std::move(config),
      AnswerLater(stream, [values, before = std::move(before),
                           request = std::move(request).value()](std::string& response) {
        std::vector<int64_t> increases = values(request.metric_names);
        for (size_t i = 0; i < increases.size(); ++i) increases[i] -= before[i];
        AppendReloadResponse(request, increases, response);
      }));
}

void Call::OnClose(Http2Stream& stream) {
  ended_ = true;
  // Nobody waits for it any more: out of the queue, unless it is running already.
  if (infer_) infer_->Cancel();
  if (busy_) {
    terms_.context->predictor.Cancel(prediction_);
  } else if (KeptBytes() > kKept) {
    stream.DropState();
  }
}

size_t Call::KeptBytes() const {
  size_t bytes = reader_.kept_bytes() + response_.capacity();
  for (const Tensor& input : prediction_.inputs) bytes += input.kept_bytes();
  return bytes;
}

void Call::OnAlarm(Http2Stream& stream) {
  if (ended_) return;
  if (terms_.deadline && Now() >= *terms_.deadline) return End(stream, PastDeadline());
  if (terms_.method->kind == MethodKind::kWatch) return WatchHealth(stream);
  if (IsStream() && terms_.context->draining) PumpStream(stream);
  if (!ended_) Tick(stream);
}

void Call::Tick(Http2Stream& stream) {
  SteadyTime next = Now() + kTick;
  stream.SetAlarm(terms_.deadline ? std::min(next, *terms_.deadline) : next);
}

// Calls that last
// ------------------------------------------------------------------------------------------------------------------

void Call::WatchHealth(Http2Stream& stream) {
  Health health = HealthOf(*terms_.context, watched_);
  if (health != last_health_) {
    last_health_ = health;
    response_.clear();
    const size_t at = BeginMessage(response_);
    AppendHealth(response_, health);
    EndMessage(response_, at);
    stream.SendBody(response_);
  }
  if (terms_.context->draining) return End(stream, UnavailableError("the server is shutting down"));
  Tick(stream);
}

/// A server that goes away ends a stream in a quiet moment, so that no request is on its way; one that has none is ended
/// when half of the time is over, with what it has asked by then answered.
bool Call::MustEndStream(const Http2Stream& stream) const {
  if (!terms_.context->draining) return false;
  const SteadyTime now = Now();
  if (now >= terms_.context->StreamsEndBy()) return true;
  return now - last_active_ >= kTick && stream.body().empty() && AllAnswered();
}

/// Sends the answers that are there, and takes up one more request if there is room for it. What is not read yet slows the
/// client down by flow control.
void Call::PumpStream(Http2Stream& stream) {
  if (ended_) return;
  if (IsInfer()) {
    Status status = infer_->Deliver(stream);
    if (!status.ok()) return End(stream, status);
  }
  if (MustEndStream(stream)) {
    if (!AllAnswered()) return;
    const bool over = stream.half_closed() && stream.body().empty();
    return End(stream, over
                           ? OkStatus()
                           : UnavailableError("the server is shutting down; call another replica"));
  }
  const size_t unsent = stream.unsent();
  if (unsent > kUnsentLimit || (unsent > 0 && stream.crowded())) return stream.TellWhenSent();
  if (IsInfer() && !infer_->HasRoom()) return;
  size_t size = 0;
  switch (reader_.Read(stream.body(), &size)) {
    case MessageReader::Outcome::kRefused:
      if (!AllAnswered()) return;
      return End(stream, reader_.error());
    case MessageReader::Outcome::kNeedMore:
      if (!stream.half_closed()) return stream.ExpectBody(size);
      if (!AllAnswered()) return;
      return End(stream, stream.body().empty()
                             ? OkStatus()
                             : InternalError("the call ended in the middle of a message"));
    case MessageReader::Outcome::kMessage:
      last_active_ = Now();
      OnStreamMessage(stream, reader_.message());
      stream.Take(size);
      return stream.CallAgain();
  }
}

void Call::OnStreamMessage(Http2Stream& stream, std::string_view message) {
  if (IsInfer()) {
    infer_->Start(stream, message);
    Status status = infer_->Deliver(stream);
    if (!status.ok()) End(stream, status);
    return;
  }
  response_.clear();
  const size_t at = BeginMessage(response_);
  Status status = Guarded("answered", [&] { return Reflect(message, response_); });
  if (!status.ok()) return End(stream, status);
  EndMessage(response_, at);
  stream.SendBody(response_);
}

// Predictions
// ------------------------------------------------------------------------------------------------------------------

Status Call::DecodeTfServing(std::string_view message) {
  Status parsed = tfserving_.Parse(message);
  if (!parsed.ok()) return AdmitUnread(terms_, std::move(parsed), prediction_);
  RETURN_IF_ERROR(AdmitFor(terms_, tfserving_.selector(), prediction_));
  const LoadedModel& model = *prediction_.handle->model;
  ASSIGN_OR_RETURN(prediction_.signature, model.FindSignature(tfserving_.signature_name()));
  const NamedSignature& called = model.signatures()[prediction_.signature];
  return tfserving_.Decode(called.signature, called.name,
                           terms_.context->messages.Expanded(prediction_.request_bytes),
                           prediction_);
}

Status Call::DecodeExamples(std::string_view message) {
  if (task_ == 0) {
    const ExamplesCodec::Kind kind =
        terms_.method->kind == MethodKind::kClassify  ? ExamplesCodec::Kind::kClassify
        : terms_.method->kind == MethodKind::kRegress ? ExamplesCodec::Kind::kRegress
                                                      : ExamplesCodec::Kind::kMulti;
    Status parsed = examples_.Parse(kind, message,
                                    terms_.context->messages.Expanded(prediction_.request_bytes));
    if (!parsed.ok()) return AdmitUnread(terms_, std::move(parsed), prediction_);
  }
  // The tasks of a MultiInference are of one model: its user is asked about once.
  RETURN_IF_ERROR(task_ == 0
                      ? AdmitFor(terms_, examples_.selector(task_), prediction_)
                      : terms_.context->predictor.Admit(examples_.selector(task_), prediction_));
  return examples_.Decode(task_, prediction_);
}

Status Call::Decode(std::string_view message) {
  if (prediction_.protocol == Protocol::kTfServingGrpc &&
      terms_.method->kind != MethodKind::kPredict) {
    return DecodeExamples(message);
  }
  return prediction_.protocol == Protocol::kV2Grpc ? DecodeV2(terms_, message, v2_, prediction_)
                                                   : DecodeTfServing(message);
}

void Call::Predict(Http2Stream& stream, std::string_view message) {
  const bool v2 = terms_.method->kind == MethodKind::kV2Infer;
  BeginPrediction(terms_, stream, v2 ? Protocol::kV2Grpc : Protocol::kTfServingGrpc,
                  stream.received(), stream.wire_body_bytes(), prediction_);
  prediction_.api = ApiOf(terms_.method->kind);
  Status status = Guarded("decoded", [&] { return Decode(message); });
  TakeOrMakeRequestId(
      terms_.request_id.empty() && v2 ? v2_.id() : std::string_view(terms_.request_id),
      prediction_.request_id);
  if (!status.ok()) {
    Finish(std::move(status));
    return Deliver(stream);
  }
  if (prediction_.handle->run_inline) {
    terms_.context->predictor.Execute(prediction_, [this] { Complete(); });
    return Deliver(stream);
  }
  busy_ = true;
  held_ = stream.shared_from_this();
  terms_.context->predictor.Execute(prediction_, [this] {
    Complete();
    // From here on the stream's thread has the call. `held_` must not be touched by both.
    std::shared_ptr<Http2Stream> held = std::move(held_);
    Http2Stream& posted = *held;
    // When the thread is over, so is the connection, and nobody waits for the answer.
    [[maybe_unused]] bool taken = posted.Post([this, held](Http2Stream& s) {
      busy_ = false;
      Deliver(s);
    });
  });
}

Status Call::Encode() {
  response_.clear();
  const size_t at = BeginMessage(response_);
  if (prediction_.protocol == Protocol::kV2Grpc) {
    RETURN_IF_ERROR(v2_.Encode(prediction_, response_));
  } else if (terms_.method->kind == MethodKind::kPredict) {
    RETURN_IF_ERROR(tfserving_.Encode(prediction_, response_, terms_.context->predict_values));
  } else {
    RETURN_IF_ERROR(examples_.EncodeTask(task_, prediction_));
    examples_.Encode(response_);
  }
  EndMessage(response_, at);
  return OkStatus();
}

/// On the thread that ran the model.
void Call::Complete() {
  Status status = std::move(prediction_.status);
  if (status.ok()) status = Guarded("encoded", [this] { return Encode(); });
  Finish(std::move(status));
}

void Call::Finish(Status status) {
  if (!status.ok()) response_.clear();
  status_ = std::move(status);
  FinishPrediction(terms_, status_, response_.size(), prediction_);
}

void Call::Deliver(Http2Stream& stream) {
  if (ended_) return;
  if (!status_.ok()) return End(stream, status_);
  if (terms_.method->kind == MethodKind::kMultiInference && task_ + 1 < examples_.task_count()) {
    ++task_;
    task_waits_ = true;
    return stream.CallAgain();
  }
  SendHead(stream);
  stream.SendBody(response_);
  End(stream, OkStatus());
}

}  // namespace leadsman::rpc
