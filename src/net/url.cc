#include "net/url.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace leadsman::net {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

bool HasSpaceOrControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

/// The URL as it may be shown.
std::string Shown(std::string_view text) {
  std::string_view shown = text.substr(0, text.find_first_of("?#"));
  size_t scheme = shown.find("://");
  size_t begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  std::string_view authority = shown.substr(begin, shown.find('/', begin) - begin);
  size_t at = authority.rfind('@');
  if (at == std::string_view::npos) return std::string(shown);
  return StrCat(shown.substr(0, begin), "…", shown.substr(begin + at));
}

/// "/a/b/../c" → "/a/c", as a browser would.
std::string WithoutDotSegments(std::string_view path) {
  std::vector<std::string_view> kept;
  std::vector<std::string_view> parts = Split(path.substr(1), '/');
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (parts[i] == "..") {
      if (!kept.empty()) kept.pop_back();
      if (last) kept.emplace_back();
    } else if (parts[i] == ".") {
      if (last) kept.emplace_back();
    } else {
      kept.push_back(parts[i]);
    }
  }
  std::string out;
  for (std::string_view part : kept) out += StrCat("/", part);
  return out.empty() ? "/" : out;
}

}  // namespace

std::string Url::Origin() const {
  std::string lower = host;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return StrCat(https ? kHttps : kHttp, lower, ":", port);
}

std::string Url::ToString() const { return StrCat(https ? kHttps : kHttp, authority, target); }

Result<Url> ParseUrl(std::string_view text) {
  auto bad = [&](std::string_view why) {
    return InvalidArgumentError(StrCat("\"", Shown(text), "\" is not a usable URL: ", why));
  };
  Url url;
  url.https = StartsWithIgnoreCase(text, kHttps);
  if (!url.https && !StartsWithIgnoreCase(text, kHttp)) {
    return bad("it must start with http:// or https://");
  }
  if (HasSpaceOrControl(text)) return bad("it contains spaces or control characters");
  std::string_view rest = text.substr(url.https ? kHttps.size() : kHttp.size());
  rest = rest.substr(0, rest.find('#'));
  size_t end = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, end);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  if (authority.find('@') != std::string_view::npos) {
    return bad("a name or password before the host is not supported; send an Authorization field");
  }
  url.authority = authority;
  url.target = target.starts_with('/') ? std::string(target) : StrCat("/", target);
  std::string_view port;
  if (authority.starts_with('[')) {
    size_t close = authority.find(']');
    if (close == std::string_view::npos) {
      return bad("the bracket of its IPv6 address is not closed");
    }
    url.host = authority.substr(1, close - 1);
    std::string_view after = authority.substr(close + 1);
    if (!after.empty() && !after.starts_with(':')) {
      return bad("after the IPv6 address only a port may follow");
    }
    port = after.empty() ? after : after.substr(1);
  } else {
    size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (url.host.empty()) return bad("it names no host");
  auto number = port.empty() ? std::optional<int64_t>(url.https ? 443 : 80) : ParseInt64(port);
  if (!number || *number < 1 || *number > 65535) {
    return bad("the port must be a number from 1 to 65535");
  }
  url.port = std::to_string(*number);
  return url;
}

Result<Url> ResolveLocation(const Url& base, std::string_view location) {
  location = location.substr(0, location.find('#'));
  const size_t delimiter = location.find_first_of(":/?");
  if (delimiter != std::string_view::npos && location[delimiter] == ':') return ParseUrl(location);
  if (location.starts_with("//"))
    return ParseUrl(StrCat(base.https ? "https:" : "http:", location));
  const std::string_view base_path = std::string_view(base.target).substr(0, base.target.find('?'));
  const size_t question = location.find('?');
  std::string_view path = location.substr(0, question);
  std::string_view query =
      question == std::string_view::npos ? std::string_view() : location.substr(question);
  std::string target;
  if (path.empty()) {
    target = StrCat(base_path, query);
  } else if (path.starts_with('/')) {
    target = StrCat(WithoutDotSegments(path), query);
  } else {
    target = StrCat(WithoutDotSegments(StrCat(base_path.substr(0, base_path.rfind('/') + 1), path)),
                    query);
  }
  return ParseUrl(StrCat(base.https ? kHttps : kHttp, base.authority, target));
}

}  // namespace leadsman::net
