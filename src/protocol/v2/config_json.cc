#include "protocol/v2/config_json.h"

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
  constexpr bool kBatched = false;
  out += "{\"name\":";
  AppendJsonString(out, version.model_name);
  out += ",\"platform\":";
  AppendJsonString(out, StrCat(version.backend_name, "_", version.format));
  out += ",\"backend\":";
  AppendJsonString(out, version.backend_name);
  out += ",\"version_policy\":";
  AppendVersionPolicy(out, version.config->policy);
  out += ",\"max_batch_size\":0,\"input\":";
  AppendTensors(out, version.model->signature().inputs, kBatched, true);
  out += ",\"output\":";
  AppendTensors(out, version.model->signature().outputs, kBatched, false);
  out += ",\"batch_input\":[],\"batch_output\":[],\"instance_group\":[{\"name\":";
  AppendJsonString(out, StrCat(version.model_name, "_0"));
  out +=
      ",\"kind\":\"KIND_CPU\",\"count\":1,\"gpus\":[],\"profile\":[]}],"
      "\"default_model_filename\":\"\",\"cc_model_filenames\":{},\"metric_tags\":{},\"parameters\":"
      "{}";
  out += ",\"model_warmup\":[]}";
}

}  // namespace leadsman::v2
