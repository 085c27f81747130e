#include "auth/token_file.h"

#include <openssl/sha.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/schema.h"
#include "base/strings.h"

namespace leadsman::auth {
namespace {

constexpr size_t kShortestToken = 16;
constexpr size_t kLongestToken = 4096;

/// As it stands in the file.
struct Entry {
  std::string name;
  std::string token;
  std::string sha256;
  std::vector<Role> roles;
  std::vector<std::string> models;
};
struct File {
  std::vector<Entry> tokens;
};

std::string CheckToken(const std::string& token) {
  const bool printable =
      std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return "must be printable ASCII without blanks";
  if (token.size() < kShortestToken || token.size() > kLongestToken) {
    return StrCat("must have ", kShortestToken, " to ", kLongestToken,
                  " characters; make one by: openssl rand -hex 32");
  }
  return "";
}

std::optional<Digest> ParseDigest(std::string_view text) {
  Digest digest{};
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return std::nullopt;
    digest[i / 2] = uint8_t(digest[i / 2] * 16 + digit);
  }
  return digest;
}

std::string CheckDigest(const std::string& text) {
  return ParseDigest(text)
             ? ""
             : "must be the 64 hexadecimal digits of: printf %s \"$TOKEN\" | sha256sum";
}

std::string CheckName(const std::string& name) {
  return name.empty() || name.size() > 128 ? "must have 1 to 128 characters" : "";
}

const schema::Struct<Entry>& EntrySchema() {
  static const auto table = [] {
    schema::Struct<Entry> s("Token", "One token and what it allows.");
    s.Required("name", &Entry::name, schema::TextWith("", CheckName), "Whose it is, for people.");
    s.Field("token", &Entry::token, schema::TextWith("", CheckToken), "The token itself.");
    s.Field("sha256", &Entry::sha256, schema::TextWith("", CheckDigest), "Or its hash.");
    s.Required("roles", &Entry::roles,
               schema::List(schema::Enum<Role>({{"predict", Role::kPredict},
                                                {"label", Role::kLabel},
                                                {"metrics", Role::kMetrics},
                                                {"admin", Role::kAdmin}}),
                            1, kRoleCount),
               "What it allows.");
    s.Field("models", &Entry::models, schema::List(schema::TextWith("", CheckName), 0, 1000),
            "Patterns with * and ?; empty = all models.");
    s.Check([](const Entry& entry, schema::Problems& problems) {
      if (!problems.IsSound("token") || !problems.IsSound("sha256")) return;
      if (entry.token.empty() == entry.sha256.empty()) {
        problems.Add("", "needs one of token and sha256");
      }
    });
    return s;
  }();
  return table;
}

/// The tables quote what they did not understand, which may be a token in the wrong place.
void HideWhatMayBeATokenIn(std::string& text) {
  size_t run = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    const bool of_a_token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                            (c >= 'A' && c <= 'Z') || std::string_view("_-+/=.~").find(c) < 7;
    if (of_a_token) {
      ++run;
      continue;
    }
    if (run >= kShortestToken) {
      constexpr std::string_view kHidden = "(hidden)";
      text.replace(i - run, run, kHidden);
      i = i - run + kHidden.size();
    }
    run = 0;
  }
}

Digest DigestOf(const Entry& entry) {
  return entry.token.empty() ? ParseDigest(entry.sha256).value_or(Digest{}) : Sha256(entry.token);
}

const schema::Struct<File>& FileSchema() {
  static const auto table = [] {
    schema::Struct<File> s("Tokens", "Who may use the server.");
    s.Required("tokens", &File::tokens, schema::List(schema::Of(EntrySchema()), 0, 10'000),
               "The tokens.");
    s.Check([](const File& file, schema::Problems& problems) {
      std::map<std::string, size_t> names;
      std::map<Digest, size_t> digests;
      for (size_t i = 0; i < file.tokens.size(); ++i) {
        const Entry& entry = file.tokens[i];
        if (!problems.IsSound(StrCat("tokens[", i, "]"))) continue;
        auto [name, new_name] = names.emplace(entry.name, i);
        if (!new_name) {
          problems.Add(StrCat("tokens[", i, "].name"),
                       StrCat("tokens[", name->second, "] has this name already"));
        }
        if (entry.token.empty() == entry.sha256.empty()) continue;
        auto [digest, new_digest] = digests.emplace(DigestOf(entry), i);
        if (!new_digest) {
          problems.Add(StrCat("tokens[", i, "]"),
                       StrCat("tokens[", digest->second, "] is the same token"));
        }
      }
    });
    return s;
  }();
  return table;
}

}  // namespace

Digest Sha256(std::string_view text) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  size_t star = std::string_view::npos, from = 0;  // the latest '*', and where it is tried to end
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Grant::Covers(ModelScope scope) const {
  if (scope.none() || models.empty()) return true;
  return !scope.any() && std::any_of(models.begin(), models.end(), [&](const std::string& pattern) {
    return MatchesPattern(pattern, scope.name());
  });
}

Result<TokenFile> ParseTokenFile(std::string_view text, const std::string& path) {
  File file = FileSchema().initial();
  std::vector<ConfigProblem> problems;
  if (!schema::ReadYaml(text, FileSchema(), file, problems)) {
    for (ConfigProblem& problem : problems) {
      HideWhatMayBeATokenIn(problem.message);
      HideWhatMayBeATokenIn(problem.path);
    }
    return InvalidArgumentError(FormatProblems(path, problems));
  }
  TokenFile result;
  for (const Entry& entry : file.tokens) {
    Grant grant;
    grant.name = entry.name;
    grant.digest = DigestOf(entry);
    for (Role role : entry.roles) grant.roles |= uint8_t(1u << unsigned(role));
    grant.models = entry.models;
    result.has_plain_tokens = result.has_plain_tokens || !entry.token.empty();
    result.grants.push_back(std::move(grant));
  }
  return result;
}

}  // namespace leadsman::auth
