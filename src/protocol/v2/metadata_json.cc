#include "protocol/v2/metadata_json.h"

#include "base/strings.h"
#include "protocol/v2/model_config.h"

namespace leadsman::v2 {
namespace {

void AppendSpecs(std::string& out, const std::vector<TensorSpec>& specs) {
  out += '[';
  for (size_t i = 0; i < specs.size(); ++i) {
    if (i > 0) out += ',';
    out += "{\"name\":";
    AppendJsonString(out, specs[i].name);
    out += StrCat(",\"datatype\":\"", DataTypeName(specs[i].type),
                  "\",\"shape\":", specs[i].shape.ToString(), "}");
  }
  out += ']';
}

}  // namespace

void AppendServerMetadata(std::string& out, std::string_view server_version) {
  out += "{\"name\":\"leadsman\",\"version\":";
  AppendJsonString(out, server_version);
  out +=
      ",\"extensions\":[\"classification\",\"model_repository\",\"model_repository(unload_"
      "dependents)\",\"schedule_policy\",\"model_configuration\",\"binary_tensor_data\","
      "\"parameters\",\"statistics\"]}";
}

void AppendModelMetadata(std::string& out, const ServableVersion& version,
                         std::span<const int64_t> versions) {
  out += "{\"name\":";
  AppendJsonString(out, version.model_name);
  out += ",\"versions\":[";
  for (size_t i = 0; i < versions.size(); ++i)
    out += StrCat(i > 0 ? "," : "", "\"", versions[i], "\"");
  out += "],\"platform\":";
  AppendJsonString(out, PlatformOf(version));
  out += ",\"inputs\":";
  AppendSpecs(out, version.model->signature().inputs);
  out += ",\"outputs\":";
  AppendSpecs(out, version.model->signature().outputs);
  out += '}';
}

}  // namespace leadsman::v2
