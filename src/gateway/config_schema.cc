#include "gateway/config_schema.h"

#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "net/tls_server_schema.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

std::string CheckAddress(const std::string& address) {
  unsigned char binary[16];
  if (inet_pton(AF_INET, address.c_str(), binary) == 1 ||
      inet_pton(AF_INET6, address.c_str(), binary) == 1)
    return "";
  return "must be an IP address, for example 127.0.0.1, 0.0.0.0 or ::";
}

std::string CheckEndpoint(const std::string& text) {
  auto parsed = ParseEndpoint(text);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string CheckFieldName(const std::string& name) {
  return name.empty() || IsToken(name) ? "" : "must be a name of a header field or a cookie";
}

std::string CheckServiceName(const std::string& name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > 128) return "must have at most 128 characters";
  const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  if (!clean || name.front() == ' ' || name.back() == ' ')
    return "may have no control characters, nor spaces at its ends";
  return "";
}

std::string CheckPath(const std::string& path) {
  return path.empty() || path.front() == '/' ? "" : "must begin with /";
}

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

/// As it stands in a request line.
std::string CheckTarget(const std::string& path) {
  if (std::string wrong = CheckPath(path); !wrong.empty()) return wrong;
  return IsVisibleAscii(path) ? "" : "must be percent-encoded: no spaces, nothing but ASCII";
}

std::string CheckHostField(const std::string& host) {
  return IsVisibleAscii(host) ? "" : "must be as in a URL: host or host:port, no spaces";
}

std::string CheckServerName(const std::string& name) {
  const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':';
  });
  return clean ? "" : "must be a host's name or an address, without a port";
}

std::string CheckHost(const std::string& host) {
  std::string_view rest = host;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  if (host.empty()) return "";
  if (rest.empty() || rest.find('*') != std::string_view::npos)
    return "must be a host's name, or *. and the end of one";
  if (rest.find(':') != std::string_view::npos || rest.find('/') != std::string_view::npos)
    return "must be a host's name alone: no port, no scheme";
  return "";
}

const schema::Struct<ListenerOptions>& ListenerSchema() {
  using Forwarded = ListenerOptions::Forwarded;
  static const auto table = [] {
    schema::Struct<ListenerOptions> s("GatewayListener", "A port that clients use.");
    s.Field("address", &ListenerOptions::address,
            schema::TextWith("IPv4 or IPv6 literal", CheckAddress), "Where to listen.");
    s.Field("port", &ListenerOptions::port, schema::Integer<uint16_t>(0, 65535),
            "0 = any free one, which the log tells.");
    s.Field(
        "forwarded", &ListenerOptions::forwarded,
        schema::Enum<Forwarded>({{"append", Forwarded::kAppend}, {"replace", Forwarded::kReplace}}),
        "What becomes of a client's X-Forwarded-For and X-Forwarded-Proto: append = it is a "
        "proxy that is believed, and its own address is added; replace = they begin here.");
    s.Nested("tls", &ListenerOptions::tls, net::TlsServerOptionsSchema(), "Encryption.");
    s.Field("protocol", &ListenerOptions::protocol,
            schema::Enum<ListenerOptions::Protocol>({{"auto", ListenerOptions::Protocol::kAuto},
                                                     {"http1", ListenerOptions::Protocol::kHttp1}}),
            "auto = HTTP/1.1, and HTTP/2 for clients that begin with it; with TLS it is offered "
            "(ALPN) when a service speaks it. http1 = HTTP/1.1 alone.");
    return s;
  }();
  return table;
}

