#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "events/prediction_event.h"
#include "net/http2_server.h"
#include "rpc/services.h"
#include "rpc/v2_infer.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// What the head of a call says about every prediction that is made in it.
struct CallTerms {
  ServiceContext* context = nullptr;
  const Method* method = nullptr;
  std::string request_id;     ///< the client's, if it is acceptable
  std::string authorization;  ///< as it came; kept only where it is asked for
  std::optional<SteadyTime> deadline;
};

// The steps that predictions of unary calls and of streams have in common.

/// `prediction` becomes a new request with what `stream` says of it.
void BeginPrediction(const CallTerms& terms, const net::Http2Stream& stream, Protocol protocol,
                     SteadyTime received, size_t bytes, PredictionCall& prediction);
/// Whether the caller may have the model that a message names.
Status AuthorizeModel(const CallTerms& terms, std::string_view model);
/// Predictor::Admit for who may have the model.
Status AdmitFor(const CallTerms& terms, const ModelSelector& selector, PredictionCall& prediction);
/// For a message that names no model: counted all the same, as a request that reached none. Returns `why`.
Status AdmitUnread(const CallTerms& terms, Status why, PredictionCall& prediction);
/// Parse, Admit and Decode of a ModelInferRequest.
Status DecodeV2(const CallTerms& terms, std::string_view message, ModelInferCodec& codec,
                PredictionCall& prediction);
/// Predictor::Finish. Whatever happens, the version and its context are given back.
void FinishPrediction(const CallTerms& terms, const Status& status, size_t response_bytes,
                      PredictionCall& prediction);

}  // namespace leadsman::rpc
