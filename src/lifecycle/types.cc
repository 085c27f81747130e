#include "lifecycle/types.h"

#include <algorithm>

namespace leadsman {

std::string_view VersionStateName(VersionState state) {
  switch (state) {
    case VersionState::kNew:
      return "new";
    case VersionState::kFetching:
      return "fetching";
    case VersionState::kVerifying:
      return "verifying";
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

const VersionStatus* TellingVersion(const ModelStatus& model) {
  const VersionStatus* other = nullptr;
  for (auto version = model.versions.rbegin(); version != model.versions.rend(); ++version) {
    switch (version->state) {
      case VersionState::kNew:
      case VersionState::kFetching:
      case VersionState::kVerifying:
      case VersionState::kLoading:
      case VersionState::kWarming:
        return &*version;
      case VersionState::kFailed:
      case VersionState::kDraining:
      case VersionState::kUnloading:
        if (other == nullptr) other = &*version;
        break;
      case VersionState::kReady:
      case VersionState::kGone:
        break;
    }
  }
  return other;
}

std::string_view ModelStateName(const ModelStatus& model) {
  bool ready = std::ranges::any_of(model.versions, [](const VersionStatus& version) {
    return version.state == VersionState::kReady;
  });
  if (ready) return VersionStateName(VersionState::kReady);
  const VersionStatus* telling = TellingVersion(model);
  if (telling != nullptr && telling->waits_for_room) return "memory";
  if (telling != nullptr) return VersionStateName(telling->state);
  return model.silent_seconds > 0 ? VersionStateName(VersionState::kFetching) : "empty";
}

bool ServableVersion::HasRows(const TensorSpec& spec) const {
  if (triton && triton->max_batch_size == 0) return false;
  return spec.any_rank || (spec.shape.rank() > 0 && spec.shape[0] < 0);
}

uint32_t ServableVersion::InferencesOf(uint32_t rows) const {
  const bool whole = triton && triton->max_batch_size == 0 && !config->batching;
  return whole ? std::min<uint32_t>(rows, 1) : rows;
}

std::span<const std::string> ServableVersion::ClassLabels(std::string_view output) const {
  if (!triton) return {};
  for (const TritonConfig::Tensor& tensor : triton->outputs) {
    if (tensor.name == output) return tensor.labels;
  }
  return {};
}

}  // namespace leadsman
