#include "rpc/stream_infer.h"

#include <utility>

#include "base/strings.h"
#include "base/wire.h"
#include "rpc/grpc_call.h"
#include "serving/request_guard.h"

namespace leadsman::rpc {
namespace {

constexpr size_t kSpareRequests = 4;
constexpr size_t kLargestOfSpare = 64 << 10;  // what one that waits to be used again may hold

}  // namespace

void StreamInfer::Begin(const CallTerms& terms, bool errors_end_it,
                        std::function<void(net::Http2Stream&)> ready) {
  terms_ = &terms;
  errors_end_it_ = errors_end_it;
  ready_ = std::move(ready);
  under_way_.clear();  // of a stream that was ended before its answers were sent
  held_bytes_ = 0;
  waits_ = false;
}

bool StreamInfer::HasRoom() {
  const ServiceContext& context = *terms_->context;
  const bool room = under_way_.empty() || (under_way_.size() < context.max_stream_requests &&
                                           held_bytes_ < context.messages.expanded);
  // Relaxed: a statistic orders nothing.
  if (!room && !waits_) terms_->context->stream_waits.fetch_add(1, std::memory_order_relaxed);
  waits_ = !room;
  return room;
}

void StreamInfer::Hold(Request& request, size_t bytes) {
  held_bytes_ += bytes - request.held_bytes;
  request.held_bytes = bytes;
}

void StreamInfer::Start(net::Http2Stream& stream, std::string_view message) {
  under_way_.push_back(TakeSpare());
  terms_->context->stream_requests.fetch_add(1, std::memory_order_relaxed);
  Request& request = *under_way_.back();
  PredictionCall& prediction = request.prediction;
  request.ended = false;
  request.held_bytes = 0;
  Hold(request, message.size());
  BeginPrediction(*terms_, stream, Protocol::kV2Grpc, std::chrono::steady_clock::now(),
                  message.size(), prediction);
  request.status =
      Guarded("decoded", [&] { return DecodeV2(*terms_, message, request.codec, prediction); });
  request.id.assign(request.codec.id());
  TakeOrMakeRequestId(terms_->request_id.empty() ? request.id : terms_->request_id,
                      prediction.request_id);
  Predictor& predictor = terms_->context->predictor;
  if (!request.status.ok() || prediction.handle->run_inline) {
    if (request.status.ok()) {
      predictor.Execute(prediction, [&] { request.status = std::move(prediction.status); });
    }
    Complete(request);
    request.ended = true;
    Hold(request, request.response.size());
    return;
  }
  predictor.Execute(prediction, [this, &request, held = stream.shared_from_this()] {
    request.status = std::move(request.prediction.status);
    Complete(request);
    // When the thread is over, so is the connection, and nobody waits for the answer.
    [[maybe_unused]] bool taken = held->Post([this, &request](net::Http2Stream& s) {
      request.ended = true;
      Hold(request, request.response.size());
      ready_(s);
    });
  });
}

/// On the thread that ran the model.
void StreamInfer::Complete(Request& request) {
  if (request.status.ok()) request.status = Guarded("encoded", [&] { return Encode(request); });
  if (!request.status.ok()) EncodeError(request);
  FinishPrediction(*terms_, request.status, request.response.size(), request.prediction);
  terms_->context->stream_requests.fetch_sub(1, std::memory_order_relaxed);
}

Status StreamInfer::Encode(Request& request) {
  std::string& response = request.response;
  response.clear();
  const size_t at = BeginMessage(response);
  const size_t begin = response.size();
  RETURN_IF_ERROR(request.codec.Encode(request.prediction, response));
  std::string head;  // it is a field of ModelStreamInferResponse
  WireWriter field(head);
  field.Tag(2, WireReader::kBytes);
  field.Varint(response.size() - begin);
  response.insert(begin, head);
  EndMessage(response, at);
  return OkStatus();
}

void StreamInfer::EncodeError(Request& request) {
  std::string& response = request.response;
  response.clear();
  const size_t at = BeginMessage(response);
  WireWriter out(response);
  const std::string_view message = request.status.message();
  out.Bytes(1, IsUtf8(message) ? message : "the request is not valid");
  // Says which request it was.
  if (!request.id.empty() && IsUtf8(request.id)) {
    out.Message(2, [&](WireWriter& answer) { answer.Text(3, request.id); });
  }
  EndMessage(response, at);
}

Status StreamInfer::Deliver(net::Http2Stream& stream) {
  while (!under_way_.empty() && under_way_.front()->ended) {
    std::unique_ptr<Request> request = std::move(under_way_.front());
    under_way_.pop_front();
    Hold(*request, 0);
    if (!request->status.ok() && errors_end_it_) return request->status;
    stream.SendBody(request->response);
    PutBack(std::move(request));
  }
  return OkStatus();
}

void StreamInfer::Cancel() {
  for (const auto& request : under_way_) {
    if (!request->ended) terms_->context->predictor.Cancel(request->prediction);
  }
}

std::unique_ptr<StreamInfer::Request> StreamInfer::TakeSpare() {
  if (spare_.empty()) return std::make_unique<Request>();
  std::unique_ptr<Request> request = std::move(spare_.back());
  spare_.pop_back();
  return request;
}

void StreamInfer::PutBack(std::unique_ptr<Request> request) {
  if (spare_.size() >= kSpareRequests) return;
  if (request->prediction.request_bytes > kLargestOfSpare ||
      request->response.capacity() > kLargestOfSpare)
    return;
  spare_.push_back(std::move(request));
}

}  // namespace leadsman::rpc