const schema::Struct<UpstreamTlsOptions>& UpstreamTlsSchema() {
  using Tls = UpstreamTlsOptions;
  static const auto table = [] {
    schema::Struct<Tls> s("GatewayUpstreamTls",
                          "TLS to endpoints, at least 1.2: of requests, copies for mirrors and "
                          "active checks. The files are read again when they change; what is no "
                          "good leaves the old ones in force. Paths are relative to the "
                          "configuration file.");
    s.Field("ca_file", &Tls::ca_file, schema::Text(),
            "PEM: who signed the endpoints' certificates; empty = the system's authorities.");
    s.Field("cert_file", &Tls::cert_file, schema::Text(),
            "PEM: a certificate to show, with its chain, to servers that ask for one (mTLS).");
    s.Field("key_file", &Tls::key_file, schema::Text(), "PEM: its key, without a pass phrase.");
    s.Field("server_name", &Tls::server_name, schema::TextWith("", CheckServerName),
            "The name that is asked for (SNI) and that certificates must be for; empty = each "
            "endpoint's host, or its address.");
    s.Field("verify", &Tls::verify, schema::Boolean(),
            "false: any certificate of any host will do. For tests alone: whoever is on the way "
            "can read and change everything.");
    s.Check([](const Tls& tls, schema::Problems& problems) {
      if (tls.cert_file.empty() != tls.key_file.empty())
        problems.Add("key_file", "cert_file and key_file go together");
      if (!tls.verify && !tls.ca_file.empty())
        problems.Add("ca_file", "is of no use with verify: false");
    });
    return s;
  }();
  return table;
}

const schema::Struct<VersionOptions>& VersionSchema() {
  static const auto table = [] {
    schema::Struct<VersionOptions> s("GatewayVersion", "One version of a service.");
    s.Required("version", &VersionOptions::version, schema::Integer<int64_t>(1),
               "Its number: in metrics, alarms and rollouts. A rollout goes from a lower one to a "
               "higher one.");
    s.Required("endpoints", &VersionOptions::endpoints,
               schema::List(schema::TextWith("host:port", CheckEndpoint), 1, 1000),
               "Where it answers; requests go to those that are healthy, the less busy of two "
               "drawn ones first. Names are looked up again every 10 s.");
    s.Field("weight", &VersionOptions::weight, schema::Optional(schema::Share(0, 1)),
            "Its share of the traffic, in steps of 0.01%; all together 100%. Without any, the "
            "lowest version has all. Not used while a rollout of the model decides.");
    s.Field("tls", &VersionOptions::tls, schema::Optional(schema::Of(UpstreamTlsSchema())),
            "TLS to its endpoints, instead of the service's; absent = as the service's.");
    s.Check([](const VersionOptions& version, schema::Problems& problems) {
      std::set<std::string> seen;
      for (size_t i = 0; i < version.endpoints.size(); ++i) {
        if (!seen.insert(version.endpoints[i]).second)
          problems.Add(StrCat("endpoints[", i, "]"), "stands there twice");
      }
    });
    return s;
  }();
  return table;
}

const schema::Struct<SplitOptions>& SplitSchema() {
  using By = SplitOptions::By;
  static const auto table = [] {
    schema::Struct<SplitOptions> s("GatewaySplit", "Which version a request goes to.");
    s.Field("by", &SplitOptions::by,
            schema::Enum<By>({{"random", By::kRandom},
                              {"header", By::kHeader},
                              {"cookie", By::kCookie},
                              {"client", By::kClient}}),
            "random = each request by itself; header, cookie = the same value stays with its "
            "version; client = the same address does. Who has no such header or cookie is drawn at "
            "random.");
    s.Field("name", &SplitOptions::name, schema::TextWith("", CheckFieldName),
            "Of the header or the cookie, as `x-user`.");
    s.Field("seed", &SplitOptions::seed, schema::Integer<uint64_t>(0),
            "Of sticky splits without a rollout: another number sends other users to a new version "
            "first. A rollout has a seed of its own.");
    s.Field("header", &SplitOptions::header, schema::TextWith("", CheckFieldName),
            "A request with this header goes to the version that it names, also to one with a "
            "weight of 0; empty = none does.");
    s.Check([](const SplitOptions& split, schema::Problems& problems) {
      const bool named = split.by == By::kHeader || split.by == By::kCookie;
      if (named && split.name.empty())
        problems.Add("name", "by header or cookie needs its name, as x-user");
      if (!named && !split.name.empty() && problems.IsSound("by"))
        problems.Add("name", "is of a split by header or cookie");
    });
    return s;
  }();
  return table;
}

