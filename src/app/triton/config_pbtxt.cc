#include "app/triton/config_pbtxt.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "app/triton/model_config.pb.h"
#include "base/fs.h"
#include "base/strings.h"
#include "base/text_proto.h"

namespace leadsman::triton {
namespace {

using file::ModelConfig;  // and not leadsman's, from here on
using file::ModelDynamicBatching;
using file::ModelInstanceGroup;
using file::ModelQueuePolicy;
using file::ModelVersionPolicy;
using file::ModelWarmup;
using std::chrono::microseconds;

/// One file on its way into a model's configuration.
class Translation {
 public:
  Translation(const ModelConfig& from, TextProto& text, Config::Model& to,
              std::vector<std::string>& warnings)
      : from_(from), text_(text), to_(to.model), warnings_(warnings) {}

  void Run() {
    Name();
    Format();
    File();
    Versions();
    Tensors();
    Instances();
    Batching();
    Warmup();
    Parameters();
    Refused();
    WithoutEffect();
  }

 private:
  void Warn(std::string_view what, std::string_view why) {
    warnings_.push_back(
        StrCat("model ", to_.name, ": ", kConfigFileName, ": ", what, " does nothing: ", why));
  }

  void Name() {
    if (!from_.name().empty() && from_.name() != to_.name) {
      text_.Add("name", StrCat("says ", from_.name(), ", but the model is called ", to_.name,
                               ": remove the line or rename one of them"));
    }
  }

  void Format() {
    static const std::map<std::string, std::string, std::less<>> kBackends = {
        {"onnxruntime", "onnx"}, {"tensorflow", "tensorflow"}, {"python", "python"}, {"fil", ""}};
    static const std::map<std::string, std::string, std::less<>> kPlatforms = {
        {"onnxruntime_onnx", "onnx"}, {"tensorflow_savedmodel", "tensorflow"}};
    std::string format;
    if (!from_.backend().empty()) {
      auto it = kBackends.find(from_.backend());
      if (it == kBackends.end()) {
        std::vector<std::string> known;
        for (const auto& [name, ours] : kBackends) known.push_back(name);
        text_.Add("backend", StrCat("the backend ", from_.backend(),
                                    " is not supported; there are ", HumanList(known)));
        return;
      }
      format = it->second;
      if (from_.backend() == "fil") {
        auto type = from_.parameters().find("model_type");
        std::string value = type == from_.parameters().end() ? "" : type->second.string_value();
        if (value.starts_with("xgboost") || value == "lightgbm") {
          format = value == "lightgbm" ? value : "xgboost";
        } else if (!value.empty()) {
          text_.Add("parameters",
                    StrCat("model_type ", value,
                           " of the backend fil is not supported; "
                           "there are xgboost, xgboost_json, xgboost_ubj and lightgbm"));
        }
      }
    } else if (!from_.platform().empty()) {
      auto it = kPlatforms.find(from_.platform());
      if (it == kPlatforms.end()) {
        text_.Add("platform", StrCat("the platform ", from_.platform(),
                                     " is not supported; there are onnxruntime_onnx and "
                                     "tensorflow_savedmodel"));
        return;
      }
      format = it->second;
    }
    if (to_.format.empty()) to_.format = format;
  }

  void File() {
    if (!from_.default_model_filename().empty())
      Warn("default_model_filename", "the file is found by looking, see docs/model-formats.md");
  }

  void Versions() {
    const ModelVersionPolicy& policy = from_.version_policy();
    VersionPolicy out;
    switch (policy.policy_choice_case()) {
      case ModelVersionPolicy::kLatest:
        out.latest =
            static_cast<int>(std::clamp<uint32_t>(policy.latest().num_versions(), 1, 1000));
        break;
      case ModelVersionPolicy::kAll:
        out.kind = VersionPolicy::Kind::kAll;
        break;
      case ModelVersionPolicy::kSpecific:
        out.kind = VersionPolicy::Kind::kSpecific;
        out.specific = {policy.specific().versions().begin(), policy.specific().versions().end()};
        if (out.specific.empty() ||
            *std::min_element(out.specific.begin(), out.specific.end()) < 1) {
          text_.Add("version_policy.specific", "needs versions, each from 1 on");
        }
        break;
      case ModelVersionPolicy::POLICY_CHOICE_NOT_SET:
        return;
    }
    bool untouched = to_.policy.kind == VersionPolicy::Kind::kLatest && to_.policy.latest == 1;
    if (untouched) to_.policy = out;
  }

