#include "storage/store_uri.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view TrimSlashes(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return text;
}

struct Scheme {
  std::string_view name;
  StoreUri::Kind kind;
  std::string_view example;
};
constexpr std::array<Scheme, 9> kSchemes = {{
    {"file", StoreUri::Kind::kFile, "file:///models/digits"},
    {"s3", StoreUri::Kind::kS3, "s3://bucket/models/digits"},
    {"gs", StoreUri::Kind::kGcs, "gs://bucket/models/digits"},
    {"hdfs", StoreUri::Kind::kHdfs, "hdfs://namenode/models/digits"},
    {"webhdfs", StoreUri::Kind::kHdfs, "webhdfs://namenode:9870/models/digits"},
    {"swebhdfs", StoreUri::Kind::kHdfs, "swebhdfs://namenode:9871/models/digits"},
    {"http", StoreUri::Kind::kHttp, "http://host/models/digits"},
    {"https", StoreUri::Kind::kHttp, "https://host/models/digits"},
    {"models", StoreUri::Kind::kMlflow, "models:/digits@champion"},
}};

Status CheckAuthority(const StoreUri& uri, const Scheme& scheme) {
  if (uri.authority.empty()) {
    return InvalidArgumentError(
        StrCat("the ",
               scheme.kind == StoreUri::Kind::kS3 || scheme.kind == StoreUri::Kind::kGcs ? "bucket"
                                                                                         : "host",
               " is missing; write it like ", scheme.example));
  }
  if (uri.authority.find('@') != std::string::npos) {
    return InvalidArgumentError(
        "user and password do not belong into the path: they would be shown in logs and status "
        "pages; docs/stores.md says where each store looks for credentials");
  }
  bool plain = std::all_of(uri.authority.begin(), uri.authority.end(), [](char c) {
    return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':' || c == '[' || c == ']';
  });
  if (!plain) return InvalidArgumentError(StrCat("\"", uri.authority, "\" is no host or bucket"));
  return OkStatus();
}

Status CheckPath(std::string_view path) {
  for (char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return InvalidArgumentError("the path must not contain control characters");
  }
  for (std::string_view part : Split(path, '/')) {
    if (part == "." || part == "..")
      return InvalidArgumentError("the path must not contain \".\" or \"..\"");
  }
  return OkStatus();
}

Status ParseMlflow(std::string_view rest, StoreUri& uri) {
  std::string_view name = TrimSlashes(rest);
  size_t slash = name.find('/');
  size_t at = name.find('@');
  if (slash != std::string_view::npos) {
    std::string_view version = name.substr(slash + 1);
    uri.version = VersionNumber(version);
    if (uri.version == 0) {
      return InvalidArgumentError(
          StrCat("\"", version,
                 "\" is no version of a registered model: write models:/name/3, models:/name@alias "
                 "or models:/name (stages are not supported; give the version an alias)"));
    }
    name = name.substr(0, slash);
  } else if (at != std::string_view::npos) {
    uri.alias = std::string(name.substr(at + 1));
    if (uri.alias.empty())
      return InvalidArgumentError("the alias after @ is missing: models:/name@champion");
    name = name.substr(0, at);
  }
  if (name.empty())
    return InvalidArgumentError("the registered model's name is missing: models:/name@champion");
  uri.model = std::string(name);
  return OkStatus();
}

}  // namespace

int64_t VersionNumber(std::string_view name) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsDigit)) return 0;
  std::optional<int64_t> version = ParseInt64(name);
  return version && *version >= 1 ? *version : 0;
}

bool IsFilePath(std::string_view text) {
  return text.find("://") == std::string_view::npos ? !text.starts_with("models:/")
                                                    : Lower(text.substr(0, 7)) == "file://";
}

Result<StoreUri> ParseStoreUri(std::string_view text) {
  if (text.empty()) return InvalidArgumentError("must not be empty");
  if (text.size() > 4096) return InvalidArgumentError("must have at most 4096 characters");
  StoreUri uri;
  size_t colon = text.find(":/");
  bool has_scheme = text.find("://") != std::string_view::npos || text.starts_with("models:/");
  if (!has_scheme) {
    uri.path = std::string(text);
    return uri;
  }
  uri.scheme = Lower(text.substr(0, colon));
  const auto* scheme = std::find_if(kSchemes.begin(), kSchemes.end(),
                                    [&](const Scheme& s) { return s.name == uri.scheme; });
  if (scheme == kSchemes.end()) {
    std::vector<std::string> known;
    for (const Scheme& s : kSchemes)
      known.push_back(StrCat(s.name, s.name == "models" ? ":/" : "://"));
    return InvalidArgumentError(StrCat("there is no store for ", uri.scheme,
                                       "://; it must be a folder's path or begin with ",
                                       HumanList(known)));
  }
  uri.kind = scheme->kind;
  if (uri.kind == StoreUri::Kind::kMlflow) {
    RETURN_IF_ERROR(CheckPath(text));
    RETURN_IF_ERROR(ParseMlflow(text.substr(colon + 2), uri));
    return uri;
  }
  std::string_view rest = text.substr(colon + 3);
  if (uri.kind == StoreUri::Kind::kFile) {
    if (!rest.starts_with('/')) {
      return InvalidArgumentError(
          "a file URI names an absolute path and no host: file:///models/digits");
    }
    uri.path = std::string(rest);
    return uri;
  }
  if (uri.kind == StoreUri::Kind::kHttp) {
    rest = rest.substr(0, rest.find('#'));
    size_t query = rest.find('?');
    if (query != std::string_view::npos) {
      uri.query = std::string(rest.substr(query));
      rest = rest.substr(0, query);
    }
  }
  size_t slash = rest.find('/');
  uri.authority = std::string(rest.substr(0, slash));
  RETURN_IF_ERROR(CheckAuthority(uri, *scheme));
  if (slash != std::string_view::npos) uri.path = std::string(TrimSlashes(rest.substr(slash)));
  RETURN_IF_ERROR(CheckPath(uri.path));
  return uri;
}

std::string RedactUrl(std::string_view url) {
  size_t begin = url.find("://");
  if (begin == std::string_view::npos) return std::string(url);  // of a file system
  url = url.substr(0, url.find_first_of("?#"));
  if (begin > url.size()) return std::string(url);
  begin += 3;
  size_t slash = url.find('/', begin);
  size_t at = url.substr(0, slash).rfind('@');
  std::string shown(url.substr(0, begin));
  shown += url.substr(at == std::string_view::npos || at < begin ? begin : at + 1);
  return shown;
}

}  // namespace leadsman