const schema::Struct<TimeoutOptions>& TimeoutSchema() {
  using T = TimeoutOptions;
  static const auto table = [] {
    schema::Struct<T> s("GatewayTimeouts", "How long an upstream may take.");
    s.Field("connect", &T::connect, schema::Time<milliseconds>(1ms, 1h),
            "For a connection, and to wait for a free one.");
    s.Field("per_try", &T::per_try, schema::Time<milliseconds>(1ms, 24h),
            "From the end of the request until the answer's head, each try anew.");
    s.Field("total", &T::total, schema::Time<milliseconds>(0ms, 24h),
            "For a request with all its tries, to the last byte of its answer; 0 = no limit, as "
            "streams need.");
    s.Field("idle", &T::idle, schema::Time<milliseconds>(10ms, 24h),
            "While a body is on its way: without a byte in either direction.");
    s.Field("tunnel", &T::tunnel, schema::Time<milliseconds>(10ms, 24h),
            "The same of an upgraded connection (websocket).");
    s.Field("keep_alive", &T::keep_alive, schema::Time<milliseconds>(0ms, 1h),
            "How long a connection that nobody uses is kept. Less than the upstream keeps it "
            "(gunicorn 2s, uvicorn 5s, nginx 75s): else it may end just when a request is sent.");
    s.Check([](const T& t, schema::Problems& problems) {
      if (t.total > 0ms && t.per_try > t.total && problems.IsGiven("per_try") &&
          problems.IsSound("total"))
        problems.Add("per_try",
                     StrCat("must not be longer than total (", schema::FormatTime(t.total), ")"));
    });
    return s;
  }();
  return table;
}

const schema::Struct<UpstreamLimits>& UpstreamLimitsSchema() {
  static const auto table = [] {
    schema::Struct<UpstreamLimits> s("GatewayUpstreamLimits", "What a version is spared.");
    s.Field(
        "max_connections", &UpstreamLimits::max_connections, schema::Integer<size_t>(1, 1'000'000),
        "Connections, and so requests at once, of one endpoint; over HTTP/2, where many share a "
        "connection, requests.");
    s.Field("max_pending", &UpstreamLimits::max_pending, schema::Integer<size_t>(0, 1'000'000),
            "Requests of one version that wait for a connection; more are answered 503.");
    return s;
  }();
  return table;
}

const schema::Struct<HealthOptions>& HealthSchema() {
  static const auto table = [] {
    schema::Struct<HealthOptions> s("GatewayHealth", "Active checks of each endpoint.");
    s.Field(
        "path", &HealthOptions::path, schema::TextWith("", CheckTarget),
        "GET of this must be answered with a status from 200 to 399, as `/healthz`; with "
        "protocol: grpc a method that is called with an empty message and must answer OK, as "
        "`/grpc.health.v1.Health/Check` or `/inference.GRPCInferenceService/ServerReady`, which "
        "must also say that they serve. Empty = no checks.");
    s.Field("host", &HealthOptions::host, schema::TextWith("", CheckHostField),
            "For the Host field of checks; empty = the endpoint's.");
    s.Field("interval", &HealthOptions::interval, schema::Time<milliseconds>(10ms, 1h),
            "Between two checks.");
    s.Field("timeout", &HealthOptions::timeout, schema::Time<milliseconds>(1ms, 10min),
            "For one check.");
    s.Field("unhealthy_after", &HealthOptions::unhealthy_after, schema::Integer<int>(1, 1000),
            "Failed checks on end; at the start one.");
    s.Field("healthy_after", &HealthOptions::healthy_after, schema::Integer<int>(1, 1000),
            "Good checks on end; at the start one.");
    return s;
  }();
  return table;
}

