#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/http_client.h"
#include "net/tls_server.h"

namespace leadsman::gateway {

struct ListenerOptions {
  /// What becomes of X-Forwarded-For and X-Forwarded-Proto that a client has sent.
  enum class Forwarded {
    kAppend,   ///< another proxy in front is believed
    kReplace,  ///< they begin here
  };
  std::string address = "0.0.0.0";
  uint16_t port = 8080;
  Forwarded forwarded = Forwarded::kAppend;
  net::TlsServerOptions tls;
  enum class Protocol {
    kAuto,  ///< HTTP/1.1, and HTTP/2 for who begins with it; over TLS if a service speaks it
    kHttp1,
  };
  Protocol protocol = Protocol::kAuto;
};

/// How endpoints are spoken to over TLS.
struct UpstreamTlsOptions {
  std::string ca_file;    ///< PEM; empty: the system's
  std::string cert_file;  ///< PEM, with its chain, for servers that ask; empty: none
  std::string key_file;   ///< PEM
  std::string
      server_name;  ///< asked for, and what certificates must be for; empty: the endpoint's host
  bool verify = true;

  friend bool operator==(const UpstreamTlsOptions&, const UpstreamTlsOptions&) = default;

  net::TlsClientOptions files() const {
    return {.ca_file = ca_file, .cert_file = cert_file, .key_file = key_file, .verify = verify};
  }
};

/// One version of a service: where it answers.
struct VersionOptions {
  int64_t version = 0;
  std::vector<std::string> endpoints;          ///< "host:port"
  std::optional<double> weight;                ///< share of the traffic
  std::optional<UpstreamTlsOptions> tls = {};  ///< absent: the service's
};

struct SplitOptions {
  enum class By { kRandom, kHeader, kCookie, kClient };
  By by = By::kRandom;
  std::string name;                           ///< of the header or cookie
  uint64_t seed = 0;                          ///< another one puts other users first
  std::string header = "x-leadsman-version";  ///< forces a version; empty: nothing does
};

struct TimeoutOptions {
  std::chrono::milliseconds connect{2'000};
  std::chrono::milliseconds per_try{30'000};
  std::chrono::milliseconds total{0};  ///< 0 = none
  std::chrono::milliseconds idle{60'000};
  std::chrono::milliseconds tunnel{3'600'000};
  std::chrono::milliseconds keep_alive{1'500};
};

struct UpstreamLimits {
  size_t max_connections = 1024;  ///< of one endpoint; of HTTP/2 requests at once
  size_t max_pending = 1024;      ///< of one version
};

struct HealthOptions {
  std::string path;  ///< empty: no active checks
  std::string host;  ///< for the Host field; empty: the endpoint's
  std::chrono::milliseconds interval{5'000};
  std::chrono::milliseconds timeout{2'000};
  int unhealthy_after = 3;
  int healthy_after = 2;

  friend bool operator==(const HealthOptions&, const HealthOptions&) = default;
};

struct OutlierOptions {
  int consecutive_errors = 5;  ///< 0 = off
  std::chrono::milliseconds ejection{30'000};
  std::chrono::milliseconds max_ejection{300'000};
  double max_ejected = 0.5;
};

struct RetryOptions {
  int max = 2;          ///< further tries of one request
  double budget = 0.2;  ///< of the requests under way
  int min = 3;          ///< at once are always allowed
  bool posts = false;   ///< POST and PATCH may be sent twice
};

/// Copies of predictions for another version, whose answers no client sees.
struct MirrorOptions {
  int64_t version = 0;                       ///< that gets them; 0: only those that a rollout names
  double share = 1;                          ///< of the predictions
  size_t max_concurrent = 64;                ///< copies under way
  size_t max_body = 1 << 20;                 ///< of a request, and of each answer
  size_t max_held_bytes = size_t{64} << 20;  ///< of all copies
  std::chrono::milliseconds timeout{30'000};  ///< for a connection and the whole answer
  double tolerance = 1e-5;                    ///< of numbers of the two answers
};

struct ServiceOptions {
  std::string name;
  std::vector<VersionOptions> versions;
  SplitOptions split;
  TimeoutOptions timeouts;
  UpstreamLimits limits;
  HealthOptions health;
  OutlierOptions outliers;
  RetryOptions retries;
  std::optional<MirrorOptions> mirror;
  std::optional<UpstreamTlsOptions> tls;  ///< absent: plain text
  enum class Protocol {
    kHttp1,
    kHttp2,
    kGrpc,  ///< HTTP/2; checks are calls
  };
  Protocol protocol = Protocol::kHttp1;

  bool http2() const { return protocol != Protocol::kHttp1; }
};

/// How bodies of a route's predictions are read.
struct RouteDecodeOptions {
  using Fields = std::map<std::string, std::string>;  ///< name → where in the JSON it stands
  std::optional<double> sample;                       ///< absent: DecodeOptions::sample
  Fields request, response;                           ///< empty: by what they look like
};

/// Copies of bodies that pass, for the monitor.
struct DecodeOptions {
  double sample = 1;                         ///< share of predictions; 0: no body is looked at
  size_t max_body = 1 << 20;                 ///< of a request, and of an answer
  size_t max_held_bytes = size_t{64} << 20;  ///< of all copies
  size_t max_queue = 4096;                   ///< exchanges that wait to be decoded
};

struct RouteOptions {
  /// Which requests are predictions.
  enum class Predictions { kAll, kPosts, kNone };
  std::string host;                            ///< "api.example.com", "*.example.com"; empty: any
  std::string path;                            ///< prefix; empty: any
  std::map<std::string, std::string> headers;  ///< "*" as value: it is there
  std::string service;
  Predictions predictions = Predictions::kAll;
  RouteDecodeOptions decode;
  std::optional<size_t> source =
      {};  ///< of its bodies, for the ExchangeSink; not configured. Absent: its index
};

struct ClientLimits {
  size_t max_header = 64 << 10;
  size_t max_body = 64 << 20;  ///< 0 = any
  size_t max_connections = 10'000;
  uint32_t max_streams = 100;  ///< of one HTTP/2 connection
  std::chrono::milliseconds head_timeout{10'000};
  std::chrono::milliseconds idle_timeout{75'000};
};

/// The section `gateway` of the configuration. A value; ConfigSchema checks it.
struct Options {
  std::vector<ListenerOptions> listeners;
  std::vector<RouteOptions> routes;  ///< the first that fits
  std::vector<ServiceOptions> services;
  ClientLimits limits;
  DecodeOptions decode;
  int io_threads = 0;  ///< 0 = one per core
};

/// "127.0.0.1:5000", "[::1]:5000", "models.local:80". INVALID_ARGUMENT says what is wrong.
Result<std::pair<std::string, std::string>> ParseEndpoint(const std::string& text);

/// The shares that the versions have without a rollout, in 1/10,000ths, in their order: as configured, or all to the lowest.
std::vector<uint32_t> ConfiguredParts(const ServiceOptions& service);
/// The same of given shares; INVALID_ARGUMENT unless they are 100 % together and none is negative.
Result<std::vector<uint32_t>> PartsOf(const std::vector<double>& shares);

}  // namespace leadsman::gateway
