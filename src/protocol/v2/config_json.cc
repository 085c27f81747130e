#include "protocol/v2/config_json.h"

#include <utility>

#include "base/strings.h"
#include "protocol/v2/model_config.h"

namespace leadsman::v2 {
namespace {

/// "TYPE_FP32"; texts are TYPE_STRING in Triton's configuration, and BYTES everywhere else.
std::string TypeName(DataType type) {
  return type == DataType::kBytes ? "TYPE_STRING" : StrCat("TYPE_", DataTypeName(type));
}

std::string_view Flag(bool value) { return value ? "true" : "false"; }

void AppendTensors(std::string& out, const std::vector<ModelConfigView::Tensor>& tensors,
                   bool inputs) {
  out += '[';
  for (size_t i = 0; i < tensors.size(); ++i) {
    const ModelConfigView::Tensor& tensor = tensors[i];
    out += i > 0 ? ",{\"name\":" : "{\"name\":";
    AppendJsonString(out, tensor.name);
    out += StrCat(",\"data_type\":\"", TypeName(tensor.type), "\"");
    if (inputs) out += ",\"format\":\"FORMAT_NONE\"";
    out += StrCat(",\"dims\":", tensor.dims.ToString());
    if (tensor.reshape) out += StrCat(",\"reshape\":{\"shape\":", tensor.reshape->ToString(), "}");
    if (!inputs) {
      out += ",\"label_filename\":";
      AppendJsonString(out, tensor.label_filename);
    }
    out += ",\"is_shape_tensor\":false";
    if (inputs) out += StrCat(",\"allow_ragged_batch\":false,\"optional\":", Flag(tensor.optional));
    out += '}';
  }
  out += ']';
}

void AppendVersionPolicy(std::string& out, const VersionPolicy& policy) {
  switch (policy.kind) {
    case VersionPolicy::Kind::kAll:
      out += "{\"all\":{}}";
      return;
    case VersionPolicy::Kind::kLatest:
      out += StrCat("{\"latest\":{\"num_versions\":", policy.latest, "}}");
      return;
    case VersionPolicy::Kind::kSpecific:
      break;
  }
  std::vector<std::string> versions;
  for (int64_t version : policy.specific) versions.push_back(std::to_string(version));
  out += StrCat("{\"specific\":{\"versions\":[", Join(versions, ","), "]}}");
}

void AppendQueuePolicy(std::string& out, const BatchingConfig::Queue& queue) {
  const bool delay = queue.timeout_action == BatchingConfig::TimeoutAction::kDelay;
  out += StrCat("{\"timeout_action\":\"", delay ? "DELAY" : "REJECT",
                "\",\"default_timeout_microseconds\":", queue.default_timeout.count(),
                ",\"allow_timeout_override\":", Flag(queue.allow_timeout_override),
                ",\"max_queue_size\":", queue.max_size, "}");
}

void AppendBatching(std::string& out, const BatchingConfig& batching,
                    const ModelConfigView::Priorities& priorities) {
  std::vector<std::string> preferred;
  for (uint32_t size : batching.preferred_sizes) preferred.push_back(std::to_string(size));
  out += StrCat("{\"preferred_batch_size\":[", Join(preferred, ","),
                "],\"max_queue_delay_microseconds\":", batching.max_delay.count(),
                ",\"preserve_ordering\":false,\"priority_levels\":", priorities.levels,
                ",\"default_priority_level\":", priorities.default_level,
                ",\"default_queue_policy\":");
  AppendQueuePolicy(out, batching.queue);
  out += ",\"priority_queue_policy\":{";
  bool first = true;
  for (const auto& [level, queue] : priorities.queues) {
    out += StrCat(std::exchange(first, false) ? "\"" : ",\"", level, "\":");
    AppendQueuePolicy(out, queue);
  }
  out += "}}";
}

template <typename AppendValue>
void AppendMap(std::string& out, const std::map<std::string, std::string>& map,
               AppendValue append) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : map) {
    if (!std::exchange(first, false)) out += ',';
    AppendJsonString(out, key);
    out += ':';
    append(value);
  }
  out += '}';
}

}  // namespace

void AppendModelConfig(std::string& out, const ServableVersion& version) {
  const ModelConfigView view = DescribeModel(version);
  out += "{\"name\":";
  AppendJsonString(out, view.name);
  out += ",\"platform\":";
  AppendJsonString(out, view.platform);
  out += ",\"backend\":";
  AppendJsonString(out, view.backend);
  out += ",\"version_policy\":";
  AppendVersionPolicy(out, *view.versions);
  out += StrCat(",\"max_batch_size\":", view.max_batch_size, ",\"input\":");
  AppendTensors(out, view.inputs, true);
  out += ",\"output\":";
  AppendTensors(out, view.outputs, false);
  out += ",\"batch_input\":[],\"batch_output\":[]";
  if (view.batching != nullptr) {
    out += ",\"dynamic_batching\":";
    AppendBatching(out, *view.batching, view.priorities);
  }
  out += ",\"instance_group\":[{\"name\":";
  AppendJsonString(out, StrCat(view.name, "_0"));
  out += StrCat(",\"kind\":\"KIND_CPU\",\"count\":", view.instances,
                ",\"gpus\":[],\"profile\":[]}],\"default_model_filename\":");
  AppendJsonString(out, view.default_model_filename);
  out += ",\"cc_model_filenames\":";
  AppendMap(out, view.cc_model_filenames,
            [&](const std::string& file) { AppendJsonString(out, file); });
  out += ",\"metric_tags\":{},\"parameters\":";
  AppendMap(out, view.parameters, [&](const std::string& value) {
    out += "{\"string_value\":";
    AppendJsonString(out, value);
    out += '}';
  });
  out += ",\"model_warmup\":[]}";
}

}  // namespace leadsman::v2