const schema::Struct<OutlierOptions>& OutlierSchema() {
  static const auto table = [] {
    schema::Struct<OutlierOptions> s("GatewayOutliers",
                                     "Endpoints that fail requests get none for a while.");
    s.Field("consecutive_errors", &OutlierOptions::consecutive_errors,
            schema::Integer<int>(0, 1'000'000),
            "So many failures on end (no connection, no answer, or 502, 503, 504); 0 = off.");
    s.Field("ejection", &OutlierOptions::ejection, schema::Time<milliseconds>(10ms, 24h),
            "How long at first; each time on end once more as long.");
    s.Field("max_ejection", &OutlierOptions::max_ejection, schema::Time<milliseconds>(10ms, 24h),
            "At most.");
    s.Field("max_ejected", &OutlierOptions::max_ejected, schema::Share(0, 1),
            "Of a version's endpoints at once; a further one goes on getting requests.");
    return s;
  }();
  return table;
}

const schema::Struct<RetryOptions>& RetrySchema() {
  static const auto table = [] {
    schema::Struct<RetryOptions> s(
        "GatewayRetries",
        "A request is sent again when no connection was made, when a kept connection ended before "
        "it had taken a byte, and, of GET, HEAD, PUT, DELETE and OPTIONS, when no answer came. Of "
        "bodies, the first 64 KiB can be sent again.");
    s.Field("max", &RetryOptions::max, schema::Integer<int>(0, 10), "Further tries of a request.");
    s.Field("budget", &RetryOptions::budget, schema::Share(0, 1),
            "Retries under way, of the requests under way: retries must not become the load.");
    s.Field("min", &RetryOptions::min, schema::Integer<int>(0, 1000),
            "So many at once are allowed whatever the budget says.");
    s.Field("posts", &RetryOptions::posts, schema::Boolean(),
            "POST and PATCH are sent again as GET is: predictions without side effects.");
    return s;
  }();
  return table;
}

const schema::Struct<MirrorOptions>& MirrorSchema() {
  using M = MirrorOptions;
  static const auto table = [] {
    schema::Struct<M> s(
        "GatewayMirror",
        "Copies of predictions (GET and POST; of calls of gRPC ModelInfer, Predict, Classify and "
        "Regress) for another version, sent once the original has been answered; a rollout with a "
        "mirror says its own version and share. No client sees their answers, and no original "
        "waits for a copy or fails by one.");
    s.Field(
        "version", &M::version, schema::Integer<int64_t>(0),
        "Which version gets copies: one of the service's, usually with a weight of 0. 0 = none but "
        "the candidates of rollouts with mirrors, by the limits given here.");
    s.Field("share", &M::share, schema::Share(0, 1),
            "Of the predictions that other versions answer, in steps of 0.01%.");
    s.Field("max_concurrent", &M::max_concurrent, schema::Integer<size_t>(1, 1'000'000),
            "Copies under way; those beyond are dropped, and counted.");
    s.Field("max_body", &M::max_body, schema::Bytes<size_t>(0, 64 << 20),
            "Of a request; of one that is longer no copy is sent. What is longer of an answer is "
            "not kept.");
    s.Field("max_held_bytes", &M::max_held_bytes, schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
            "Memory of all copies.");
    s.Field("timeout", &M::timeout, schema::Time<milliseconds>(1ms, 1h),
            "For a copy: its connection and its whole answer.");
    s.Field("tolerance", &M::tolerance, schema::Number(0, 1),
            "How far two numbers of the two answers may be apart and still count as the same but "
            "for rounding: absolutely, and of numbers above 1 relatively. 0 = not at all.");
    return s;
  }();
  return table;
}

