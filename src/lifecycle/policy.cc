#include "lifecycle/policy.h"

#include <algorithm>

namespace leadsman {
namespace {

bool TakesMemory(VersionState state) {
  return IsOnItsWay(state) || state == VersionState::kReady || state == VersionState::kDraining ||
         state == VersionState::kUnloading;
}
bool MayBeLoaded(const VersionView& v) {
  switch (v.state) {
    case VersionState::kNew:
    case VersionState::kGone:
      return v.available;
    case VersionState::kFailed:
      return v.available && v.retry_due;
    case VersionState::kDraining:
      return true;
    default:
      return false;
  }
}

std::set<int64_t> Latest(const ModelView& model, const std::vector<const VersionView*>& ascending) {
  std::set<int64_t> wanted;
  int good = 0;
  int failed = 0;
  for (auto it = ascending.rbegin(); it != ascending.rend(); ++it) {
    // With nothing to serve, every version is worth a try.
    if (good >= model.policy.latest || (failed > kMaxFallbacks && good > 0)) break;
    const VersionView& v = **it;
    bool does_not_count =
        model.swap == SwapPolicy::kResourcePreserving ? v.failed_for_good : v.failed_before;
    wanted.insert(v.version);
    ++(does_not_count ? failed : good);
  }
  return wanted;
}

/// Unwanted versions that could go now, ascending; empty when they have to wait.
std::vector<const VersionView*> MayGo(const ModelView& model, const std::set<int64_t>& wanted) {
  std::vector<const VersionView*> leaving;
  bool wanted_pending = false;
  bool wanted_ready = false;
  for (const VersionView& v : model.versions) {
    if (wanted.contains(v.version)) {
      wanted_ready = wanted_ready || v.state == VersionState::kReady;
      wanted_pending =
          wanted_pending || (v.state != VersionState::kReady && v.state != VersionState::kFailed);
    } else if (v.state == VersionState::kReady) {
      leaving.push_back(&v);
    }
  }
  if (model.removed) return leaving;
  // Where the model was moved to, there may be nothing that could take over.
  const bool none = wanted.empty();
  if (model.swap == SwapPolicy::kResourcePreserving && !none) return leaving;
  if (wanted_pending) return {};
  if (!wanted_ready) {
    // Everything that should take over has failed, or is not there: the highest version that is still fit to serve stays.
    auto last = std::find_if(leaving.rbegin(), leaving.rend(), [&](const VersionView* v) {
      const bool fit = v->moved_away || (v->available && !none);
      return fit && !model.pins.exclude.contains(v->version);
    });
    if (last != leaving.rend()) leaving.erase(std::next(last).base());
  }
  return leaving;
}

}  // namespace

std::set<int64_t> WantedVersions(const ModelView& model) {
  if (model.removed) return {};
  std::vector<const VersionView*> candidates;
  for (const VersionView& v : model.versions) {
    if (v.available && !model.pins.exclude.contains(v.version)) candidates.push_back(&v);
  }
  std::set<int64_t> wanted;
  switch (model.policy.kind) {
    case VersionPolicy::Kind::kLatest:
      wanted = Latest(model, candidates);
      break;
    case VersionPolicy::Kind::kAll:
      for (const VersionView* v : candidates) wanted.insert(v->version);
      break;
    case VersionPolicy::Kind::kSpecific:
      for (const VersionView* v : candidates) {
        const std::vector<int64_t>& named = model.policy.specific;
        if (std::find(named.begin(), named.end(), v->version) != named.end()) {
          wanted.insert(v->version);
        }
      }
      break;
  }
  for (const VersionView& v : model.versions) {
    // A pinned version in memory stays even when its folder has gone.
    if (model.pins.keep.contains(v.version) && (v.available || TakesMemory(v.state))) {
      wanted.insert(v.version);
    }
  }
  return wanted;
}

Action NextAction(const ModelView& model) {
  std::set<int64_t> wanted = WantedVersions(model);
  std::vector<const VersionView*> leaving = MayGo(model, wanted);
  bool unwanted_in_memory = std::any_of(
      model.versions.begin(), model.versions.end(),
      [&](const VersionView& v) { return !wanted.contains(v.version) && TakesMemory(v.state); });
  bool hold_loads = model.swap == SwapPolicy::kResourcePreserving && unwanted_in_memory;

  // Pinned versions first (a rollout waits for them), then the newest.
  const VersionView* load = nullptr;
  for (const VersionView& v : model.versions) {
    if (!wanted.contains(v.version) || !MayBeLoaded(v)) continue;
    if (hold_loads && v.state != VersionState::kDraining) continue;
    bool pinned = model.pins.keep.contains(v.version);
    if (load == nullptr || pinned || !model.pins.keep.contains(load->version)) load = &v;
  }
  if (load != nullptr) return {Action::Kind::kLoad, load->version};
  if (!leaving.empty()) return {Action::Kind::kUnload, leaving.front()->version};
  return {};
}

}  // namespace leadsman
