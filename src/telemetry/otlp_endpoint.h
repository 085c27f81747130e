#pragma once

#include <string>

namespace leadsman {

/// Empty, or what is wrong with the URL of an OTLP/HTTP endpoint, for its path as "/v1/traces". An empty one is fine: none.
std::string CheckOtlpUrl(const std::string& url, const std::string& path);

}  // namespace leadsman
