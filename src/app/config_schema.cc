#include "app/config_schema.h"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "base/strings.h"
#include "gateway/config_schema.h"
#include "intake/config_schema.h"
#include "intake/envoy_options.h"
#include "intake/exchange_bodies.h"
#include "lifecycle/config_schema.h"
#include "monitor/config_schema.h"
#include "net/tls_server_schema.h"
#include "net/url.h"
#include "rollout/config_schema.h"
#include "rollout/gate_state.h"
#include "storage/store_uri.h"
#include "telemetry/senders_schema.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr milliseconds kLongestAge = 720h;

std::string CheckAddress(const std::string& address) {
  // Names are not looked up: a literal says exactly which interface is listened on.
  bool ok = !address.empty() && std::all_of(address.begin(), address.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' ||
           c == ':';
  });
  bool numeric = ok && (address.find(':') != std::string::npos ||
                        std::count(address.begin(), address.end(), '.') == 3);
  return numeric ? "" : "must be an IPv4 or IPv6 address like 127.0.0.1, 0.0.0.0 or ::";
}

std::string CheckFieldName(const std::string& name) {
  return name.empty() ? "must not be empty" : "";
}

std::string CheckMetricsPath(const std::string& path) {
  if (path.empty()) return "";
  if (!path.starts_with('/') || path == "/")
    return "must begin with / and name a path, as /monitoring/prometheus/metrics";
  for (std::string_view taken : {"/v1/", "/v2/", "/predict", "/invocations"}) {
    if (path.starts_with(taken)) return StrCat("must not be below ", taken, ", where models are");
  }
  return "";
}

