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
constexpr size_t kKeptResponse = 64
                                 << 10;  // what a stream that waits to be used again may hold on to
constexpr std::string_view kAccepted = "identity,deflate,gzip";

SteadyTime Now() { return std::chrono::steady_clock::now(); }

/// Of calls with one request, which is a prediction.
bool IsUnaryPrediction(MethodKind kind) {
  return IsPrediction(kind) && kind != MethodKind::kV2StreamInfer;
}

Status PastDeadline() {
  return DeadlineExceededError("the call's deadline (grpc-timeout) has passed");
}

}  // namespace

// The call
// ------------------------------------------------------------------------------------------------------------------

void Call::OnHead(Http2Stream& stream, ServiceContext& context) {
  context_ = &context;
  method_ = nullptr;
  ended_ = head_sent_ = busy_ = grpc_errors_ = false;
  deadline_.reset();
  reader_.SetLimit(context.max_message_bytes);
  client_request_id_.clear();
  prediction_.request_id.clear();
  prediction_.trace.Clear();
  response_.clear();
  if (!TakeHeaders(stream)) return;
  if (method_->kind == MethodKind::kV2StreamInfer || method_->kind == MethodKind::kReflection) {
    stream.patient = true;
    grpc_errors_ = stream.Header("triton_grpc_error") == "true";
    SendHead(stream);
    Tick(stream);
  }
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
  if (IsAcceptableRequestId(id)) client_request_id_.assign(id);
  method_ = FindMethod(stream.path());
  if (method_ == nullptr) {
    End(stream, UnimplementedError(StrCat(
                    "unknown method ", stream.path().substr(0, 128),
                    "; this server's services are told by grpc.reflection.v1.ServerReflection")));
    return false;
  }
  if (context_->authorize) {
    authorization_.assign(stream.Header("authorization"));
    const CalledModel model{.to_come = NamesModel(*method_), .name = {}};
    Status allowed = context_->authorize(authorization_, method_->path, model);
    if (!allowed.ok()) {
      End(stream, allowed);
      return false;
    }
  }
  const Compression compression = ParseCompression(stream.Header("grpc-encoding"));
  if (compression == Compression::kUnknown) {
    End(stream,
        UnimplementedError(StrCat("grpc-encoding '", stream.Header("grpc-encoding").substr(0, 32),
                                  "' is not supported; use one of ", kAccepted)));
    return false;
  }
  reader_.SetCompression(compression);
  std::string_view timeout = stream.Header("grpc-timeout");
  if (timeout.empty()) return true;
  std::optional<std::chrono::nanoseconds> left = ParseTimeout(timeout);
  if (!left) {
    End(stream,
        InvalidArgumentError(StrCat("malformed grpc-timeout '", timeout.substr(0, 32), "'")));
    return false;
  }
  deadline_ = stream.received() + *left;
  stream.SetAlarm(deadline_);
  return true;
}

