#include "gateway/split.h"

#include <algorithm>
#include <numeric>

#include "base/strings.h"

namespace leadsman::gateway {

Split::Split(const std::vector<int64_t>& versions, std::vector<uint32_t> parts, bool compared,
             uint64_t seed)
    : parts_(std::move(parts)), order_(versions.size()), compared_(compared), seed_(seed) {
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::sort(order_.begin(), order_.end(),
            [&](size_t a, size_t b) { return versions[a] > versions[b]; });
}

size_t Split::At(uint32_t place) const {
  uint32_t end = 0;
  for (size_t version : order_) {
    end += parts_[version];
    if (place < end) return version;
  }
  return order_.empty() ? 0 : order_.back();
}

uint32_t StickyPlace(uint64_t seed, std::string_view key) {
  // FNV-1a, then mixed: its low bits alone are poor.
  uint64_t hash = 0xcbf29ce484222325ull ^ Rng::Mix(seed + 0x9e3779b97f4a7c15ull);
  for (char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  hash = Rng::Mix(hash);
  return static_cast<uint32_t>((static_cast<unsigned __int128>(hash) * Split::kParts) >> 64);
}

std::optional<std::string_view> CookieOf(const net::HttpRequest& request, std::string_view name) {
  for (const net::HttpRequest::Field& field : request.fields) {
    if (!EqualsIgnoreCase(field.name, "cookie")) continue;
    for (std::string_view pair : leadsman::Split(field.value, ';')) {
      pair = Trim(pair);
      const size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name)
        return pair.substr(equals + 1);
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> StickyKey(const SplitOptions& options,
                                          const net::HttpRequest& request,
                                          std::string_view client) {
  switch (options.by) {
    case SplitOptions::By::kRandom:
      return std::nullopt;
    case SplitOptions::By::kHeader: {
      const std::string_view value = request.Header(options.name);
      return value.empty() ? std::nullopt : std::optional(value);
    }
    case SplitOptions::By::kCookie:
      return CookieOf(request, options.name);
    case SplitOptions::By::kClient:
      return client;
  }
  return std::nullopt;
}

}  // namespace leadsman::gateway
