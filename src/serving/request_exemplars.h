#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "stats/fine_latency.h"
#include "stats/registry.h"

namespace leadsman {

/// For each version and each octave of its latency histograms the last request whose trace is kept: what a dashboard
/// links from a slow bucket. Told by whoever keeps traces, never by the thread that serves.
///
/// At most 1,000 versions; a further one takes the place of the one that was told of longest ago. Thread-safe.
class RequestExemplars {
 public:
  using VersionKey = std::pair<std::string, std::string>;  ///< model, version
  enum Of : uint8_t { kLatency, kCompute };
  static constexpr size_t kMaxVersions = 1000;

  /// Without `compute_ns` the model did not run. The exemplar's value is put in here.
  void Add(VersionKey version, uint64_t latency_ns, uint64_t compute_ns, Exemplar exemplar);
  void Forget(const VersionKey& version);
  /// By value.
  std::vector<Exemplar> Read(const VersionKey& version, Of of) const;

 private:
  struct OfVersion {
    uint64_t told = 0;
    std::array<std::array<Exemplar, FineLatencyScheme::kOctaves>, 2> exemplars{};
  };
  mutable Mutex mutex_;
  std::map<VersionKey, OfVersion> versions_ GUARDED_BY(mutex_);
  uint64_t told_ GUARDED_BY(mutex_) = 0;
};

}  // namespace leadsman
