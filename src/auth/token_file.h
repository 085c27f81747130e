#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/authorizer.h"

namespace leadsman::auth {

using Digest = std::array<uint8_t, 32>;
Digest Sha256(std::string_view text);

struct Grant {
  std::string name;  ///< for people
  Digest digest{};
  uint8_t roles = 0;                ///< bit of each Role
  std::vector<std::string> models;  ///< patterns; empty: all

  bool Has(Role role) const {
    return (roles & (1u << unsigned(Role::kAdmin))) != 0 || (roles & (1u << unsigned(role))) != 0;
  }
  bool Covers(ModelScope scope) const;
};

struct TokenFile {
  std::vector<Grant> grants;
  bool has_plain_tokens = false;
};

/// YAML or JSON:
///   tokens:
///     - {name: shop, sha256: 9f86d0…, roles: [predict], models: ["iris*"]}
///     - {name: me, token: a-long-random-text, roles: [admin]}
/// INVALID_ARGUMENT has all problems, one a line, with `path`, line and column, and no token.
Result<TokenFile> ParseTokenFile(std::string_view text, const std::string& path);

/// '*' stands for any text, '?' for one character, anything else for itself.
bool MatchesPattern(std::string_view pattern, std::string_view text);

}  // namespace leadsman::auth
