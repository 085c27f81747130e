#pragma once

#include <functional>
#include <string>

#include "net/http_server.h"
#include "protocol/mlflow/ignored_params.h"
#include "protocol/mlflow/invocations.h"
#include "protocol/plain/predict.h"
#include "protocol/v2/v2_frontend.h"
#include "serving/predictor.h"

namespace leadsman {

/// The HTTP face of the model server, to be given to net::HttpServer as its handler:
///   /v1/models/…   TensorFlow Serving: status, metadata, :predict (tfserving/)
///   /v2…           Open Inference Protocol and Triton's extensions (v2/)
///   /predict[/M]   the plain protocol (plain/)
///   /invocations   MLflow's scoring protocol, with /ping, /health and /version (mlflow/)
///   /              what is here, as text
/// Whatever a client sends is answered: malformed requests by 4xx naming the field and the fix,
/// never by 500.
///
/// Thread-safe; never blocks but for cheap models, which run on the calling thread.
class HttpFrontend {
 public:
  struct Options {
    plain::PlainOptions plain;
    mlflow::MlflowOptions mlflow;
    /// For /v2/health/ready. Default: Predictor::SettledOnce.
    std::function<bool()> ready;
    std::string server_version = "0.1.0";
    /// For loading and unloading models by request (V2); may be null.
    ModelControl* control = nullptr;
    /// Pages of other sites may call TensorFlow Serving's API.
    bool cors = false;
    /// Bytes that one input may take which was shorter on the wire: as large as a body may be.
    size_t max_input_bytes = 64 << 20;
    /// Where `metrics` answers, beside the protocols; empty: nowhere.
    std::string metrics_path;
    std::function<void(net::HttpExchange&)> metrics;
  };
  /// `predictor` must outlive it, and it must outlive the requests in flight.
  HttpFrontend(Predictor& predictor, Options options);

  void Handle(net::HttpExchange& exchange);
  const mlflow::IgnoredParams& ignored_params() const { return ignored_params_; }

 private:
  void HandleTfServing(net::HttpExchange& exchange);
  void HandlePlain(net::HttpExchange& exchange);
  void HandleInvocations(net::HttpExchange& exchange);
  void HandlePing(net::HttpExchange& exchange);
  /// The model of a route that names none: `configured`, or the only one; `table` keeps the name.
  /// INVALID_ARGUMENT, or UNAVAILABLE when there is none yet, with `advice`.
  Status ChooseModel(std::string_view configured, std::string_view advice,
                     std::shared_ptr<const ServableTable>& table, ModelSelector& selector) const;
  void HandleRoot(net::HttpExchange& exchange);

  Options WithDefaults(Options options);
  v2::V2Frontend::Options V2Options();

  Predictor& predictor_;
  Options options_;
  mlflow::IgnoredParams ignored_params_;
  v2::V2Frontend v2_;  ///< after what its options refer to
};

}  // namespace leadsman
