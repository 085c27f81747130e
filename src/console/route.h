#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http_server.h"

namespace leadsman::console {

/// A request whose route is known.
struct RouteCall {
  net::HttpExchange& exchange;
  std::map<std::string, std::string, std::less<>> path;  ///< decoded values of {model} and the like
  std::map<std::string, std::string, std::less<>>
      query;  ///< decoded; the first when given several times
};

/// One endpoint: how it is found, done and described. The table of these is the API.
struct Route {
  struct Parameter {
    std::string name;
    std::string in;    ///< "path" or "query"
    std::string type;  ///< "string" or "integer"
    std::string doc;
  };
  std::string method;
  std::string path;  ///< "/api/v1/models/{model}"
  std::string id;    ///< operationId
  std::string summary;
  std::vector<Parameter> parameters;
  std::string request_schema;  ///< name in the document's components, or "binary"; empty: no body
  std::map<int, std::string> responses;  ///< status → schema name, or "text"; errors beside 404/405
                                         ///< only where they can occur
  std::function<Status(RouteCall&)> handle;  ///< an error becomes the API's error answer
};

/// The OpenAPI 3.1 document of a table, indented.
std::string OpenApiDocument(const std::vector<Route>& routes, std::string_view version);

}  // namespace leadsman::console
