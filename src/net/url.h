#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace leadsman::net {

/// An http or https URL in its parts. A value.
struct Url {
  bool https = false;
  std::string host;       ///< without the brackets of an IPv6 literal
  std::string port;       ///< always there: 80 or 443 unless given
  std::string target;     ///< path and query as written, beginning with '/'
  std::string authority;  ///< host and port as written: for the Host field and for messages

  /// "https://host:port": what must be equal for credentials to be sent along.
  std::string Origin() const;
  std::string ToString() const;
};

/// INVALID_ARGUMENT, with the reason, for what no request can be sent to. Messages leave out the query
/// and what stands before '@': both may be secrets.
Result<Url> ParseUrl(std::string_view text);

/// Where a Location field leads, seen from `base`: an absolute URL, "//host/path", "/path", "?query"
/// or a relative path. INVALID_ARGUMENT as ParseUrl.
Result<Url> ResolveLocation(const Url& base, std::string_view location);

}  // namespace leadsman::net
