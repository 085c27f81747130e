#include "protocol/tfserving/paths.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::tfserving {
namespace {

/// Takes everything up to the next '/' or ':' from the front.
std::string_view TakeName(std::string_view& rest) {
  size_t end = std::min(rest.find_first_of("/:"), rest.size());
  std::string_view name = rest.substr(0, end);
  rest.remove_prefix(end);
  return name;
}

/// TensorFlow Serving matches its paths without regard to case.
bool TakePrefix(std::string_view& rest, std::string_view prefix) {
  if (rest.size() < prefix.size() || !EqualsIgnoreCase(rest.substr(0, prefix.size()), prefix))
    return false;
  rest.remove_prefix(prefix.size());
  return true;
}

}  // namespace

Result<Path> ParsePath(std::string_view method, std::string_view path) {
  auto malformed = [&] {
    return InvalidArgumentError(StrCat("Malformed request: ", method, " ", CutUtf8(path, 256)));
  };
  Path result;
  std::string_view rest = path;
  if (!TakePrefix(rest, "/v1/models")) return malformed();
  if (rest.empty() && method == "GET") {
    return InvalidArgumentError("Missing model name in request. Ask for /v1/models/<name>");
  }
  if (!rest.starts_with('/')) return malformed();
  rest.remove_prefix(1);
  result.model = TakeName(rest);
  if (result.model.empty()) return malformed();
  if (TakePrefix(rest, "/versions/")) {
    std::string_view digits = TakeName(rest);
    bool numeric = !digits.empty() && std::all_of(digits.begin(), digits.end(),
                                                  [](char c) { return c >= '0' && c <= '9'; });
    if (!numeric) return malformed();
    result.version = ParseInt64(digits);
    if (!result.version)
      return InvalidArgumentError(
          StrCat("Failed to convert version: ", CutUtf8(digits, 64), " to numeric."));
  } else if (TakePrefix(rest, "/labels/")) {
    result.label = TakeName(rest);
    if (result.label.empty()) return malformed();
  }
  bool post = method == "POST";
  if (rest.empty() && method == "GET") return result;
  if (method == "GET" && TakePrefix(rest, "/metadata") && rest.empty()) {
    result.metadata = true;
    return result;
  }
  if (post && TakePrefix(rest, ":")) {
    result.verb = rest;
    if (rest == "predict" || rest == "classify" || rest == "regress") return result;
  }
  return malformed();
}

}  // namespace leadsman::tfserving
