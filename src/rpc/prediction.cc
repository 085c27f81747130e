#include "rpc/prediction.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "serving/request_guard.h"

namespace leadsman::rpc {

void BeginPrediction(const CallTerms& terms, const net::Http2Stream& stream, Protocol protocol,
                     SteadyTime received, size_t bytes, PredictionCall& prediction) {
  prediction.Reset();
  prediction.protocol = protocol;
  prediction.received = received;
  prediction.deadline = terms.deadline;
  TraceFields trace;
  for (const net::Http2Stream::Field& field : stream.fields()) trace.Take(field.name, field.value);
  if (prediction.trace.Parse(trace)) prediction.trace.SetSpanId(RandomBits());
  terms.context->predictor.segments().TakeHeaders(
      [&](std::string_view name) { return stream.Header(name); }, prediction.segment_headers);
  prediction.request_bytes = static_cast<uint32_t>(std::min<size_t>(bytes, UINT32_MAX));
}

Status AuthorizeModel(const CallTerms& terms, std::string_view model) {
  if (!terms.context->authorize) return OkStatus();
  return terms.context->authorize(terms.authorization, terms.method->path,
                                  {.to_come = false, .name = model});
}

Status AdmitFor(const CallTerms& terms, const ModelSelector& selector, PredictionCall& prediction) {
  Status allowed = AuthorizeModel(terms, selector.model);
  if (!allowed.ok()) return AdmitUnread(terms, std::move(allowed), prediction);
  return terms.context->predictor.Admit(selector, prediction);
}

Status AdmitUnread(const CallTerms& terms, Status why, PredictionCall& prediction) {
  [[maybe_unused]] Status admitted = terms.context->predictor.Admit({}, prediction);
  return why;
}

Status DecodeV2(const CallTerms& terms, std::string_view message, ModelInferCodec& codec,
                PredictionCall& prediction) {
  Status parsed = codec.Parse(message);
  if (!parsed.ok()) return AdmitUnread(terms, std::move(parsed), prediction);
  RETURN_IF_ERROR(AdmitFor(terms, codec.selector(), prediction));
  return codec.Decode(prediction.signature_called(), prediction);
}

void FinishPrediction(const CallTerms& terms, const Status& status, size_t response_bytes,
                      PredictionCall& prediction) {
  Status finished = Guarded("recorded", [&] {
    terms.context->predictor.Finish(prediction, status, response_bytes);
    return OkStatus();
  });
  if (finished.ok()) return;
  LOG_ERROR("a request was answered, but could not be recorded", {"status", finished});
  std::string id = std::move(prediction.request_id);
  prediction.Reset();
  prediction.request_id = std::move(id);
}

}  // namespace leadsman::rpc
