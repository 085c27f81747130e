#include "cli/api_client.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/table.h"

namespace leadsman::cli {

ApiClient::ApiClient(std::unique_ptr<net::HttpClient> http, Options options)
    : http_(std::move(http)), options_(std::move(options)) {
  while (options_.server.ends_with('/')) options_.server.pop_back();
  if (options_.server.find("://") == std::string::npos)
    options_.server = "http://" + options_.server;
}

std::shared_ptr<Json> ApiClient::Get(const std::string& path) { return Call("GET", path, ""); }

std::shared_ptr<Json> ApiClient::Call(const std::string& method, const std::string& path,
                                      const std::string& body) {
  net::ClientRequest request;
  request.method = method;
  request.url = options_.server + path;
  request.body = body;
  request.timeout = options_.timeout;
  if (!options_.token.empty()) {
    request.headers.emplace_back("authorization", "Bearer " + options_.token);
  }
  if (!body.empty()) request.headers.emplace_back("content-type", "application/json");
  auto fail = [&](int code, std::string message) {
    exit_code_ = code;
    error_ = std::move(message);
    return nullptr;
  };
  http_status_ = 0;
  auto response = http_->Send(request);
  if (!response.ok()) {
    if (response.status().code() == StatusCode::kInvalidArgument) {
      return fail(kUsage, StrCat("--server ", options_.server, ": ", response.status().message()));
    }
    if (response.status().code() == StatusCode::kFailedPrecondition) {
      return fail(kUnreachable, StrCat(options_.server, " is not trusted: ",
                                       response.status().message(), " (--ca-file FILE)"));
    }
    return fail(kUnreachable,
                StrCat("cannot reach ", options_.server, " (", response.status().message(),
                       "): is `leadsman serve` or `leadsman monitor` running? give --server URL of "
                       "its admin port"));
  }
  http_status_ = response->status;
  Json json = Json::parse(response->body, nullptr, false);
  if (response->status >= 400) {
    std::string message = StrCat("HTTP status ", response->status);
    if (json.is_object() && json.contains("error") && json["error"].is_object()) {
      const Json& error = json["error"];
      if (error.contains("message") && error["message"].is_string())
        message = Clean(error["message"].get<std::string>());
      if (error.contains("details") && error["details"].is_array() && error["details"].size() > 1) {
        for (const Json& detail : error["details"]) {
          if (detail.is_string()) message += "\n  " + Clean(detail.get<std::string>());
        }
      }
    } else {
      message += StrCat(": ", options_.server, " does not look like a Leadsman admin port");
    }
    if (response->status == 401 && options_.token.empty()) {
      message += "; give a token by --token-file FILE or LEADSMAN_TOKEN";
    }
    return fail(response->status == 404 ? kNotFound : kFailed, message);
  }
  if (!json.is_object()) {
    return fail(kFailed, StrCat(options_.server, path,
                                " did not answer with a JSON object: is this the admin port of "
                                "Leadsman?"));
  }
  exit_code_ = kOk;
  error_.clear();
  return std::make_shared<Json>(std::move(json));
}

}  // namespace leadsman::cli
