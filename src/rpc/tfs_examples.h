#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "protocol/tfserving/examples.h"
#include "rpc/tfs_predict.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// tensorflow.serving.{Classification,Regression,MultiInference}Request ↔ predictions, on what REST uses as well
/// (protocol/tfserving/examples.h). Classify and Regress are one task; MultiInference has several on the same examples, each of
/// which is a prediction of its own:
///
///   Parse(message) → for every task: selector → (Admit) → Decode → (Execute) → EncodeTask;   → Encode
///
/// Confined to one request at a time.
class ExamplesCodec {
 public:
  enum class Kind { kClassify, kRegress, kMulti };

  /// INVALID_ARGUMENT names the field. The message must stay as it is until the last task has been decoded. `limit`: as of
  /// tfserving::ExamplesToInputs.
  Status Parse(Kind kind, std::string_view message, size_t limit,
               SpecName name = SpecName::kRequired);
  size_t task_count() const { return tasks_.size(); }
  /// Of a task; after the first one, with the version that it reached.
  ModelSelector selector(size_t task) const;
  Status Decode(size_t task, PredictionCall& call);
  Status EncodeTask(size_t task, const PredictionCall& call);
  /// Appends the response, once every task has been encoded.
  void Encode(std::string& out) const;

 private:
  struct Task {
    ModelSpec spec;
    tfserving::Method method = tfserving::Method::kClassify;
  };
  Status ParseTask(std::string_view bytes, SpecName name);
  Status ParseInput(std::string_view bytes);
  Status CheckTasks() const;

  Kind kind_ = Kind::kClassify;
  size_t limit_ = 0;
  std::vector<Task> tasks_;
  tfserving::ExampleBatch batch_;
  int64_t version_ = 0;
  std::string results_;  ///< the response's fields, as far as they are known
};

}  // namespace leadsman::rpc
