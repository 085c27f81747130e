#include "protocol/v2/config_json.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

/// "TYPE_FP32"; texts are TYPE_STRING in Triton's configuration, and BYTES everywhere else.
std::string TypeName(DataType type) {
  return type == DataType::kBytes ? "TYPE_STRING" : StrCat("TYPE_", DataTypeName(type));
}

void AppendDims(std::string& out, const Shape& shape, bool batched) {
  out += '[';
  for (size_t i = batched ? 1 : 0; i < shape.rank(); ++i) {
    if (i > (batched ? 1u : 0u)) out += ',';
    out += std::to_string(shape[i]);
  }
  out += ']';
}

void AppendTensors(std::string& out, const std::vector<TensorSpec>& specs, bool batched,
                   bool inputs) {
  out += '[';
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& spec = specs[i];
    out += i > 0 ? ",{\"name\":" : "{\"name\":";
    AppendJsonString(out, spec.name);
    out += StrCat(",\"data_type\":\"", TypeName(spec.type), "\"");
    if (inputs) out += ",\"format\":\"FORMAT_NONE\"";
    out += ",\"dims\":";
    AppendDims(out, spec.shape, batched);
    if (!inputs) out += ",\"label_filename\":\"\"";
    out += ",\"is_shape_tensor\":false";
    if (inputs)
      out +=
          StrCat(",\"allow_ragged_batch\":false,\"optional\":", spec.optional ? "true" : "false");
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

}  // namespace

void AppendModelConfig(std::string& out, const ServableVersion& version) {
  // Only when every tensor has the dimension that would be left out.
  const Signature& signature = version.model->signature();
  auto has_batch = [](const TensorSpec& spec) {
    return !spec.any_rank && spec.shape.rank() > 0 && spec.shape[0] < 0;
  };
  const int64_t max_batch_size = version.triton ? version.triton->max_batch_size : 0;
  const bool batched = max_batch_size > 0 &&
                       std::all_of(signature.inputs.begin(), signature.inputs.end(), has_batch) &&
                       std::all_of(signature.outputs.begin(), signature.outputs.end(), has_batch);
  out += "{\"name\":";
  AppendJsonString(out, version.model_name);
  out += ",\"platform\":";
  AppendJsonString(out, StrCat(version.backend_name, "_", version.format));
  out += ",\"backend\":";
  AppendJsonString(out, version.backend_name);
  out += ",\"version_policy\":";
  AppendVersionPolicy(out, version.config->policy);
  out += StrCat(",\"max_batch_size\":", batched ? max_batch_size : 0, ",\"input\":");
  AppendTensors(out, signature.inputs, batched, true);
  out += ",\"output\":";
  AppendTensors(out, signature.outputs, batched, false);
  out += ",\"batch_input\":[],\"batch_output\":[],\"instance_group\":[{\"name\":";
  AppendJsonString(out, StrCat(version.model_name, "_0"));
  out +=
      ",\"kind\":\"KIND_CPU\",\"count\":1,\"gpus\":[],\"profile\":[]}],"
      "\"default_model_filename\":\"\",\"cc_model_filenames\":{},\"metric_tags\":{},\"parameters\":"
      "{}";
  out += ",\"model_warmup\":[]}";
}

}  // namespace leadsman::v2
