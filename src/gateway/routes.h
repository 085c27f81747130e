#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"
#include "net/http_server.h"

namespace leadsman::gateway {

/// Which route a request has: the first one that fits. Immutable; thread-safe; pure.
class RouteTable {
 public:
  struct Route {
    RouteOptions options;
    size_t service = 0;  ///< index into Options::services
    size_t source = 0;   ///< of its bodies; 0 as well of the one that there is without any
    double sample = 0;   ///< of bodies that are decoded
  };
  explicit RouteTable(const Options& options);

  /// `host` as the request names it, with its port. Null when none fits.
  const Route* Find(std::string_view host, const net::HttpRequest& request) const;

 private:
  std::vector<Route> routes_;
};

/// A path as upstreams understand it, for comparing: "/a/./b//../c%2e" → "/a/c.". What is not resolved by it is passed on as
/// it came; so nobody reaches by "/open/../closed" what a route keeps for others.
std::string NormalisedPath(std::string_view path);

}  // namespace leadsman::gateway