void CheckMirror(const ServiceOptions& service, schema::Problems& problems) {
  if (service.mirror && service.mirror->version == 0 && problems.IsGiven("mirror.share") &&
      problems.IsSound("mirror.version")) {
    problems.Add("mirror.share",
                 "needs version: which one gets copies; a rollout that mirrors says its own share");
  }
  if (!service.mirror || service.mirror->version == 0 || !problems.IsSound("mirror.version") ||
      !problems.IsSound("versions"))
    return;
  std::vector<std::string> known;
  for (const VersionOptions& version : service.versions) {
    if (version.version == service.mirror->version) return;
    known.push_back(std::to_string(version.version));
  }
  problems.Add("mirror.version", StrCat("there is no version ", service.mirror->version,
                                        "; versions: ", HumanList(known)));
}

void CheckService(const ServiceOptions& service, schema::Problems& problems) {
  CheckMirror(service, problems);
  std::set<int64_t> numbers;
  size_t weighted = 0;
  std::vector<double> shares;
  bool sound = true;
  for (size_t i = 0; i < service.versions.size(); ++i) {
    const std::string at = StrCat("versions[", i, "]");
    if (problems.IsSound(at + ".version") && !numbers.insert(service.versions[i].version).second)
      problems.Add(at + ".version", "there is already a version of this number");
    sound = sound && problems.IsSound(at + ".weight");
    if (service.versions[i].weight) ++weighted;
    shares.push_back(service.versions[i].weight.value_or(0));
  }
  if (weighted == 0 || !sound) return;
  auto parts = PartsOf(shares);
  if (!parts.ok()) problems.Add("versions", std::string(parts.status().message()));
}

const schema::Struct<ServiceOptions>& ServiceSchema() {
  static const auto table = [] {
    schema::Struct<ServiceOptions> s("GatewayService",
                                     "A model served elsewhere, in one version or several.");
    s.Required(
        "name", &ServiceOptions::name, schema::TextWith("", CheckServiceName),
        "The model's name: in metrics, alarms and rollouts. What `models` says of a model of "
        "this name (monitoring, rollout) holds for it.");
    s.Required("versions", &ServiceOptions::versions,
               schema::List(schema::Of(VersionSchema()), 1, 100), "Its versions.");
    s.Nested("split", &ServiceOptions::split, SplitSchema(), "Which version a request goes to.");
    s.Nested("timeouts", &ServiceOptions::timeouts, TimeoutSchema(), "How long it may take.");
    s.Nested("limits", &ServiceOptions::limits, UpstreamLimitsSchema(), "What it is spared.");
    s.Nested("health", &ServiceOptions::health, HealthSchema(), "Active checks.");
    s.Nested("outliers", &ServiceOptions::outliers, OutlierSchema(), "Passive checks.");
    s.Nested("retries", &ServiceOptions::retries, RetrySchema(), "What is sent again.");
    s.Field("mirror", &ServiceOptions::mirror, schema::Optional(schema::Of(MirrorSchema())),
            "Copies of predictions for another version; absent = none.");
    s.Field("tls", &ServiceOptions::tls, schema::Optional(schema::Of(UpstreamTlsSchema())),
            "TLS to its endpoints; absent = plain text. `{}` trusts the system's authorities.");
    s.Field("protocol", &ServiceOptions::protocol,
            schema::Enum<ServiceOptions::Protocol>({{"http1", ServiceOptions::Protocol::kHttp1},
                                                    {"http2", ServiceOptions::Protocol::kHttp2},
                                                    {"grpc", ServiceOptions::Protocol::kGrpc}}),
            "What its endpoints speak, and its clients with it: http1; http2 (without TLS with "
            "prior knowledge, with it by ALPN); grpc, which is http2 whose active checks are "
            "calls.");
    s.Check(CheckService);
    return s;
  }();
  return table;
}