  template <typename Tensor>
  void CheckTensor(const Tensor& tensor, const std::string& path) {
    if (tensor.name().empty()) text_.Add(path + ".name", "must not be empty");
    if (tensor.data_type() == file::TYPE_INVALID)
      text_.Add(path + ".data_type", "must be one of TYPE_FP32, TYPE_INT64, TYPE_STRING, …");
    if (tensor.is_shape_tensor())
      text_.Add(path + ".is_shape_tensor", "shape tensors are TensorRT's and not supported");
    for (int64_t dim : tensor.dims()) {
      if (dim < -1) text_.Add(path + ".dims", StrCat("must be lengths, or -1 for any, not ", dim));
    }
  }

  void Tensors() {
    if (from_.max_batch_size() < 0)
      text_.Add("max_batch_size", "must be 0 (no batch dimension) or the largest number of rows");
    for (int i = 0; i < from_.input_size(); ++i) {
      std::string path = StrCat("input[", i, "]");
      CheckTensor(from_.input(i), path);
      if (from_.input(i).allow_ragged_batch())
        Warn(path + ".allow_ragged_batch", "set batching.pad_ragged to let lengths share a batch");
    }
    for (int i = 0; i < from_.output_size(); ++i) {
      std::string path = StrCat("output[", i, "]");
      CheckTensor(from_.output(i), path);
      if (!from_.output(i).label_filename().empty())
        Warn(path + ".label_filename", "classes are told by their numbers");
    }
  }

  void Instances() {
    int count = 0;
    for (int i = 0; i < from_.instance_group_size(); ++i) {
      const ModelInstanceGroup& group = from_.instance_group(i);
      std::string path = StrCat("instance_group[", i, "]");
      if (group.count() < 0 || group.count() > 256)
        text_.Add(path + ".count", StrCat("must be from 1 to 256, not ", group.count()));
      if (group.kind() == ModelInstanceGroup::KIND_GPU)
        Warn(path + ".kind: KIND_GPU", "models run on CPUs here");
      count += std::max(1, group.count());
    }
    if (to_.instances == 0) to_.instances = std::min(count, 256);
  }

