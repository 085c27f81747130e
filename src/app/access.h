#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "auth/authorizer.h"
#include "net/http_server.h"
#include "rpc/grpc_server.h"

namespace leadsman {

/// What a request does. Each door (REST, gRPC, the admin port) says which of these a request of its own is; what that needs is
/// written once, in the table of access.cc, so that no door gives what another one refuses.
enum class Operation : uint8_t {
  kProbe,           ///< is it alive, is it ready
  kReadMetrics,     ///< Prometheus'
  kDescribeServer,  ///< what tells of no model
  kUseModel,        ///< predictions of one model, and what describes it
  kListModels,      ///< what may tell of any model
  kControl,         ///< loading and unloading, settings, memory that is shared with the server
  kLabel,           ///< true answers
  kAdminister,      ///< the rest of the admin API
};

/// One request, by its head alone.
struct Access {
  Operation operation = Operation::kAdminister;
  std::string model;           ///< of kUseModel, decoded; empty: any
  bool model_to_come = false;  ///< the message will name it, and is asked about again
};

/// What the serving port needs to know to tell.
struct ServingPaths {
  std::string metrics_path;  ///< empty: none
  /// The model that a path means which names none; "" when that is not clear.
  std::function<std::string(std::string_view path)> default_model;
};
/// `method` is the request's asked_method(): GET stands for HEAD.
Access ServingAccess(std::string_view method, std::string_view path, const ServingPaths& paths);
/// /predict and /invocations mean the only model that there is: which one may change while the message arrives. By their head the
/// role is asked for alone, and with the whole message this.
bool NamesNoModel(std::string_view path);
Access DefaultModelAccess(std::string_view path, const ServingPaths& paths);
Access AdminAccess(std::string_view method, std::string_view path);
/// `method` is "/package.Service/Method".
Access GrpcAccess(std::string_view method, const rpc::CalledModel& model);

/// OK, or why not: UNAUTHENTICATED, PERMISSION_DENIED.
Status CheckAccess(const Authorizer& authorizer, const Access& access,
                   std::string_view authorization);

/// False when `response` has become a 401 or 403; `error_body` words these.
bool IsAllowed(const Authorizer& authorizer, const Access& access, const net::HttpRequest& request,
               net::HttpResponse& response,
               const std::function<std::string(int, std::string_view)>& error_body);

}  // namespace leadsman
