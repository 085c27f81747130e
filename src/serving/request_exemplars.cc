#include "serving/request_exemplars.h"

#include <algorithm>

namespace leadsman {

void RequestExemplars::Add(VersionKey version, uint64_t latency_ns, uint64_t compute_ns,
                           Exemplar exemplar) {
  MutexLock lock(mutex_);
  auto it = versions_.find(version);
  if (it == versions_.end()) {
    if (versions_.size() >= kMaxVersions) {
      versions_.erase(std::min_element(
          versions_.begin(), versions_.end(),
          [](const auto& a, const auto& b) { return a.second.told < b.second.told; }));
    }
    it = versions_.emplace(std::move(version), OfVersion()).first;
  }
  it->second.told = ++told_;
  auto put = [&](Of of, uint64_t ns) {
    exemplar.value = static_cast<double>(ns) / 1e9;
    it->second.exemplars[of][FineLatencyScheme::PlaceOf(ns).octave] = exemplar;
  };
  put(kLatency, latency_ns);
  if (compute_ns > 0) put(kCompute, compute_ns);
}

void RequestExemplars::Forget(const VersionKey& version) {
  MutexLock lock(mutex_);
  versions_.erase(version);
}

std::vector<Exemplar> RequestExemplars::Read(const VersionKey& version, Of of) const {
  std::vector<Exemplar> exemplars;
  MutexLock lock(mutex_);
  auto it = versions_.find(version);
  if (it == versions_.end()) return exemplars;
  for (const Exemplar& exemplar : it->second.exemplars[of]) {
    if (exemplar.unix_ms != 0) exemplars.push_back(exemplar);
  }
  return exemplars;
}

}  // namespace leadsman