const schema::Struct<RouteDecodeOptions>& RouteDecodeSchema() {
  using D = RouteDecodeOptions;
  static const auto table = [] {
    schema::Struct<D> s("GatewayRouteDecode",
                        "How the bodies of a route's predictions are read. Those of known "
                        "protocols, and JSON that looks like theirs, need nothing.");
    s.Field("sample", &D::sample, schema::Optional(schema::Share(0, 1)),
            "As gateway.decode.sample, of this route; absent = as there.");
    s.Field("request", &D::request, schema::Map(schema::Text()),
            "Of JSON of your own: what stands where in a request, by the names that logs are "
            "mapped with: `feature.age: customer.age`, `features: row` for a list or an object of "
            "numbers, `segment.tenant: tenant`, `request_id: id`, `label: truth`.");
    s.Field("response", &D::response, schema::Map(schema::Text()),
            "The same of an answer: `predicted: result.class` (of a list of scores the highest), "
            "`score: result.probability`.");
    return s;
  }();
  return table;
}

const schema::Struct<DecodeOptions>& DecodeSchema() {
  using D = DecodeOptions;
  static const auto table = [] {
    schema::Struct<D> s("GatewayDecode",
                        "Bodies of predictions are copied as they pass and decoded on a thread of "
                        "its own: features and predictions for the monitor. No request waits for "
                        "that, nor fails by it, and the copies go with their decoding.");
    s.Field("sample", &D::sample, schema::Share(0, 1),
            "Share of the predictions whose bodies are read; the others count without features "
            "and predictions. 0 = no body is looked at.");
    s.Field("max_body", &D::max_body, schema::Bytes<size_t>(0, 16 << 20),
            "What is kept of a request's body, and of an answer's, compressed or not; of longer "
            "ones nothing is.");
    s.Field("max_held_bytes", &D::max_held_bytes, schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
            "Memory of all copies; bodies beyond are not kept.");
    s.Field("max_queue", &D::max_queue, schema::Integer<size_t>(1, 1'000'000),
            "Requests that may wait to be decoded; those beyond count without features and "
            "predictions.");
    return s;
  }();
  return table;
}

const schema::Struct<RouteOptions>& RouteSchema() {
  using Predictions = RouteOptions::Predictions;
  static const auto table = [] {
    schema::Struct<RouteOptions> s("GatewayRoute", "Requests that belong to a service.");
    s.Field("host", &RouteOptions::host, schema::TextWith("", CheckHost),
            "A host's name, or `*.example.com` for all below; empty = any.");
    s.Field("path", &RouteOptions::path, schema::TextWith("", CheckPath),
            "What the path begins with, as `/v1/models/digits`; empty = any.");
    s.Field("headers", &RouteOptions::headers, schema::Map(schema::Text()),
            "Headers that must be there with these values; `*` = with any.");
    s.Required("service", &RouteOptions::service, schema::Text(), "Where they go.");
    s.Field(
        "predictions", &RouteOptions::predictions,
        schema::Enum<Predictions>({{"all", Predictions::kAll},
                                   {"posts", Predictions::kPosts},
                                   {"none", Predictions::kNone}}),
        "Which of them are predictions, and so count in the monitor and as evidence of rollouts: "
        "give health checks and metadata a route of their own, with none.");
    s.Nested("decode", &RouteOptions::decode, RouteDecodeSchema(), "What is read of their bodies.");
    s.Check([](const RouteOptions& route, schema::Problems& problems) {
      for (const auto& [name, value] : route.headers) {
        if (!IsToken(name))
          problems.Add("headers", StrCat("'", CutUtf8(name, 60), "' is no header's name"));
      }
    });
    return s;
  }();
  return table;
}

