#include "rpc/tfs_warmup.h"

#include <optional>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/wire.h"
#include "storage/tf_record.h"

namespace leadsman::rpc {
namespace {

/// PredictionLog.log_type
enum LogType : uint32_t {
  kClassifyLog = 2,
  kRegressLog = 3,
  kMultiInferenceLog = 4,
  kSessionRunLog = 5,
  kPredictLog = 6,
  kPredictStreamedLog = 7
};

Status Malformed() {
  return InvalidArgumentError(
      "malformed protocol buffer message: this is no tensorflow.serving.PredictionLog");
}

/// A log is {request = 1, response = 2}.
Result<std::string_view> RequestOf(std::string_view log) {
  std::string_view request;
  WireReader in(log);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) request = in.bytes();
  }
  if (!in.ok()) return Malformed();
  return request;
}

}  // namespace

WarmupRunner::WarmupRunner(const ServableVersion& version, Clock& clock, size_t max_input_bytes)
    : version_(version), clock_(clock), max_input_bytes_(max_input_bytes) {}

Status WarmupRunner::Run(std::string_view prediction_log, int repeats) {
  uint32_t type = 0;
  std::string_view log;
  WireReader in(prediction_log);
  while (in.Next()) {  // of a oneof the last counts
    if (in.field() < kClassifyLog || in.field() > kPredictStreamedLog) continue;
    if (in.type() != WireReader::kBytes) continue;
    type = in.field();
    log = in.bytes();
  }
  if (!in.ok()) return Malformed();
  if (type == 0) return OkStatus();
  if (type == kSessionRunLog || type == kPredictStreamedLog) {
    return UnimplementedError(
        StrCat("Unsupported log_type for warmup: ",
               type == kSessionRunLog ? "session_run_log" : "predict_streamed_log",
               "; there are predict_log, classify_log, regress_log and multi_inference_log"));
  }
  ASSIGN_OR_RETURN(std::string_view request, RequestOf(log));
  call_.Reset();
  // The codecs look at the model only: nobody keeps this handle.
  call_.handle = Handle(Handle(), &version_);
  call_.model_name = version_.model_name;
  Status status = OkStatus();
  switch (type) {
    case kPredictLog:
      status = RunPredict(request, repeats);
      break;
    case kClassifyLog:
      status = RunExamples(ExamplesCodec::Kind::kClassify, request, repeats);
      break;
    case kRegressLog:
      status = RunExamples(ExamplesCodec::Kind::kRegress, request, repeats);
      break;
    default:
      status = RunExamples(ExamplesCodec::Kind::kMulti, request, repeats);
  }
  call_.Reset();
  return status;
}

Status WarmupRunner::RunPredict(std::string_view request, int repeats) {
  RETURN_IF_ERROR(predict_.Parse(request, SpecName::kOptional));
  ASSIGN_OR_RETURN(call_.signature, version_.model->FindSignature(predict_.signature_name()));
  const NamedSignature& called = version_.model->signatures()[call_.signature];
  RETURN_IF_ERROR(predict_.Decode(called.signature, called.name, max_input_bytes_, call_));
  return Execute(repeats);
}

Status WarmupRunner::RunExamples(ExamplesCodec::Kind kind, std::string_view request, int repeats) {
  RETURN_IF_ERROR(examples_.Parse(kind, request, max_input_bytes_, SpecName::kOptional));
  for (size_t task = 0; task < examples_.task_count(); ++task) {
    RETURN_IF_ERROR(examples_.Decode(task, call_));
    RETURN_IF_ERROR(Execute(repeats));
    RETURN_IF_ERROR(examples_.EncodeTask(task, call_));
  }
  return OkStatus();
}

Status WarmupRunner::Execute(int repeats) {
  std::unique_ptr<ExecutionContext>& context = contexts_[call_.signature];
  if (!context) {
    ASSIGN_OR_RETURN(context, version_.model->NewContext(call_.signature));
  }
  call_.ViewInputs();
  for (int i = 0; i < repeats; ++i) {
    SteadyTime begin = clock_.SteadyNow();
    ASSIGN_OR_RETURN(call_.outputs, context->Execute(call_.input_views));
    times_.push_back(clock_.SteadyNow() - begin);
  }
  return OkStatus();
}

Result<std::vector<Duration>> ReplayTfServingWarmup(const ServableVersion& version,
                                                    const std::string& directory,
                                                    const std::atomic<bool>& cancel, Clock& clock) {
  const std::string path = JoinPath(directory, kWarmupFile);
  Result<TfRecordReader> reader = TfRecordReader::Open(path);
  if (reader.status().code() == StatusCode::kNotFound) return std::vector<Duration>();
  if (!reader.ok()) return Annotate(reader.status(), "warm-up requests");
  WarmupRunner runner(version, clock);
  for (int i = 0;; ++i) {
    if (cancel.load()) return CancelledError("the server is shutting down");
    Result<std::optional<std::string_view>> record = reader->Next();
    if (!record.ok()) return Annotate(record.status(), "warm-up requests");
    if (!*record) {
      LOG_INFO("warm-up requests sent", {"model", version.model_name}, {"version", version.version},
               {"records", i}, {"file", path});
      return runner.times();
    }
    if (i == kMaxWarmupRecords) {
      return InvalidArgumentError(StrCat("Number of warmup records exceeds the maximum (",
                                         kMaxWarmupRecords, ") at ", path));
    }
    Status ran = runner.Run(**record, version.config->warmup_repeats);
    if (!ran.ok()) return Annotate(ran, StrCat("warm-up request ", i + 1, " of ", path));
  }
}

}  // namespace leadsman::rpc
