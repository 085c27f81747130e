#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http2_server.h"
#include "rpc/grpc_call.h"
#include "rpc/prediction.h"
#include "rpc/services.h"
#include "rpc/stream_infer.h"
#include "rpc/tfs_examples.h"
#include "rpc/tfs_predict.h"
#include "rpc/v2_infer.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// One gRPC call on one stream, kept with the stream so that a request in the steady state allocates next to nothing.
/// Confined to the stream's thread, and to a pool thread while a prediction runs there.
///
///   OnHead → OnBody… → (prediction, maybe in the pool) → status sent
class Call {
 public:
  void OnHead(net::Http2Stream& stream, ServiceContext& context);
  void OnBody(net::Http2Stream& stream);
  void OnClose(net::Http2Stream& stream);
  void OnAlarm(net::Http2Stream& stream);
  /// Answers with `status`, which ends the call; later ones are dropped.
  void End(net::Http2Stream& stream, const Status& status);
  /// The same for a stream whose head is not given to OnHead.
  static void Refuse(net::Http2Stream& stream, const Status& status);

 private:
  bool TakeHeaders(net::Http2Stream& stream);
  void SendHead(net::Http2Stream& stream);
  void AddIdentity();
  void RunUnary(net::Http2Stream& stream, std::string_view message);
  Status AnswerUnary(std::string_view message);
  void LoadModel(net::Http2Stream& stream, std::string_view message);
  void ReloadModels(net::Http2Stream& stream, std::string_view message);
  /// What takes long answers from another thread: ends the call with a status, or OK and the message that `append` writes.
  std::function<void(const Status&)> AnswerLater(net::Http2Stream& stream,
                                                 std::function<void(std::string&)> append);
  void PumpStream(net::Http2Stream& stream);
  void OnStreamMessage(net::Http2Stream& stream, std::string_view message);
  bool IsStream() const {
    return terms_.method->kind == MethodKind::kV2StreamInfer ||
           terms_.method->kind == MethodKind::kReflection;
  }
  bool IsInfer() const { return terms_.method->kind == MethodKind::kV2StreamInfer; }
  /// Of a stream: nothing that it has asked is without an answer.
  bool AllAnswered() const { return !IsInfer() || infer_->idle(); }
  bool MustEndStream(const net::Http2Stream& stream) const;
  void WatchHealth(net::Http2Stream& stream);
  /// For calls that last: looks again in a quarter of a second.
  void Tick(net::Http2Stream& stream);

  // Predictions.
  void Predict(net::Http2Stream& stream, std::string_view message);
  Status Decode(std::string_view message);
  Status DecodeTfServing(std::string_view message);
  Status DecodeExamples(std::string_view message);
  Status Encode();
  void Complete();
  void Finish(Status status);
  void Deliver(net::Http2Stream& stream);
  /// What it would hold on to while its stream waits to be used again.
  size_t KeptBytes() const;

  CallTerms terms_;
  bool ended_ = false;
  bool head_sent_ = false;
  bool busy_ = false;  ///< the prediction is in the pool
  MessageReader reader_{MessageLimits{}};
  std::vector<net::Http2Stream::Field> fields_;  ///< of the answer, while it is made
  std::string field_text_;                       ///< what they point into

  // Of the prediction under way.
  PredictionCall prediction_;
  ModelInferCodec v2_;
  PredictCodec tfserving_;
  ExamplesCodec examples_;
  size_t task_ = 0;          ///< of `examples_`
  bool task_waits_ = false;  ///< it is to begin with the next call
  Status status_;
  std::string response_;  ///< the encoded message, without prefix; for answers from the pool
  std::shared_ptr<net::Http2Stream> held_;

  // Of the calls that last.
  std::unique_ptr<StreamInfer> infer_;  ///< of ModelStreamInfer; null until the first such call
  SteadyTime last_active_{};            ///< when a request came, or its answer was ready
  std::string watched_;
  Health last_health_ = Health::kUnknown;
};

}  // namespace leadsman::rpc
