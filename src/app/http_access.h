#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "auth/authorizer.h"
#include "net/http_server.h"

namespace leadsman {

/// What a request needs, by its method and path alone.
struct HttpAccess {
  bool open = false;  ///< no token at all: health
  Role role = Role::kAdmin;
  std::string model;  ///< that it is about, decoded; empty: none
  /// It may be about any model: a token that is limited to some must not have it.
  bool any_model = false;
};

/// Of the serving port. Probes are open; loading and unloading models, and settings, are for admins; everything else needs
/// predict, of the model that the path names. `default_model` says which one /predict and /invocations mean.
HttpAccess ServingAccess(std::string_view method, std::string_view path,
                         const std::function<std::string()>& default_model);

/// Of the admin port. Probes are open, /metrics unless it is protected; labels are for label; everything else for admin.
HttpAccess AdminAccess(std::string_view method, std::string_view path, bool protect_metrics);

/// Of the gRPC port, by "/package.Service/Method": health is open, loading and settings are for admins. Of a prediction the
/// model comes later; what describes a model is about any.
HttpAccess GrpcAccess(std::string_view method);

/// OK, or why not: UNAUTHENTICATED, PERMISSION_DENIED.
Status CheckAccess(const Authorizer& authorizer, const HttpAccess& access,
                   std::string_view authorization);

/// False when the request has been answered with 401 or 403; `error_body` words these.
bool IsAllowed(const Authorizer& authorizer, const HttpAccess& access, net::HttpExchange& exchange,
               const std::function<std::string(int, std::string_view)>& error_body);

}  // namespace leadsman
