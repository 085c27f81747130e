#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lifecycle/model_control.h"
#include "net/http_server.h"
#include "serving/predictor.h"

namespace leadsman::v2 {

/// Everything below /v2, as the Open Inference Protocol and Triton's extensions have it: health,
/// metadata, ready, infer, model configuration, statistics, the model repository; what of shared
/// memory, tracing and logging can be answered truthfully. The rest is "not supported", with the
/// reason.
///
/// Thread-safe; never blocks but for cheap models, which run on the calling thread.
class V2Frontend {
 public:
  struct Options {
    std::string server_version;
    std::function<bool()> ready;  ///< for /v2/health/ready
    /// For the repository extension; without one nothing is loaded or unloaded by request.
    ModelControl* control = nullptr;
    /// Starts an inference; the exchange is finished there.
    std::function<void(net::HttpExchange&, const ModelSelector&)> infer;
  };
  /// `predictor` must outlive it.
  V2Frontend(Predictor& predictor, Options options);

  /// For paths that begin with /v2.
  void Handle(net::HttpExchange& exchange);

 private:
  void HandleModel(net::HttpExchange& exchange, std::string_view rest);
  void HandleReady(net::HttpExchange& exchange, const ModelSelector& selector);
  void HandleMetadata(net::HttpExchange& exchange, const ModelSelector& selector);
  void HandleStatistics(net::HttpExchange& exchange, const ModelSelector& selector);
  void HandleRepository(net::HttpExchange& exchange, std::string_view rest);
  void HandleIndex(net::HttpExchange& exchange);
  void HandleLoad(net::HttpExchange& exchange, const std::string& model, bool load);

  Predictor& predictor_;
  Options options_;
};

}  // namespace leadsman::v2
