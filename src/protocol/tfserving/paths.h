#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman::tfserving {

/// /v1/models/M[/versions/N|/labels/L][:verb|/metadata], taken apart. Views point into the path.
struct Path {
  std::string_view model;  ///< percent-encoded
  std::optional<int64_t> version;
  std::string_view label;
  std::string_view verb;  ///< "predict", "classify", "regress" or empty
  bool metadata = false;
};

/// What a browser wants to see before a page of another site may read an answer.
inline constexpr std::string_view kCorsHeaders =
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Methods: POST, GET\r\n"
    "Access-Control-Allow-Headers: Content-Type\r\n";

/// INVALID_ARGUMENT with TensorFlow Serving's words: "Malformed request: GET /v1/foo".
Result<Path> ParsePath(std::string_view method, std::string_view path);

}  // namespace leadsman::tfserving
