#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "lifecycle/given_model.h"
#include "net/drainable.h"
#include "net/http2_server.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// What clients may ask of the model repository. Thread-safe functions that do not block; an empty one: not allowed.
struct ModelRequests {
  /// Calls `done` once, from any thread, when the model, with what was given of it, is ready or cannot be.
  std::function<void(const std::string& model, GivenModel given,
                     std::function<void(const Status&)> done)>
      load;
  std::function<Status(const std::string& model)> unload;
  /// Every configured model. Empty: those of the lifecycle.
  std::function<std::vector<ModelStatus>()> index;
  /// Serves the models of a serialized tensorflow.serving.ModelServerConfig instead of those that are configured, and calls
  /// `done` once, from any thread, when the new ones are ready or one cannot be.
  std::function<void(std::string config, std::function<void(const Status&)> done)> reload;
  /// The values of counters by TensorFlow's names, 0 for one that is not known; as many as names. Empty: all are 0.
  std::function<std::vector<int64_t>(const std::vector<std::string>& names)> metrics;
};

/// The model that a call is about, as far as that is known.
struct CalledModel {
  bool to_come = false;   ///< the message will name it
  std::string_view name;  ///< empty: the call names none
};
/// Whether a call of "/package.Service/Method" may be made by whoever sent the metadata `authorization`. Thread-safe.
using Authorize = std::function<Status(std::string_view authorization, std::string_view method,
                                       const CalledModel& model)>;

/// The gRPC face of the model server:
///   inference.GRPCInferenceService               Open Inference Protocol (V2) with Triton's extensions
///   tensorflow.serving.PredictionService, ModelService
///   grpc.health.v1.Health                        follows readiness
///   grpc.reflection.v1 and v1alpha
/// Whatever a client sends is answered with a status that names the field and the fix.
///
/// Thread-safe. Cheap models run on the connection's I/O thread, others in the predictor's pool.
class GrpcServer : public net::DrainableServer {
 public:
  struct Options {
    net::Http2ServerOptions http2;         ///< max_body_bytes: of a message
    size_t max_expanded_bytes = 64 << 20;  ///< as MessageLimits::expanded
    ModelRequests models;
    /// Requests of one ModelStreamInfer that may be under way at once; those behind are not read yet.
    size_t max_stream_requests = 64;
    /// PredictionService.Predict answers numbers in tensor_content instead of the field of their type.
    bool predict_tensor_content = false;
    /// For ServerReady and the health service. Default: Predictor::SettledOnce.
    std::function<bool()> ready;
    std::string server_version = "0.1.0";
    /// Asked when a call begins; and where the model was to come, once more when it is known (on a stream: of every message).
    /// Empty: every call may be made.
    Authorize authorize;
  };
  /// Errors as of net::Http2Server::Start. `predictor` must outlive it; stop the predictor before this goes, for what it
  /// still runs answers here.
  static Result<std::unique_ptr<GrpcServer>> Start(Predictor& predictor, Options options);
  ~GrpcServer() override;

  uint16_t port() const;
  net::HttpServerStats stats() const;
  struct StreamStats {
    int64_t requests = 0;  ///< of ModelStreamInfer, queued or computed now
    uint64_t waits = 0;    ///< how often a stream had as many under way as it may have
  };
  StreamStats stream_stats() const;
  std::string_view drain_name() const override { return "grpc"; }
  /// Health says NOT_SERVING from here on, and calls that would last are ended.
  void BeginDrain(std::chrono::milliseconds grace) override;
  bool AwaitDrained(std::chrono::milliseconds wait) override;
  void Shutdown(std::chrono::milliseconds grace);

 private:
  GrpcServer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::rpc
