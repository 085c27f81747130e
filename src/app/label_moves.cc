#include "app/label_moves.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman {
namespace {

std::string ReadyVersions(const ModelStatus& model) {
  std::vector<std::string> ready;
  for (const VersionStatus& version : model.versions) {
    if (version.state == VersionState::kReady) ready.push_back(StrCat(version.version));
  }
  return HumanList(ready);
}

bool IsReady(const ModelStatus& model, int64_t version) {
  return std::any_of(model.versions.begin(), model.versions.end(), [&](const VersionStatus& v) {
    return v.version == version && v.state == VersionState::kReady;
  });
}

}  // namespace

Status CheckLabelMoves(const std::vector<ModelConfig>& before, const std::vector<ModelConfig>& next,
                       const std::map<std::string, ModelStatus>& now, LabelsMayWait which) {
  if (which == LabelsMayWait::kAny) return OkStatus();
  for (const ModelConfig& model : next) {
    auto running = now.find(model.name);
    if (running == now.end()) continue;  // a new model: all of it is still to be loaded
    auto old = std::find_if(before.begin(), before.end(),
                            [&](const ModelConfig& m) { return m.name == model.name; });
    for (const auto& [label, version] : model.labels) {
      bool said =
          old != before.end() && old->labels.contains(label) && old->labels.at(label) == version;
      if (said || IsReady(running->second, version)) continue;
      auto live = running->second.labels.find(label);
      bool moves = live != running->second.labels.end() && live->second != version;
      if (!moves && which == LabelsMayWait::kNew) continue;
      return FailedPreconditionError(
          StrCat("Request to assign label ", label, " of model ", model.name, " to version ",
                 version, ", which is not currently available for inference; ready: ",
                 ReadyVersions(running->second),
                 moves ? StrCat(". The label serves version ", live->second,
                                " meanwhile; load the version first, then move the label, or allow "
                                "it by --force_allow_any_version_labels_for_unavailable_models")
                       : ". Load the version first, or allow it by "
                         "--allow_version_labels_for_unavailable_models"));
    }
  }
  return OkStatus();
}

}  // namespace leadsman
