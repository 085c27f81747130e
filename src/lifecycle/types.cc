#include "lifecycle/types.h"

namespace leadsman {

std::string_view VersionStateName(VersionState state) {
  switch (state) {
    case VersionState::kNew:
      return "new";
    case VersionState::kFetching:
      return "fetching";
    case VersionState::kLoading:
      return "loading";
    case VersionState::kWarming:
      return "warming";
    case VersionState::kReady:
      return "ready";
    case VersionState::kDraining:
      return "draining";
    case VersionState::kUnloading:
      return "unloading";
    case VersionState::kGone:
      return "gone";
    case VersionState::kFailed:
      return "failed";
  }
  return "unknown";
}

std::span<const std::string> ServableVersion::ClassLabels(std::string_view output) const {
  if (!triton) return {};
  for (const TritonConfig::Tensor& tensor : triton->outputs) {
    if (tensor.name == output) return tensor.labels;
  }
  return {};
}

}  // namespace leadsman