/// The request's id and the caller's trace, as HTTP answers have them.
void Call::AddIdentity() {
  const bool prediction = method_ != nullptr && IsUnaryPrediction(method_->kind);
  const std::string& id =
      prediction && !prediction_.request_id.empty() ? prediction_.request_id : client_request_id_;
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

void Call::OnBody(Http2Stream& stream) {
  if (ended_ || method_ == nullptr) return;
  if (method_->kind == MethodKind::kV2StreamInfer || method_->kind == MethodKind::kReflection)
    return PumpStream(stream);
  if (method_->kind == MethodKind::kWatch && head_sent_) return;
  size_t size = 0;
  switch (reader_.Read(stream.body(), &size)) {
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
  if (!stream.half_closed()) return;
  if (size != stream.body().size())
    return End(stream, UnimplementedError("a unary call has one message, here came more"));
  RunUnary(stream, reader_.message());
}

void Call::RunUnary(Http2Stream& stream, std::string_view message) {
  task_ = 0;
  if (IsUnaryPrediction(method_->kind)) return Predict(stream, message);
  prediction_.request_id.clear();
  if (method_->kind == MethodKind::kWatch) {
    Result<std::string> service = HealthService(message);
    if (!service.ok()) return End(stream, service.status());
    watched_ = std::move(service).value();
    last_health_ = Health::kUnknown;
    SendHead(stream);
    return WatchHealth(stream);
  }
  if (method_->kind == MethodKind::kLoadModel) return LoadModel(stream, message);
  if (method_->kind == MethodKind::kReload) return ReloadModels(stream, message);
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
  if (method_->named_model != nullptr) {
    ASSIGN_OR_RETURN(std::string_view model, method_->named_model(message));
    RETURN_IF_ERROR(Authorize(model));
  }
  return method_->unary(*context_, message, response_);
}

Status Call::Authorize(std::string_view model) const {
  if (!context_->authorize) return OkStatus();
  return context_->authorize(authorization_, method_->path, {.to_come = false, .name = model});
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
  Result<std::string> model = ParseRepositoryRequest(message);
  if (!model.ok()) return End(stream, model.status());
  if (!context_->models.load) return End(stream, NotByRequest());
  context_->models.load(*model, AnswerLater(stream, [](std::string&) {}));
}

void Call::ReloadModels(Http2Stream& stream, std::string_view message) {
  Result<ReloadRequest> request = ReloadRequest::Parse(message);
  if (!request.ok()) return End(stream, request.status());
  if (!context_->models.reload) {
    return End(stream, UnimplementedError("this server's models are not configured by request"));
  }
  std::string config = std::move(request->config);
  context_->models.reload(
      std::move(config),
      AnswerLater(stream, [request = std::move(request).value()](std::string& response) {
        AppendReloadResponse(request, response);
      }));
}

void Call::OnClose(Http2Stream& /*stream*/) {
  ended_ = true;
  // Nobody waits for it any more: out of the queue, unless it is running already.
  if (busy_) {
    context_->predictor.Cancel(prediction_);
  } else if (response_.capacity() > kKeptResponse) {
    std::string().swap(response_);
  }
}

void Call::OnAlarm(Http2Stream& stream) {
  if (ended_) return;
  if (deadline_ && Now() >= *deadline_) return End(stream, PastDeadline());
  if (method_->kind == MethodKind::kWatch) return WatchHealth(stream);
  if (context_->draining && !busy_ && stream.body().empty()) {
    return End(stream, UnavailableError("the server is shutting down; call another replica"));
  }
  Tick(stream);
}

void Call::Tick(Http2Stream& stream) {
  SteadyTime next = Now() + kTick;
  stream.SetAlarm(deadline_ ? std::min(next, *deadline_) : next);
}

// Calls that last
// ------------------------------------------------------------------------------------------------------------------

void Call::WatchHealth(Http2Stream& stream) {
  Health health = HealthOf(*context_, watched_);
  if (health != last_health_) {
    last_health_ = health;
    response_.clear();
    const size_t at = BeginMessage(response_);
    AppendHealth(response_, health);
    EndMessage(response_, at);
    stream.SendBody(response_);
  }
  if (context_->draining) return End(stream, UnavailableError("the server is shutting down"));
  Tick(stream);
}

/// One message at a time, in order. The next is read when the answer to the one before is on its way.
void Call::PumpStream(Http2Stream& stream) {
  while (!ended_ && !busy_) {
    if (stream.unsent() > kUnsentLimit) return stream.TellWhenSent();
    size_t size = 0;
    switch (reader_.Read(stream.body(), &size)) {
      case MessageReader::Outcome::kRefused:
        return End(stream, reader_.error());
      case MessageReader::Outcome::kNeedMore:
        if (!stream.half_closed()) return stream.ExpectBody(size);
        return End(stream, stream.body().empty()
                               ? OkStatus()
                               : InternalError("the call ended in the middle of a message"));
      case MessageReader::Outcome::kMessage:
        OnStreamMessage(stream, reader_.message());
        stream.Take(size);
    }
  }
}

void Call::OnStreamMessage(Http2Stream& stream, std::string_view message) {
  if (method_->kind == MethodKind::kV2StreamInfer) return Predict(stream, message);
  response_.clear();
  const size_t at = BeginMessage(response_);
  Status status = Guarded("answered", [&] { return Reflect(message, response_); });
  if (!status.ok()) return End(stream, status);
  EndMessage(response_, at);
  stream.SendBody(response_);
}

// Predictions
// ------------------------------------------------------------------------------------------------------------------

Status Call::Admit(const ModelSelector& selector) {
  // The tasks of a MultiInference are of one model, and one request.
  const bool asked = method_->kind == MethodKind::kMultiInference && task_ > 0;
  Status allowed = asked ? OkStatus() : Authorize(selector.model);
  if (!allowed.ok()) {
    // Counted all the same: as a request that reached no model.
    Status admitted = context_->predictor.Admit({}, prediction_);
    return allowed;
  }
  return context_->predictor.Admit(selector, prediction_);
}

Status Call::DecodeV2(std::string_view message) {
  Status parsed = v2_.Parse(message);
  if (!parsed.ok()) {
    // Counted all the same: as a request that reached no model.
    Status admitted = context_->predictor.Admit({}, prediction_);
    return parsed;
  }
  RETURN_IF_ERROR(Admit(v2_.selector()));
  return v2_.Decode(prediction_.signature_called(), prediction_);
}

Status Call::DecodeTfServing(std::string_view message) {
  Status parsed = tfserving_.Parse(message);
  if (!parsed.ok()) {
    Status admitted = context_->predictor.Admit({}, prediction_);
    return parsed;
  }
  RETURN_IF_ERROR(Admit(tfserving_.selector()));
  const LoadedModel& model = *prediction_.handle->model;
  ASSIGN_OR_RETURN(prediction_.signature, model.FindSignature(tfserving_.signature_name()));
  const NamedSignature& called = model.signatures()[prediction_.signature];
  return tfserving_.Decode(called.signature, called.name, context_->max_message_bytes, prediction_);
}

Status Call::DecodeExamples(std::string_view message) {
  if (task_ == 0) {
    const ExamplesCodec::Kind kind =
        method_->kind == MethodKind::kClassify  ? ExamplesCodec::Kind::kClassify
        : method_->kind == MethodKind::kRegress ? ExamplesCodec::Kind::kRegress
                                                : ExamplesCodec::Kind::kMulti;
    Status parsed = examples_.Parse(kind, message);
    if (!parsed.ok()) {
      Status admitted = context_->predictor.Admit({}, prediction_);
      return parsed;
    }
  }
  RETURN_IF_ERROR(Admit(examples_.selector(task_)));
  return examples_.Decode(task_, prediction_);
}

Status Call::Decode(std::string_view message) {
  if (prediction_.protocol == Protocol::kTfServingGrpc && method_->kind != MethodKind::kPredict) {
    return DecodeExamples(message);
  }
  return prediction_.protocol == Protocol::kV2Grpc ? DecodeV2(message) : DecodeTfServing(message);
}

void Call::Predict(Http2Stream& stream, std::string_view message) {
  const bool unary = method_->kind != MethodKind::kV2StreamInfer;
  const bool v2 = !unary || method_->kind == MethodKind::kV2Infer;
  prediction_.Reset();
  prediction_.protocol = v2 ? Protocol::kV2Grpc : Protocol::kTfServingGrpc;
  prediction_.received = unary ? stream.received() : Now();
  prediction_.deadline = deadline_;
  TraceFields trace;
  for (const Field& field : stream.fields()) trace.Take(field.name, field.value);
  if (prediction_.trace.Parse(trace)) prediction_.trace.SetSpanId(RandomBits());
  prediction_.request_bytes = static_cast<uint32_t>(
      std::min<size_t>(unary ? stream.wire_body_bytes() : message.size(), UINT32_MAX));
  Status status = Guarded("decoded", [&] { return Decode(message); });
  TakeOrMakeRequestId(
      client_request_id_.empty() && v2 ? v2_.id() : std::string_view(client_request_id_),
      prediction_.request_id);
  if (!status.ok()) {
    Finish(std::move(status));
    return Deliver(stream);
  }
  if (prediction_.handle->run_inline) {
    context_->predictor.Execute(prediction_, [this] { Complete(); });
    return Deliver(stream);
  }
  busy_ = true;
  held_ = stream.shared_from_this();
  context_->predictor.Execute(prediction_, [this] {
    Complete();
    // From here on the stream's thread has the call. `held_` must not be touched by both.
    std::shared_ptr<Http2Stream> held = std::move(held_);
    Http2Stream& posted = *held;
    // When the thread is over, so is the connection, and nobody waits for the answer.
    [[maybe_unused]] bool taken = posted.Post([this, held](Http2Stream& s) {
      busy_ = false;
      Deliver(s);
      if (!ended_ && method_->kind == MethodKind::kV2StreamInfer) PumpStream(s);
    });
  });
}

Status Call::Encode() {
  response_.clear();
  const size_t at = BeginMessage(response_);
  const size_t begin = response_.size();
  if (prediction_.protocol == Protocol::kV2Grpc) {
    RETURN_IF_ERROR(v2_.Encode(prediction_, response_));
    if (method_->kind == MethodKind::kV2StreamInfer) {  // a field of ModelStreamInferResponse
      std::string head;
      WireWriter field(head);
      field.Tag(2, WireReader::kBytes);
      field.Varint(response_.size() - begin);
      response_.insert(begin, head);
    }
  } else if (method_->kind == MethodKind::kPredict) {
    RETURN_IF_ERROR(tfserving_.Encode(prediction_, response_));
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
  Status finished = Guarded("recorded", [&] {
    context_->predictor.Finish(prediction_, status_, response_.size());
    return OkStatus();
  });
  if (!finished.ok()) {
    LOG_ERROR("a request was answered, but could not be recorded", {"status", finished});
    std::string id = std::move(prediction_.request_id);
    prediction_.Reset();  // the version and its context are given back all the same
    prediction_.request_id = std::move(id);
  }
}

void Call::Deliver(Http2Stream& stream) {
  if (ended_) return;
  if (method_->kind == MethodKind::kV2StreamInfer) return DeliverToStream(stream);
  if (!status_.ok()) return End(stream, status_);
  if (method_->kind == MethodKind::kMultiInference && task_ + 1 < examples_.task_count()) {
    ++task_;
    return Predict(stream, {});
  }
  SendHead(stream);
  stream.SendBody(response_);
  End(stream, OkStatus());
}

void Call::DeliverToStream(Http2Stream& stream) {
  if (!status_.ok()) {
    if (grpc_errors_) return End(stream, status_);
    response_.clear();
    const size_t at = BeginMessage(response_);
    WireWriter out(response_);
    out.Bytes(1, IsUtf8(status_.message()) ? status_.message() : "the request is not valid");
    // Says which request it was.
    if (!v2_.id().empty() && IsUtf8(v2_.id())) {
      out.Message(2, [&](WireWriter& response) { response.Text(3, v2_.id()); });
    }
    EndMessage(response_, at);
  }
  stream.SendBody(response_);
}

}  // namespace leadsman::rpc
