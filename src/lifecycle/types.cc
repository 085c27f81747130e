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

}  // namespace leadsman
