#include "protocol/tfserving/status_json.h"

#include "base/strings.h"
#include "serving/predictor.h"

namespace leadsman::tfserving {
namespace {

void AppendTensorInfos(std::string& out, const std::vector<TensorSpec>& specs) {
  out += '{';
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& spec = specs[i];
    if (i > 0) out += ',';
    AppendJsonString(out, spec.name);
    out += ":{\"dtype\":\"";
    out += TensorFlowTypeName(spec.type);
    out += "\",\"tensor_shape\":{\"dim\":[";
    for (size_t d = 0; d < spec.shape.rank(); ++d) {
      if (d > 0) out += ',';
      out += StrCat("{\"size\":\"", spec.shape[d], "\",\"name\":\"\"}");
    }
    out += spec.any_rank ? "],\"unknown_rank\":true},\"name\":"
                         : "],\"unknown_rank\":false},\"name\":";
    AppendJsonString(out, spec.name);
    out += '}';
  }
  out += '}';
}

}  // namespace

std::string_view StateName(VersionState state) {
  switch (state) {
    case VersionState::kNew:
      return "START";
    case VersionState::kFetching:
    case VersionState::kVerifying:
    case VersionState::kLoading:
    case VersionState::kWarming:
      return "LOADING";
    case VersionState::kReady:
      return "AVAILABLE";
    case VersionState::kDraining:
    case VersionState::kUnloading:
      return "UNLOADING";
    case VersionState::kGone:
    case VersionState::kFailed:
      return "END";
  }
  return "UNKNOWN";
}

Status AppendModelStatus(std::string& out, const ModelStatus& model, std::optional<int64_t> only) {
  out += "{\"model_version_status\":[";
  bool first = true;
  for (auto it = model.versions.rbegin(); it != model.versions.rend(); ++it) {
    if (only && it->version != *only) continue;
    if (!first) out += ',';
    first = false;
    // Only a failure is an error here: the status of other states says what is being waited for.
    bool failed = it->state == VersionState::kFailed;
    out += StrCat("{\"version\":\"", it->version, "\",\"state\":\"", StateName(it->state),
                  "\",\"status\":{\"error_code\":\"",
                  failed ? StatusCodeName(it->status.code()) : "OK", "\",\"error_message\":");
    AppendJsonString(out, failed ? it->status.message() : "");
    out += "}}";
  }
  out += "]}";
  if (first) {
    std::string what = only ? StrCat("version ", *only, " of model ", model.name)
                            : StrCat("any versions of model ", model.name);
    std::string note = only ? NoteAbout(model, *only) : model.note;
    return NotFoundError(StrCat("Could not find ", what, note.empty() ? "" : "; ", note));
  }
  return OkStatus();
}

void AppendMetadata(std::string& out, const ServableVersion& version) {
  out += "{\"model_spec\":{\"name\":";
  AppendJsonString(out, version.model_name);
  out += StrCat(",\"signature_name\":\"\",\"version\":\"", version.version, "\"},");
  out +=
      "\"metadata\":{\"signature_def\":{\"@type\":\"type.googleapis.com/"
      "tensorflow.serving.SignatureDefMap\","
      "\"signature_def\":{";
  bool first = true;
  for (const NamedSignature& named : version.model->signatures()) {
    if (!first) out += ',';
    first = false;
    AppendJsonString(out, named.name);
    out += ":{\"inputs\":";
    AppendTensorInfos(out, named.signature.inputs);
    out += ",\"outputs\":";
    AppendTensorInfos(out, named.signature.outputs);
    out += ",\"method_name\":";
    AppendJsonString(out, named.method);
    out += '}';
  }
  out += "}}}}";
}

}  // namespace leadsman::tfserving