const schema::Struct<Config::Limits>& LimitsSchema() {
  using Limits = Config::Limits;
  static const auto table = [] {
    schema::Struct<Limits> s("Limits",
                             "What one client may ask of the server before it is refused.");
    s.Field("max_header", &Limits::max_header, schema::Bytes<size_t>(1 << 10, 16 << 20),
            "Head of a request.");
    s.Field("max_body", &Limits::max_body, schema::Bytes<size_t>(1 << 10, int64_t{4} << 30),
            "Body of a request over HTTP/1.1, before and after inflating.");
    s.Field("max_message", &Limits::max_message, schema::Bytes<size_t>(1 << 10, int64_t{4} << 30),
            "A request's message over gRPC, as it is sent. Once inflated, or with its repeated "
            "values written out, it may take max_body, or sixteen times what came.");
    s.Field("max_held", &Limits::max_held, schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
            "What the requests of all connections, over HTTP/1.1 and gRPC together, may hold while "
            "they arrive, and over HTTP/1.1 until they are answered; 64 KiB of each connection do "
            "not count. One that would be more is refused: 503 with Retry-After, "
            "RESOURCE_EXHAUSTED over gRPC. In a small container, give it less than its memory.");
    s.Field("max_connections", &Limits::max_connections, schema::Integer<size_t>(1, 1'000'000),
            "Open connections; more are answered with 503.");
    s.Field("max_stream_requests", &Limits::max_stream_requests,
            schema::Integer<size_t>(1, 100'000),
            "Requests of one ModelStreamInfer call (gRPC) that may be under way at once; those "
            "behind are not read yet. Together they may hold max_body bytes.");
    s.Field("max_streams", &Limits::max_streams, schema::Integer<uint32_t>(1, 1'000'000),
            "gRPC calls that one connection may have under way at once; its client keeps back "
            "those beyond.");
    s.Field("max_connection_age", &Limits::max_connection_age,
            schema::Time<milliseconds>(0ms, kLongestAge),
            "A gRPC connection that has lasted so long, give or take a tenth, is told to go "
            "(GOAWAY), so that clients meet new replicas behind a balancer that knows connections "
            "only. 0 = never.");
    s.Field("max_connection_age_grace", &Limits::max_connection_age_grace,
            schema::Time<milliseconds>(0ms, kLongestAge),
            "How long its calls may go on after that, before they are cut. 0 = until they end.");
    s.Field("idle_timeout", &Limits::idle_timeout, schema::Time<milliseconds>(100ms, 24h),
            "Between two requests. A gRPC connection without a call is told to go (GOAWAY).");
    s.Field("read_timeout", &Limits::read_timeout, schema::Time<milliseconds>(100ms, 24h),
            "From a request's first byte to its last.");
    s.Field("write_timeout", &Limits::write_timeout, schema::Time<milliseconds>(100ms, 24h),
            "For sending an answer.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Server>& ServerSchema() {
  using Server = Config::Server;
  static const auto table = [] {
    schema::Struct<Server> s(
        "Server",
        "The port that clients use: TensorFlow Serving REST, Open Inference Protocol (V2), "
        "plain /predict.");
    s.Field("address", &Server::address, AddressType(), "Where to listen.");
    s.Field("port", &Server::port, schema::Integer<uint16_t>(0, 65535),
            "0 = any free one, told in the log.");
    s.Field("http", &Server::http, schema::Boolean(),
            "false: no REST at all, gRPC alone; port is not listened on then.");
    s.Field("grpc", &Server::grpc, schema::Boolean(),
            "Whether gRPC is served as well: Open Inference Protocol (V2), TensorFlow Serving, "
            "health, reflection.");
    s.Field("grpc_port", &Server::grpc_port, schema::Integer<uint16_t>(0, 65535),
            "Where gRPC listens, on the same address; 0 = any free one, told in the log.");
    s.Field("grpc_socket", &Server::grpc_socket, schema::Text(),
            "Path of a Unix socket where gRPC is served, too, also with grpc: false; empty = none. "
            "Relative to the configuration file.");
    s.Field("io_threads", &Server::io_threads, schema::Integer<int>(0, 1024),
            "Threads that read and answer requests; 0 = one per core.");
    s.Field("pool_threads", &Server::pool_threads, schema::Integer<int>(0, 1024),
            "Threads for models too slow to run inline; 0 = one per core.");
    s.Field("pool_queue", &Server::pool_queue, schema::Integer<size_t>(1, 1'000'000),
            "Requests that may wait for the pool; more are refused.");
    s.Field(
        "pool_queue_bytes", &Server::pool_queue_bytes,
        schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
        "Memory that the inputs of requests may take that wait for the pool, or for a model with "
        "instances of its own and no batching; more are refused.");
    s.Field("request_timeout", &Server::request_timeout, schema::Time<milliseconds>(1ms, 24h),
            "Deadline of requests in the pool that bring none of their own.");
    s.Field("drain_delay", &Server::drain_delay, schema::Time<milliseconds>(0ms, 24h),
            "After SIGTERM: how long the process says that it is not ready, and still takes every "
            "request, so that "
            "load balancers notice.");
    s.Field("drain_timeout", &Server::drain_timeout, schema::Time<milliseconds>(0ms, 24h),
            "After drain_delay: how long running requests may take.");
    s.Field("cors", &Server::cors, schema::Boolean(),
            "Pages of other sites may call TensorFlow Serving's REST API from a browser.");
    s.Field("metrics_path", &Server::metrics_path, schema::TextWith("", CheckMetricsPath),
            "Where Prometheus may read on this port, too, as TensorFlow Serving's "
            "/monitoring/prometheus/metrics; empty = on the admin port alone.");
    s.Nested("limits", &Server::limits, LimitsSchema(), "What one client may ask.");
    s.Check([](const Server& server, schema::Problems& problems) {
      if (!server.http && !server.grpc && server.grpc_socket.empty() && problems.IsSound("http") &&
          problems.IsSound("grpc"))
        problems.Add("http", "http and grpc are both off: nothing would be served");
    });
    s.Nested("tls", &Server::tls, net::TlsServerOptionsSchema(),
             "Encryption, of HTTP and gRPC alike.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Admin>& AdminSchema() {
  using Admin = Config::Admin;
  static const auto table = [] {
    schema::Struct<Admin> s(
        "Admin",
        "The port for operators: admin API, /metrics, /livez, /readyz. Without auth it asks "
        "for no password: keep it on an address that only operators reach then.");
    s.Field("address", &Admin::address, AddressType(), "Where to listen.");
    s.Field("port", &Admin::port, schema::Integer<uint16_t>(0, 65535),
            "0 = any free one, told in the log.");
    s.Nested("tls", &Admin::tls, net::TlsServerOptionsSchema(), "Encryption.");
    return s;
  }();
  return table;
}

const schema::Struct<AuthOptions>& AuthSchema() {
  static const auto table = [] {
    schema::Struct<AuthOptions> s("Auth",
                                  "Who may use the ports. Without a file of tokens, whoever "
                                  "reaches a port may use it. The file's form is in "
                                  "docs/security.md; it is read again when it changes.");
    s.Field("tokens_file", &AuthOptions::tokens_file, schema::Text(),
            "YAML or JSON with bearer tokens, or their hashes, and what each allows; empty = no "
            "tokens are asked "
            "for. Relative to the configuration file.");
    s.Field("protect_metrics", &AuthOptions::protect_metrics, schema::Boolean(),
            "/metrics needs a token with the role metrics or admin, too.");
    s.Check([](const AuthOptions& auth, schema::Problems& problems) {
      if (auth.protect_metrics && !auth.enabled()) {
        problems.Add("protect_metrics", "needs tokens_file");
      }
    });
    return s;
  }();
  return table;
}

const schema::Struct<Config::Plugins>& PluginsSchema() {
  using Plugins = Config::Plugins;
  static const auto table = [] {
    schema::Struct<Plugins> s("Plugins", "Model runtimes.");
    s.Field("dirs", &Plugins::dirs, schema::List(schema::Text(), 0, 100),
            "Folders with backend plug-ins; empty = beside the executable.");
    s.Field("runtime_dirs", &Plugins::runtime_dirs, schema::List(schema::Text(), 0, 100),
            "Folders with the runtimes' shared libraries; empty = the usual places.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::PythonBackend>& PythonBackendSchema() {
  using Python = Config::PythonBackend;
  static const auto table = [] {
    schema::Struct<Python> s(
        "PythonBackend",
        "Models that run in Python worker processes (formats sklearn, mlflow, keras, python); see "
        "docs/python-models.md.");
    s.Field("enabled", &Python::enabled, schema::Boolean(),
            "false: no model of these formats is loaded. Loading a pickle or a script runs what is "
            "in it.");
    s.Field("interpreter", &Python::interpreter, schema::Text(),
            "A path, or a name in PATH; empty = $LEADSMAN_PYTHON_WORKER, else python3. A model's "
            "runtime option "
            "python goes before it.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Backends>& BackendsSchema() {
  static const auto table = [] {
    schema::Struct<Config::Backends> s("Backends", "Settings of single model runtimes.");
    s.Nested("python", &Config::Backends::python, PythonBackendSchema(),
             "Python worker processes.");
    return s;
  }();
  return table;
}

}  // namespace

schema::TypePtr<std::string> AddressType() {
  return schema::TextWith("IPv4 or IPv6 literal", CheckAddress);
}

schema::TypePtr<LogLevel> LogLevelType() {
  return schema::Enum<LogLevel>({{"debug", LogLevel::kDebug},
                                 {"info", LogLevel::kInfo},
                                 {"warn", LogLevel::kWarn},
                                 {"error", LogLevel::kError}});
}
schema::TypePtr<Config::LogFormat> LogFormatType() {
  return schema::Enum<Config::LogFormat>(
      {{"text", Config::LogFormat::kText}, {"json", Config::LogFormat::kJson}});
}

schema::TypePtr<Config::Reload> ReloadType() {
  return schema::Enum<Config::Reload>(
      {{"signal", Config::Reload::kSignal}, {"auto", Config::Reload::kAuto}});
}

const schema::Struct<Config::Model>& ConfigModelSchema() {
  using Model = Config::Model;
  static const auto table = [] {
    schema::Struct<Model> s(
        "Model",
        "One model: where it is, how it runs, what is watched, how new versions take over.");
    s.Embedded(&Model::model, ModelConfigSchema());
    s.Nested("monitoring", &Model::monitoring, MonitorConfigSchema(), "What is watched.");
    s.Field("rollout", &Model::rollout, schema::Optional(schema::Of(RolloutPlanSchema())),
            "How new versions take over; absent = at once.");
    s.Check([](const Model& model, schema::Problems& problems) {
      if (model.model.path.empty()) return;
      for (size_t i = 0; i < model.monitoring.segments.size(); ++i) {
        const SegmentRule& rule = model.monitoring.segments[i];
        if (rule.header.empty() && rule.input.empty())
          problems.Add(StrCat("monitoring.segments[", i, "].header"),
                       "of a model that is served here, give header, as x-tenant, or input, the "
                       "name of an input: logs and events alone can do without");
      }
    });
    s.Check([](const Model& model, schema::Problems& problems) {
      if (!model.rollout || !problems.IsSound("rollout")) return;
      for (size_t i = 0; i < model.rollout->steps.size(); ++i) {
        const auto& hook = model.rollout->steps[i].approval.webhook;
        if (!hook || hook->url.empty()) continue;
        if (Status wrong = net::ParseUrl(hook->url).status(); !wrong.ok())
          problems.Add(StrCat("rollout.steps[", i, "].approval.webhook.url"),
                       std::string(wrong.message()));
      }
      for (size_t i = 0; i < model.rollout->gates.size(); ++i) {
        const OutsideOptions& outside = model.rollout->gates[i].outside;
        for (const auto& [field, url] :
             {std::pair("address", &outside.address), std::pair("url", &outside.url)}) {
          if (url->empty()) continue;
          if (Status wrong = net::ParseUrl(*url).status(); !wrong.ok())
            problems.Add(StrCat("rollout.gates[", i, "].", field), std::string(wrong.message()));
        }
        const RolloutGate& gate = model.rollout->gates[i];
        const bool of_labels =
            gate.kind == RolloutGate::Kind::kQuality || gate.kind == RolloutGate::Kind::kLoss;
        if (of_labels && !model.monitoring.enabled) {
          problems.Add(StrCat("rollout.gates[", i, "].kind"),
                       StrCat("the ", GateName(gate.kind),
                              " gate needs labels: set monitoring.enabled: true"));
        }
        const bool of_probabilities =
            gate.loss.metric == LossMetric::kLogLoss || gate.loss.metric == LossMetric::kBrier;
        if (gate.kind == RolloutGate::Kind::kLoss && of_probabilities &&
            problems.IsSound(StrCat("rollout.gates[", i, "].metric")) &&
            model.monitoring.task == QualityTask::kRegression) {
          problems.Add(StrCat("rollout.gates[", i, "].metric"),
                       "is of probabilities, and by monitoring.task: regression the answers are "
                       "numbers: use absolute_error or squared_error");
        }
        if (model.rollout->gates[i].kind == RolloutGate::Kind::kQuality &&
            problems.IsSound(StrCat("rollout.gates[", i, "].kind")) &&
            model.monitoring.task == QualityTask::kRegression) {
          problems.Add(
              StrCat("rollout.gates[", i, "].kind"),
              "the quality gate counts predictions that are wrong, and by monitoring.task: "
              "regression none is right or wrong: use kind: loss, which compares how far off they "
              "are, or leave it out");
        }
      }
      if (model.rollout->segments) {
        const std::vector<SegmentRule>& rules = model.monitoring.segments;
        if (rules.empty()) {
          problems.Add("rollout.segments",
                       "nothing tells requests apart: give monitoring.segments, or leave it out");
        }
        const std::vector<std::string>& by = model.rollout->segments->by;
        for (size_t i = 0; i < by.size() && !rules.empty(); ++i) {
          const bool known = std::any_of(rules.begin(), rules.end(), [&](const SegmentRule& rule) {
            return rule.name == by[i];
          });
          if (!known) {
            problems.Add(StrCat("rollout.segments.by[", i, "]"),
                         StrCat("must be a name of monitoring.segments; there is no ", by[i]));
          }
        }
      }
      if (!model.monitoring.enabled) {
        problems.Add(
            "rollout",
            "a rollout is judged by what the monitor counts: set monitoring.enabled: true");
      }
      if (model.model.swap == SwapPolicy::kResourcePreserving) {
        problems.Add("swap",
                     "resource_preserving never has two versions in memory, a rollout needs two: "
                     "remove one of them");
      }
    });
    return s;
  }();
  return table;
}

namespace {

const schema::Struct<Config::Log>& LogSchema() {
  static const auto table = [] {
    schema::Struct<Config::Log> s("Log", "The log on standard error.");
    s.Field("level", &Config::Log::level, LogLevelType(), "Lines below it are dropped.");
    s.Field("format", &Config::Log::format, LogFormatType(),
            "One line of text, or one JSON object, an event.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::HotRestart>& HotRestartSchema() {
  using HotRestart = Config::HotRestart;
  static const auto table = [] {
    schema::Struct<HotRestart> s("HotRestart", "Upgrade in place.");
    s.Field("enabled", &HotRestart::enabled, schema::Boolean(),
            "Take the place of the process that runs, if one does, and let a later one take this "
            "one's; also --hot-restart.");
    s.Field("socket", &HotRestart::socket, schema::Text(),
            "Path of the Unix socket at which both meet, of at most 107 bytes; empty = "
            "`hot-restart.sock` in data_dir. Relative to the configuration file.");
    s.Field("timeout", &HotRestart::timeout, schema::Time<milliseconds>(1s, 1h),
            "How long the process that runs waits for the new one at each stage, before it goes "
            "on without it.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Plain>& PlainSchema() {
  using Plain = Config::Plain;
  static const auto table = [] {
    schema::Struct<Plain> s(
        "Plain", "POST /predict: {input_field: rows} gives {output_field: predictions}.");
    s.Field("model", &Plain::model, schema::Text(),
            "The model that answers; empty = the only one there is.");
    s.Field("input_field", &Plain::input_field, schema::TextWith("", CheckFieldName),
            "JSON field with the input.");
    s.Field("output_field", &Plain::output_field, schema::TextWith("", CheckFieldName),
            "JSON field with the answer.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Mlflow>& MlflowSchema() {
  using Mlflow = Config::Mlflow;
  static const auto table = [] {
    schema::Struct<Mlflow> s("MlflowProtocol", "POST /invocations, MLflow's scoring protocol.");
    s.Field("model", &Mlflow::model, schema::Text(),
            "The model that answers; empty = the only one there is.");
    s.Field(
        "output", &Mlflow::output, schema::Text(),
        "The output that is the prediction; empty = the model's first, \"*\" = all, as records.");
    return s;
  }();
  return table;
}

const schema::Struct<ModelControl::Options>& RepositorySchema() {
  using Options = ModelControl::Options;
  using Mode = ModelControl::Mode;
  static const auto table = [] {
    schema::Struct<Options> s(
        "Repository",
        "Who decides which of the models are in memory (Triton's model control mode).");
    s.Field(
        "control", &Options::mode,
        schema::Enum<Mode>({{"poll", Mode::kPoll}, {"explicit", Mode::kExplicit}}),
        "poll: all of them, new versions by themselves; explicit: those that clients load by V2's "
        "repository extension, whose folders are looked at then and from then on.");
    s.Field(
        "path", &Options::path,
        schema::TextWith("a folder",
                         [](const std::string& path) {
                           return path.empty() || IsFilePath(path)
                                      ? ""
                                      : "must be a folder on a file system; models of other "
                                        "stores are named in `models`";
                         }),
        "A folder of models: each sub-folder is one, beside those of `models`. It is looked at "
        "every lifecycle.poll_interval: a folder that has come is a further model, one that has "
        "gone is unloaded. What `models` says of one of them holds; its path may be left out "
        "there. Relative to the configuration file.");
    s.Field("load_at_start", &Options::load_at_start, schema::List(schema::Text(), 0, 10'000),
            "With explicit: models that are loaded at the start; \"*\" = all.");
    s.Field("load_timeout", &Options::load_timeout, schema::Time<milliseconds>(1ms, 24h),
            "How long a client that loads a model is kept waiting; the load goes on after that.");
    s.Field("files", &Options::files, schema::Boolean(),
            "With explicit: a load may send the files that the model is made of (`file:` "
            "parameters). Whoever may load models can run a Python script here then.");
    s.Field("max_files_size", &Options::max_files_size, schema::Bytes<int64_t>(1, int64_t{1} << 50),
            "The files of all models that clients have sent, together; a load beyond that is "
            "refused.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Telemetry>& TelemetrySchema() {
  using Telemetry = Config::Telemetry;
  static const auto table = [] {
    schema::Struct<Telemetry> s("Telemetry", "What is told to the outside, and how.");
    s.Field("compat", &Telemetry::compat,
            schema::List(schema::Enum<Config::CompatMetrics>(
                             {{"triton", Config::CompatMetrics::kTriton},
                              {"tfserving", Config::CompatMetrics::kTfServing}}),
                         0, 10),
            "Metrics also under the names of another server, for dashboards that exist: triton "
            "(nv_inference_…), tfserving (:tensorflow:serving:…).");
    s.Nested("tracing", &Telemetry::tracing, TracingOptionsSchema(), "Traces of requests.");
    s.Nested("metrics", &Telemetry::metrics, MetricsOptionsSchema(), "How metrics leave.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::CloudEvents>& CloudEventsSchema() {
  using CloudEvents = Config::CloudEvents;
  static const auto table = [] {
    schema::Struct<CloudEvents> s("CloudEvents",
                                  "Where loggers of model servers send CloudEvents: KServe's "
                                  "agent, Seldon; see docs/events-in.md.");
    s.Field("address", &CloudEvents::address, AddressType(),
            "Where to listen. No token is asked for: those who log cannot send one.");
    s.Field("port", &CloudEvents::port, schema::Integer<uint16_t>(0, 65535),
            "0 = any free one, told in the log.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Monitor>& MonitorSchema() {
  static const auto table = [] {
    schema::Struct<Config::Monitor> s("Monitor", "The monitor of the whole process.");
    s.Embedded(&Config::Monitor::options, MonitorOptionsSchema());
    s.Field("logs", &Config::Monitor::logs,
            schema::List(schema::Of(intake::LogSourceSchema()), 0, 100),
            "Logs of services of models that are watched from outside, by `leadsman monitor` or "
            "beside the models that are served here.");
    s.Field("cloudevents", &Config::Monitor::cloudevents,
            schema::Optional(schema::Of(CloudEventsSchema())),
            "A port for CloudEvents of requests and responses; absent = none.");
    s.Field("envoy", &Config::Monitor::envoy,
            schema::Optional(schema::Of(intake::EnvoyOptionsSchema())),
            "A port at which Envoys tell of the requests that pass them; absent = none.");
    s.Field("redact", &Config::Monitor::redact,
            schema::List(schema::Of(RedactRuleSchema()), 0, 100),
            "What is done to texts of requests before they are kept or sent, in this order.");
    s.Field("send_profiles", &Config::Monitor::send_profiles,
            schema::Optional(schema::Of(ProfileSenderOptionsSchema())),
            "A monitor that is sent the profiles of all that is seen here; absent = none.");
    return s;
  }();
  return table;
}

const schema::Struct<Config::Alarms>& AlarmsSchema() {
  using Alarms = Config::Alarms;
  static const auto table = [] {
    schema::Struct<Alarms> s("Alarms", "Alarms, and who is told of them (docs/alarms.md).");
    s.Embedded(&Alarms::options, AlarmOptionsSchema());
    s.Field("external_url", &Alarms::external_url, schema::Text(),
            "Where people reach the admin API, for links in messages; empty = where it listens.");
    s.Field("alertmanagers", &Alarms::alertmanagers,
            schema::List(schema::Of(AlertmanagerOptionsSchema()), 0, 10),
            "Alertmanagers; each is told of everything.");
    s.Field("webhooks", &Alarms::webhooks, schema::List(schema::Of(WebhookOptionsSchema()), 0, 10),
            "Receivers of JSON messages.");
    s.Field("emails", &Alarms::emails, schema::List(schema::Of(MailOptionsSchema()), 0, 10),
            "Receivers of mails.");
    std::vector<std::pair<std::string, RolloutEvent::Kind>> events;
    for (RolloutEvent::Kind kind : Config::AllRolloutEvents())
      events.emplace_back(RolloutEventName(kind), kind);
    s.Field(
        "rollout_events", &Alarms::rollout_events,
        schema::List(schema::Enum<RolloutEvent::Kind>(std::move(events)), 0, 9),
        "What mails, Alertmanagers and the webhooks with `rollouts: true` are told of rollouts; "
        "[] = nothing.");
    return s;
  }();
  return table;
}

/// What a check may ask and say; a file answers from its text, what was read before says yes.
struct CheckSink {
  std::function<void(const std::string& path, std::string message)> add;
  std::function<bool(const std::string& path)> is_sound;
  std::function<bool(const std::string& path)> is_given;
};

}  // namespace

bool HasService(const Config& config, const std::string& name) {
  return config.gateway &&
         std::any_of(config.gateway->services.begin(), config.gateway->services.end(),
                     [&](const gateway::ServiceOptions& service) { return service.name == name; });
}

std::string WhyNoCopies(const Config& config, const std::string& name) {
  if (!HasService(config, name)) {
    return StrCat(
        "needs a gateway, which makes the copies: make the model a service of it "
        "(gateway.services), or use ",
        "strategy: canary without mirrors");
  }
  return "";
}

namespace {

void CheckConfig(const Config& config, const CheckSink& sink) {
  const auto& add = sink.add;
  if (config.server.port != 0 && config.server.port == config.admin.port &&
      sink.is_sound("server.port") && sink.is_sound("admin.port")) {
    // Told where somebody wrote one of them.
    if (sink.is_given("admin.port") || !sink.is_given("server.port")) {
      add("admin.port", StrCat("must differ from server.port (", config.server.port, ")"));
    } else {
      add("server.port",
          StrCat("must differ from admin.port (", config.admin.port, ", its default)"));
    }
  }
  if (config.server.grpc && config.server.grpc_port != 0 && sink.is_sound("server.grpc_port")) {
    const uint16_t port = config.server.grpc_port;
    for (const char* other : {"server.port", "admin.port"}) {
      const uint16_t taken = other[0] == 's' ? config.server.port : config.admin.port;
      if (port != taken || !sink.is_sound(other)) continue;
      // Told where somebody wrote one of them.
      if (sink.is_given("server.grpc_port") || !sink.is_given(other)) {
        add("server.grpc_port", StrCat("must differ from ", other, " (", port, ")"));
      } else {
        add(other, StrCat("must differ from server.grpc_port (", port, ", its default)"));
      }
    }
  }
  if (config.monitor.cloudevents && config.monitor.cloudevents->port != 0) {
    for (const auto& [other, taken] :
         {std::pair("server.port", config.server.port), std::pair("admin.port", config.admin.port),
          std::pair("server.grpc_port", config.server.grpc_port)}) {
      if (config.monitor.cloudevents->port == taken && sink.is_sound(other))
        add("monitor.cloudevents.port", StrCat("must differ from ", other, " (", taken, ")"));
    }
  }
  for (size_t i = 0; i < config.monitor.redact.size(); ++i) {
    const DroppedInputs dropped(config.monitor.redact[i].inputs);
    for (size_t j = 0; j < config.models.size(); ++j) {
      const std::vector<SegmentRule>& segments = config.models[j].monitoring.segments;
      for (size_t k = 0; k < segments.size(); ++k) {
        const bool by_place = dropped.HasPlace(segments[k].index);
        if (segments[k].input.empty() || !(dropped.Has(segments[k].input) || by_place)) continue;
        add(StrCat("models[", j, "].monitoring.segments[", k, "].input"),
            StrCat("monitor.redact[", i, "] drops ", segments[k].input,
                   by_place ? StrCat("[", segments[k].index, "]") : "",
                   ": tell requests apart by something else, or take it from its inputs"));
      }
    }
  }
  // Those of a repository are found later, and may come while the server runs.
  bool all_names = sink.is_sound("models") && config.repository.path.empty();
  std::map<std::string, size_t> names;
  std::vector<std::string> list;  ///< of those that are served
  for (size_t i = 0; i < config.models.size(); ++i) {
    const std::string& name = config.models[i].model.name;
    if (!sink.is_sound(StrCat("models[", i, "].name"))) {
      all_names = false;
      continue;
    }
    auto [first, added] = names.emplace(name, i);
    if (!added)
      add(StrCat("models[", i, "].name"),
          StrCat("models[", first->second, "] has the name ", name, " already"));
    const bool elsewhere =
        config.models[i].model.path.empty() && sink.is_sound(StrCat("models[", i, "].path"));
    if (elsewhere && config.models[i].rollout && config.repository.path.empty() &&
        sink.is_sound("gateway.services") && !HasService(config, name)) {
      add(StrCat("models[", i, "].rollout"),
          "a model without a path is served elsewhere and only watched: give its path, make it a "
          "service of the gateway (gateway.services), or leave the rollout out");
    }
    if (config.models[i].rollout && Mirrors(*config.models[i].rollout) &&
        !(elsewhere && !HasService(config, name)) && sink.is_sound("gateway.services") &&
        sink.is_sound(StrCat("models[", i, "].rollout"))) {
      const std::string wrong = WhyNoCopies(config, name);
      if (!wrong.empty())
        add(StrCat("models[", i, "].rollout",
                   config.models[i].rollout->strategy == RolloutPlan::Strategy::kShadow
                       ? ".strategy"
                       : ".steps"),
            wrong);
    }
    if (added && !elsewhere) list.push_back(name);
  }
  auto served = [&](const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  if (!config.mlflow.model.empty() && !served(config.mlflow.model) && all_names) {
    auto meant = DidYouMean(config.mlflow.model, list);
    add("mlflow.model", StrCat("there is no model ", config.mlflow.model,
                               meant ? StrCat("; did you mean ", *meant, "?") : std::string()));
  }
  if (!config.plain.model.empty() && !served(config.plain.model) && all_names) {
    auto near = DidYouMean(config.plain.model, list);
    add("plain.model", StrCat("there is no model ", config.plain.model,
                              near ? StrCat("; did you mean ", *near, "?")
                                   : StrCat("; models: ", HumanList(list))));
  }
  for (size_t i = 0; i < config.monitor.logs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (config.monitor.logs[i].path != config.monitor.logs[j].path ||
          !sink.is_sound(StrCat("monitor.logs[", i, "].path")))
        continue;
      add(StrCat("monitor.logs[", i, "].path"),
          StrCat("monitor.logs[", j, "] reads ", config.monitor.logs[i].path,
                 " already: its requests would count twice"));
      break;
    }
  }
  if (config.monitor.envoy && config.monitor.envoy->port != 0 &&
      config.monitor.envoy->port == config.admin.port && sink.is_sound("monitor.envoy.port") &&
      sink.is_sound("admin.port")) {
    add("monitor.envoy.port", StrCat("must differ from admin.port (", config.admin.port, ")"));
  }
  if (config.hot_restart.enabled && config.hot_restart.socket.empty() && config.data_dir.empty() &&
      sink.is_sound("hot_restart.socket") && sink.is_sound("data_dir"))
    add("hot_restart.socket",
        "without a data_dir the processes need another place to meet: give the path of a Unix "
        "socket, or a data_dir (--data-dir)");
  // Its lock is what decides which of two processes has them.
  const bool has_rollouts =
      !config.gateway_plans.empty() ||
      std::any_of(config.models.begin(), config.models.end(),
                  [](const Config::Model& model) { return model.rollout.has_value(); });
  const bool has_alarms = !config.alarms.alertmanagers.empty() || !config.alarms.webhooks.empty() ||
                          !config.alarms.emails.empty();
  if (config.hot_restart.enabled && !config.hot_restart.socket.empty() && config.data_dir.empty() &&
      (has_rollouts || has_alarms) && sink.is_sound("hot_restart.socket") &&
      sink.is_sound("data_dir"))
    add("hot_restart.socket",
        StrCat(
            has_rollouts ? "rollouts" : "alarms",
            " need a data_dir (--data-dir), whose lock decides which of two processes has them"));
  if (config.gateway) {
    for (size_t i = 0; i < config.gateway->listeners.size(); ++i) {
      const uint16_t port = config.gateway->listeners[i].port;
      const std::string at = StrCat("gateway.listeners[", i, "].port");
      if (port != 0 && port == config.admin.port && sink.is_sound(at) &&
          sink.is_sound("admin.port"))
        add(at, StrCat("must differ from admin.port (", port, ")"));
    }
    using Side = intake::BodyMapping::Side;
    for (size_t i = 0; i < config.gateway->routes.size(); ++i) {
      const gateway::RouteDecodeOptions& decode = config.gateway->routes[i].decode;
      auto check = [&](std::string_view side, const auto& fields, Side of) {
        const std::string at = StrCat("gateway.routes[", i, "].decode.", side);
        const Status checked = intake::BodyMapping::Check(fields, of);
        if (!checked.ok() && sink.is_sound(at)) add(at, std::string(checked.message()));
      };
      check("request", decode.request, Side::kRequest);
      check("response", decode.response, Side::kResponse);
    }
  }
  if (config.plain.input_field == config.plain.output_field && sink.is_sound("plain.input_field") &&
      sink.is_sound("plain.output_field")) {
    if (sink.is_given("plain.output_field") || !sink.is_given("plain.input_field")) {
      add("plain.output_field", "must differ from plain.input_field");
    } else {
      add("plain.input_field", StrCat("must differ from plain.output_field (",
                                      config.plain.output_field, ", its default)"));
    }
  }
}

}  // namespace

std::vector<std::string> ConfigConflicts(const Config& config) {
  std::vector<std::string> conflicts;
  auto yes = [](const std::string&) { return true; };
  CheckConfig(config, {.add =
                           [&](const std::string& path, const std::string& message) {
                             conflicts.push_back(StrCat(path, ": ", message));
                           },
                       .is_sound = yes,
                       .is_given = yes});
  return conflicts;
}

const schema::Struct<Config>& ConfigSchema() {
  static const auto table = [] {
    schema::Struct<Config> s("Config", "Every key is optional but `models[].name`.");
    s.Nested("server", &Config::server, ServerSchema(), "The port that clients use.");
    s.Nested("admin", &Config::admin, AdminSchema(), "The port for operators.");
    s.Nested("auth", &Config::auth, AuthSchema(), "Who may use the ports.");
    s.Field("data_dir", &Config::data_dir, schema::Text(),
            "Folder of the rollout journal and the monitor's database; empty = in memory, gone "
            "with the process. Relative "
            "to the configuration file.");
    s.Nested("storage", &Config::storage, StorageOptionsSchema(),
             "Stores other than the file system, and the cache of what was fetched from them.");
    s.Nested("plugins", &Config::plugins, PluginsSchema(), "Model runtimes.");
    s.Nested("backends", &Config::backends, BackendsSchema(), "Settings of single model runtimes.");
    s.Nested("log", &Config::log, LogSchema(), "The log.");
    s.Nested("monitor", &Config::monitor, MonitorSchema(), "The monitor of the whole process.");
    s.Nested("alarms", &Config::alarms, AlarmsSchema(), "Alarms, and who is told of them.");
    s.Nested("lifecycle", &Config::lifecycle, LifecycleOptionsSchema(),
             "Finding and loading model versions.");
    s.Field("config_reload", &Config::config_reload, ReloadType(),
            "When this file is read again: signal = at SIGHUP or POST /api/v1/reload; auto = also "
            "when its content "
            "has changed.");
    s.Nested("repository", &Config::repository, RepositorySchema(), "Which models are in memory.");
    s.Field("models", &Config::models, schema::List(schema::Of(ConfigModelSchema()), 0, 10'000),
            "The models.");
    s.Nested("plain", &Config::plain, PlainSchema(), "The plain /predict.");
    s.Nested("mlflow", &Config::mlflow, MlflowSchema(), "MLflow's /invocations.");
    s.Nested("telemetry", &Config::telemetry, TelemetrySchema(), "Metrics.");
    s.Field("gateway", &Config::gateway, schema::Optional(schema::Of(gateway::OptionsSchema())),
            "What `leadsman gateway` proxies; see docs/gateway.md. Other commands leave it alone.");
    s.Nested("hot_restart", &Config::hot_restart, HotRestartSchema(),
             "A new process of `leadsman gateway` takes the place of the one that runs; see "
             "docs/gateway.md. Other commands leave it alone.");
    s.Check([](const Config& config, schema::Problems& problems) {
      CheckConfig(config,
                  {.add = [&](const std::string& path,
                              std::string message) { problems.Add(path, std::move(message)); },
                   .is_sound = [&](const std::string& path) { return problems.IsSound(path); },
                   .is_given = [&](const std::string& path) { return problems.IsGiven(path); }});
    });
    return s;
  }();
  return table;
}

}  // namespace leadsman