const schema::Struct<ClientLimits>& ClientLimitsSchema() {
  static const auto table = [] {
    schema::Struct<ClientLimits> s("GatewayLimits", "What clients may do.");
    s.Field("max_header", &ClientLimits::max_header, schema::Bytes<size_t>(1 << 10, 1 << 20),
            "Head of a request, and of an upstream's answer; longer is answered 431, and 502.");
    s.Field("max_body", &ClientLimits::max_body, schema::Bytes<size_t>(0, int64_t{1} << 50),
            "Body of a request; longer is answered 413. 0 = any. Not of gRPC calls, whose messages "
            "the service limits itself.");
    s.Field("max_connections", &ClientLimits::max_connections,
            schema::Integer<size_t>(1, 1'000'000), "More are answered 503 and closed.");
    s.Field("max_streams", &ClientLimits::max_streams, schema::Integer<uint32_t>(1, 10'000),
            "Requests at once over one HTTP/2 connection; more are refused.");
    s.Field("head_timeout", &ClientLimits::head_timeout, schema::Time<milliseconds>(50ms, 1h),
            "From the first byte of a request to the end of its head; then 408.");
    s.Field("idle_timeout", &ClientLimits::idle_timeout, schema::Time<milliseconds>(50ms, 24h),
            "Between two requests.");
    return s;
  }();
  return table;
}

void CheckOptions(const Options& options, schema::Problems& problems) {
  std::map<std::string, size_t> names;
  std::vector<std::string> list;
  bool all_names = problems.IsSound("services");
  for (size_t i = 0; i < options.services.size(); ++i) {
    const std::string at = StrCat("services[", i, "].name");
    if (!problems.IsSound(at)) {
      all_names = false;
      continue;
    }
    auto [first, added] = names.emplace(options.services[i].name, i);
    if (!added)
      problems.Add(at, StrCat("services[", first->second, "] has the name ",
                              options.services[i].name, " already"));
    list.push_back(options.services[i].name);
  }
  for (size_t i = 0; i < options.routes.size(); ++i) {
    const std::string at = StrCat("routes[", i, "].service");
    const std::string& service = options.routes[i].service;
    if (names.contains(service) || !all_names || !problems.IsSound(at)) continue;
    auto meant = DidYouMean(service, list);
    problems.Add(at, StrCat("there is no service ", CutUtf8(service, 60),
                            meant ? StrCat("; did you mean ", *meant, "?")
                                  : StrCat("; services: ", HumanList(list))));
  }
  if (options.routes.empty() && options.services.size() > 1 && problems.IsSound("routes"))
    problems.Add("routes", "several services need routes that say which requests are whose");
  std::map<std::pair<std::string, uint16_t>, size_t> ports;
  for (size_t i = 0; i < options.listeners.size(); ++i) {
    const ListenerOptions& listener = options.listeners[i];
    const std::string at = StrCat("listeners[", i, "].port");
    if (listener.port == 0 || !problems.IsSound(at)) continue;
    auto [first, added] = ports.emplace(std::pair(listener.address, listener.port), i);
    if (!added) problems.Add(at, StrCat("listeners[", first->second, "] has this port already"));
  }
}

}  // namespace

const schema::Struct<Options>& OptionsSchema() {
  static const auto table = [] {
    schema::Struct<Options> s("Gateway",
                              "A proxy in front of models that are served elsewhere; of "
                              "`leadsman gateway`. See docs/gateway.md.");
    s.Required("listeners", &Options::listeners, schema::List(schema::Of(ListenerSchema()), 1, 100),
               "The ports that clients use.");
    s.Field("routes", &Options::routes, schema::List(schema::Of(RouteSchema()), 0, 10'000),
            "Which requests go where: the first one that fits. Without any, all go to the only "
            "service.");
    s.Required("services", &Options::services, schema::List(schema::Of(ServiceSchema()), 1, 1000),
               "The models that are proxied.");
    s.Nested("limits", &Options::limits, ClientLimitsSchema(), "What clients may do.");
    s.Nested("decode", &Options::decode, DecodeSchema(),
             "What is read of bodies that pass, for the monitor.");
    s.Field("io_threads", &Options::io_threads, schema::Integer<int>(0, 1024),
            "Threads that do all the work; 0 = one per core.");
    s.Check(CheckOptions);
    return s;
  }();
  return table;
}

}  // namespace leadsman::gateway
