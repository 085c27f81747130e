#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "gateway/config.h"
#include "net/http_server.h"

namespace leadsman::gateway {

/// How the traffic of a service is shared among its versions now. Immutable; thread-safe; pure.
class Split {
 public:
  static constexpr uint32_t kParts = 10'000;

  Split() = default;
  /// `parts` of the versions with these numbers, kParts in all. `compared`: both versions of a rollout have a share, and what
  /// is drawn is evidence. `seed`: of sticky places.
  Split(const std::vector<int64_t>& versions, std::vector<uint32_t> parts, bool compared,
        uint64_t seed);

  /// The index of the version that has this place, 0 ≤ place < kParts. The newest comes first: when its share grows, who is
  /// with it stays.
  size_t At(uint32_t place) const;
  uint32_t parts(size_t version) const { return parts_[version]; }
  bool compared() const { return compared_; }
  uint64_t seed() const { return seed_; }

 private:
  std::vector<uint32_t> parts_;
  std::vector<size_t> order_;  ///< newest first
  bool compared_ = false;
  uint64_t seed_ = 0;
};

/// Where in the split a request stands.
uint32_t StickyPlace(uint64_t seed, std::string_view key);
/// What a sticky split goes by; nothing when the request does not say it, or the split is not sticky.
std::optional<std::string_view> StickyKey(const SplitOptions& options,
                                          const net::HttpRequest& request, std::string_view client);
/// The value of a cookie; nothing when it is not among them.
std::optional<std::string_view> CookieOf(const net::HttpRequest& request, std::string_view name);

}  // namespace leadsman::gateway
