#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "lifecycle/types.h"
#include "rpc/tfs_examples.h"
#include "rpc/tfs_predict.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// Where a SavedModel keeps its warm-up requests, relative to its folder.
inline constexpr const char* kWarmupFile = "assets.extra/tf_serving_warmup_requests";
/// More records are an error, as of TensorFlow Serving.
inline constexpr int kMaxWarmupRecords = 1000;

/// Runs tensorflow.serving.PredictionLogs, one after the other, on a version that is not served yet. The model and the
/// version that a log names do not matter. Confined.
class WarmupRunner {
 public:
  /// `version` must outlive it. `max_input_bytes`: of one input, once its repeated last value is written out.
  WarmupRunner(const ServableVersion& version, Clock& clock,
               size_t max_input_bytes = size_t{256} << 20);

  /// Decodes the request of a serialized PredictionLog (predict, classify, regress or multi-inference) and runs it
  /// `repeats` times. A log without a request is passed over. INVALID_ARGUMENT: malformed, or not a request that the model
  /// takes; UNIMPLEMENTED: of another kind; else the runtime's error.
  Status Run(std::string_view prediction_log, int repeats);
  const std::vector<Duration>& times() const { return times_; }

 private:
  Status RunPredict(std::string_view request, int repeats);
  Status RunExamples(ExamplesCodec::Kind kind, std::string_view request, int repeats);
  /// `call_` is decoded.
  Status Execute(int repeats);

  const ServableVersion& version_;
  Clock& clock_;
  const size_t max_input_bytes_;
  PredictionCall call_;
  PredictCodec predict_;
  ExamplesCodec examples_;
  std::map<size_t, std::unique_ptr<ExecutionContext>> contexts_;  ///< by signature
  std::vector<Duration> times_;
};

/// As of ReplayWarmup: the records of `directory`/kWarmupFile.
Result<std::vector<Duration>> ReplayTfServingWarmup(const ServableVersion& version,
                                                    const std::string& directory,
                                                    const std::atomic<bool>& cancel, Clock& clock);

}  // namespace leadsman::rpc