  static void ReadQueue(const ModelQueuePolicy& from, BatchingConfig::Queue& to) {
    to.timeout_action = from.timeout_action() == ModelQueuePolicy::DELAY
                            ? BatchingConfig::TimeoutAction::kDelay
                            : BatchingConfig::TimeoutAction::kReject;
    to.default_timeout =
        microseconds(std::min<uint64_t>(from.default_timeout_microseconds(), 86'400'000'000));
    to.allow_timeout_override = from.allow_timeout_override();
    if (from.max_queue_size() > 0) to.max_size = from.max_queue_size();
  }

  void Batching() {
    if (!from_.has_dynamic_batching() || to_.batching) return;
    const ModelDynamicBatching& from = from_.dynamic_batching();
    if (from_.max_batch_size() < 1) {
      text_.Add("dynamic_batching", "needs max_batch_size: the largest number of rows in a batch");
      return;
    }
    BatchingConfig batching;
    batching.max_batch_size = static_cast<uint32_t>(from_.max_batch_size());
    batching.max_delay =
        microseconds(std::min<uint64_t>(from.max_queue_delay_microseconds(), 10'000'000));
    for (int i = 0; i < from.preferred_batch_size_size(); ++i) {
      int size = from.preferred_batch_size(i);
      if (size < 1 || size > from_.max_batch_size()) {
        text_.Add(
            StrCat("dynamic_batching.preferred_batch_size[", i, "]"),
            StrCat("must be from 1 to max_batch_size (", from_.max_batch_size(), "), not ", size));
      } else {
        batching.preferred_sizes.push_back(static_cast<uint32_t>(size));
      }
    }
    std::sort(batching.preferred_sizes.begin(), batching.preferred_sizes.end());
    batching.preferred_sizes.erase(
        std::unique(batching.preferred_sizes.begin(), batching.preferred_sizes.end()),
        batching.preferred_sizes.end());
    if (from.has_default_queue_policy()) ReadQueue(from.default_queue_policy(), batching.queue);
    uint64_t levels = from.priority_levels();
    if (levels > 16) {
      text_.Add("dynamic_batching.priority_levels", "must be 16 at most");
    } else if (levels > 0) {
      batching.priorities.levels = static_cast<uint32_t>(levels);
      batching.priorities.max_sizes.assign(levels, 0);
      if (from.default_priority_level() < 1 || from.default_priority_level() > levels) {
        text_.Add("dynamic_batching.default_priority_level",
                  StrCat("must be from 1 to priority_levels (", levels, ")"));
      } else {
        batching.priorities.default_level = static_cast<uint32_t>(from.default_priority_level());
      }
    }
    for (const auto& [level, policy] : from.priority_queue_policy()) {
      if (level < 1 || level > levels) {
        text_.Add("dynamic_batching.priority_queue_policy",
                  StrCat("level ", level, " is not from 1 to priority_levels (", levels, ")"));
      } else {
        batching.priorities.max_sizes[level - 1] = policy.max_queue_size();
        if (policy.default_timeout_microseconds() > 0)
          Warn(StrCat("the timeout of priority level ", level),
               "timeouts are the queue's, not a level's");
      }
    }
    if (from.preserve_ordering())
      Warn("dynamic_batching.preserve_ordering", "answers of one connection are in order anyway");
    to_.batching = std::move(batching);
  }

  void Warmup() {
    uint32_t count = 0;
    for (const ModelWarmup& warmup : from_.model_warmup()) {
      count = std::max({count, warmup.count(), 1u});
      for (const auto& [name, input] : warmup.inputs()) {
        if (!input.zero_data())
          Warn(StrCat("the data of model_warmup for ", name), "rows of zeros are sent");
      }
    }
    if (count > 0) to_.warmup_requests = static_cast<int>(std::min<uint32_t>(count, 10'000));
  }

  void Parameters() {
    for (const auto& [key, value] : from_.parameters()) {
      bool ours = from_.backend() == "fil" && key == "model_type";
      if (!ours) to_.runtime_options.emplace(key, value.string_value());
    }
  }

  void Refused() {
    auto refuse = [&](bool there, const char* block, const char* why) {
      if (there) text_.Add(block, why);
    };
    refuse(from_.has_ensemble_scheduling(), "ensemble_scheduling",
           "ensembles are not supported: put the steps into one model, or call them one by one");
    refuse(from_.has_sequence_batching(), "sequence_batching",
           "models with a state between requests are not supported");
    refuse(from_.has_model_operations(), "model_operations",
           "libraries of custom operators are not loaded");
    refuse(from_.has_model_repository_agents(), "model_repository_agents",
           "agents are not supported; checksums of a version's files go into its manifest.json");
    refuse(from_.batch_input_size() > 0, "batch_input", "is not supported");
    refuse(from_.batch_output_size() > 0, "batch_output", "is not supported");
    refuse(from_.model_transaction_policy().decoupled(), "model_transaction_policy",
           "decoupled models (several answers, or none, to one request) are not supported");
  }

  void WithoutEffect() {
    if (from_.has_optimization()) Warn("optimization", "runtimes are set by runtime_options");
    if (from_.response_cache().enable()) Warn("response_cache", "answers are not cached");
    if (from_.has_model_metrics()) Warn("model_metrics", "buckets are the same for all models");
    if (!from_.metric_tags().empty()) Warn("metric_tags", "labels are model and version");
    if (!from_.cc_model_filenames().empty()) Warn("cc_model_filenames", "models run on CPUs here");
    if (!from_.runtime().empty()) Warn("runtime", "each backend has one runtime");
  }

  const ModelConfig& from_;
  TextProto& text_;
  leadsman::ModelConfig& to_;
  std::vector<std::string>& warnings_;
};

}  // namespace

Status ApplyConfigPbtxt(Config::Model& model, std::vector<std::string>& warnings) {
  if (model.model.path.find("://") != std::string::npos) return OkStatus();  // not on this machine
  std::string path = JoinPath(model.model.path, kConfigFileName);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return OkStatus();
  TextProto text;
  text.PassOver("leadsman.triton.file.NotRead");
  ModelConfig config;
  RETURN_IF_ERROR(text.Load(path, config));
  Translation(config, text, model, warnings).Run();
  return text.status();
}

void ApplyConfigPbtxt(Config& config, std::vector<std::string>& warnings) {
  for (Config::Model& model : config.models) {
    const Config::Model before = model;
    Status status = ApplyConfigPbtxt(model, warnings);
    if (status.ok()) continue;
    model = before;
    warnings.push_back(StrCat("model ", model.model.name, " is configured as if it had no ",
                              kConfigFileName, ": ", status.message()));
  }
}

}  // namespace leadsman::triton
