#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cli/main.h"
#include "net/http_client.h"

namespace leadsman::cli {

using Json = nlohmann::ordered_json;

/// Talks to a running server's admin API. Externally synchronised; calls block up to the timeout.
class ApiClient {
 public:
  struct Options {
    std::string server;
    std::chrono::milliseconds timeout{10'000};
    std::string token;  ///< sent as a bearer token; empty: none
  };
  ApiClient(std::unique_ptr<net::HttpClient> http, Options options);

  /// The answer, or null: then exit_code() and error() say why, in words that name the next step.
  std::shared_ptr<Json> Get(const std::string& path);
  std::shared_ptr<Json> Call(const std::string& method, const std::string& path,
                             const std::string& body);

  int exit_code() const { return exit_code_; }
  const std::string& error() const { return error_; }
  int http_status() const { return http_status_; }

 private:
  std::unique_ptr<net::HttpClient> http_;
  Options options_;
  int exit_code_ = kOk;
  int http_status_ = 0;
  std::string error_;
};

}  // namespace leadsman::cli
