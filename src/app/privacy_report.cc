#include "app/privacy_report.h"

#include <filesystem>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "events/redactor.h"
#include "net/url.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

std::string Words(std::chrono::seconds time) {
  const int64_t seconds = time.count();
  auto in = [&](int64_t unit, const char* word) {
    const int64_t count = seconds / unit;
    return StrCat(count, " ", word, count == 1 ? "" : "s");
  };
  if (seconds >= 86'400 && seconds % 86'400 == 0) return in(86'400, "day");
  if (seconds >= 3600 && seconds % 3600 == 0) return in(3600, "hour");
  if (seconds >= 60 && seconds % 60 == 0) return in(60, "minute");
  return in(1, "second");
}

/// What the rules do to a text, in their order; empty: nothing.
std::string DoneTo(RequestText text, const Config& config) {
  std::vector<std::string> steps;
  for (const RedactRule& rule : config.monitor.redact)
    if (rule.Concerns(text)) steps.push_back(rule.ToString());
  return Join(steps, ", then ");
}

bool IsDropped(RequestText text, const Config& config) {
  for (const RedactRule& rule : config.monitor.redact)
    if (rule.Concerns(text) && rule.action == RedactRule::Do::kDrop) return true;
  return false;
}

class Report {
 public:
  explicit Report(const Config& config) : config_(config) {}

  Json Write() {
    Json report = {{"data_dir", config_.data_dir.empty() ? Json() : Json(config_.data_dir)}};
    if (NeedsMonitor(config_)) {
      Predictions();
      Sums();
      Edges();
      Drift();
      Segments();
      Schemas();
      Alarms();
    }
    Journal();
    Positions();
    OwnLog();
    Memory();
    Leaving();
    report["kept"] = kept_;
    report["leaves"] = leaves_;
    report["never"] = Never();
    report["redact"] = Rules();
    return report;
  }

 private:
  static constexpr const char* kProcess = "as long as the process";
  static constexpr const char* kWhileWatched =
      "until no request of the version has come for 90 days after it was forgotten, or a start";

  std::string InDataDir(const char* name) const {
    return (std::filesystem::path(config_.data_dir) / name).string();
  }
  bool on_disk() const { return !config_.data_dir.empty(); }

  /// `texts`: what of the requests' own texts stands there.
  void Keep(std::string what, std::string where, std::string how_long,
            const std::vector<RequestText>& texts = {}) {
    Json entry = {{"what", std::move(what)},
                  {"where", std::move(where)},
                  {"how_long", std::move(how_long)},
                  {"texts", Texts(texts)}};
    kept_.push_back(std::move(entry));
  }
  void Leave(std::string what, std::string to, const std::vector<RequestText>& texts = {}) {
    leaves_.push_back({{"what", std::move(what)}, {"to", std::move(to)}, {"texts", Texts(texts)}});
  }
  Json Texts(const std::vector<RequestText>& texts) const {
    Json json = Json::object();
    for (RequestText text : texts) {
      const std::string done = DoneTo(text, config_);
      json[std::string(RequestTextName(text))] = done.empty() ? "as it came" : done;
    }
    return json;
  }

  std::string LabelTimeouts() const {
    const MonitorConfig others;
    std::string words = Words(others.label_timeout);
    std::vector<std::string> models;
    for (const auto& [name, monitoring] : MonitoringOf(config_))
      if (monitoring.label_timeout != others.label_timeout)
        models.push_back(StrCat(name, ": ", Words(monitoring.label_timeout)));
    return models.empty() ? words : StrCat(words, " (", Join(models, ", "), ")");
  }

  void Predictions() {
    if (IsDropped(RequestText::kRequestId, config_) || IsDropped(RequestText::kClass, config_)) {
      Keep("predictions that wait for their labels: none, as monitor.redact drops what joins them",
           "nowhere", "-");
      return;
    }
    const std::vector<RequestText> texts = {RequestText::kRequestId, RequestText::kClass};
    const std::string what =
        "a row for each prediction with a request id: the id, model, version, predicted class, "
        "score, time, and its label once that has come";
    if (const auto& redis = config_.monitor.options.labels.redis) {
      Keep(what,
           StrCat("redis at ", redis->address, ", database ", redis->database, ", keys ",
                  redis->key_prefix, "p:… and ", redis->key_prefix,
                  "l:…, and in what it writes to its own disk; the latest 131,072 in memory, too"),
           StrCat("label_timeout of its model, ", LabelTimeouts(),
                  ", and 10 minutes more; without the prediction once its label has come"),
           texts);
      return;
    }
    if (!on_disk()) {
      Keep(what, "memory", "until 131,072 later ones have come, at most as long as the process",
           texts);
      return;
    }
    Keep(
        what, StrCat(InDataDir("monitor.db"), ", table predictions"),
        StrCat("label_timeout of its model, ", LabelTimeouts(),
               ", and 10 minutes more; its bytes may stay in the file's free pages until these are "
               "used again"),
        texts);
  }

  void Sums() {
    const std::string windows =
        "sums of each window of each model version: requests, errors, latency, labels, and how "
        "often each of the 32 most frequent classes was predicted";
    const std::string labels =
        "what labels tell of each model version: how often each of up to 63 classes was taken for "
        "which, how right scores were and how far off numbers, how long labels took";
    if (on_disk()) {
      Keep(windows, StrCat(InDataDir("monitor.db"), ", table windows"),
           StrCat(Words(config_.monitor.options.history), " (monitor.history)"),
           {RequestText::kClass});
      Keep(labels,
           StrCat(InDataDir("monitor.db"),
                  ", tables quality_totals, quality_details and quality_losses"),
           "until the file is deleted", {RequestText::kClass});
      Keep(
          "how many requests, failed and slow ones, labels and lost lines there were in each "
          "minute "
          "of each model, for alarms over restarts; and when each version was last seen",
          StrCat(InDataDir("monitor.db"), ", tables kept_counts and versions_seen"),
          StrCat("3 days; ", Words(config_.monitor.options.history), " (monitor.history)"));
    } else {
      Keep(windows, "memory", kProcess, {RequestText::kClass});
      Keep(labels, "memory", kProcess, {RequestText::kClass});
    }
    Keep(StrCat(
             "statistics of each input value: count, mean, deviation, smallest and largest value, "
             "quantiles; no single request's values",
             ButDropped()),
         "memory, and in answers of the admin API", kProcess);
  }

  void Edges() {
    if (!config_.monitor.options.edges) return;
    Keep("which message of each edge came last: its name, a number of its process, the time",
         on_disk() ? StrCat(InDataDir("monitor.db"), ", table edges") : "memory",
         on_disk() ? StrCat(Words(config_.monitor.options.history), " (monitor.history)")
                   : kProcess);
  }

  void Segments() {
    std::vector<std::string> rules;
    for (const auto& [name, monitoring] : MonitoringOf(config_))
      for (const SegmentRule& rule : monitoring.segments)
        rules.push_back(StrCat(name, ": ", rule.name, " (", WhereSegmentIs(rule), ")"));
    if (rules.empty()) return;
    Keep(StrCat("the values that requests are counted by, with their counts, and with each "
                "prediction that waits for its label: ",
                Join(rules, ", ")),
         SegmentsLie(), on_disk() ? "until the file is deleted" : kProcess,
         {RequestText::kSegment});
  }

  static std::string WhereSegmentIs(const SegmentRule& rule) {
    if (!rule.header.empty()) return StrCat("header ", rule.header);
    if (!rule.input.empty()) return StrCat("input ", rule.input);
    return "as logs and events say";
  }

  std::string SegmentsLie() const {
    const auto& redis = config_.monitor.options.labels.redis;
    const std::string counts =
        on_disk()
            ? StrCat(InDataDir("monitor.db"),
                     redis ? ", table quality_details" : ", tables quality_details and predictions")
            : "memory";
    return redis ? StrCat(counts, ", and redis at ", redis->address) : counts;
  }

  void Schemas() {
    bool any = config_.models.empty();
    for (const auto& [name, monitoring] : MonitoringOf(config_))
      any = any || (monitoring.enabled && monitoring.schema.enabled);
    if (!any) return;
    Keep(StrCat(
             "the schema of each model version: the smallest and the largest value of each input, "
             "shares of missing ones; and how often each rule was broken",
             ButDropped()),
         on_disk() ? StrCat(InDataDir("monitor.db"), ", table drift") : "memory",
         on_disk() ? kWhileWatched : kProcess);
  }

  void Drift() {
    std::vector<std::string> watched;
    bool any = config_.models.empty();
    for (const auto& [name, monitoring] : MonitoringOf(config_))
      any = any || (monitoring.enabled && monitoring.drift.enabled);
    if (!any) return;
    Keep(StrCat("the reference of each model version and the evidence of drift: histograms of "
                "inputs and scores, shares of classes, names of features",
                ButDropped()),
         on_disk() ? StrCat(InDataDir("monitor.db"), ", tables drift and feature_names") : "memory",
         on_disk() ? kWhileWatched : kProcess, {RequestText::kClass});
  }

  void Alarms() {
    Keep("alarms with their words and figures, and the silences that people made",
         on_disk() ? InDataDir("alarms.db") : "memory",
         on_disk() ? "1 day after they have been resolved, at most 1,000" : kProcess);
    Keep("messages of alarms that a receiver has not taken yet",
         on_disk() ? InDataDir("alarms.db") : "memory", "until it has, at most 1,000 of each");
  }

  void Journal() {
    if (PlansOf(config_).empty()) return;
    Keep("rollouts: counts that verdicts were made of, decisions and their reasons",
         on_disk() ? InDataDir("journal.db") : "memory",
         on_disk() ? "the last 100 of each model" : kProcess);
  }

  void Positions() {
    if (config_.monitor.logs.empty()) return;
    Keep(
        "how far each log was read: its path, and hashes of its first kilobyte and of the 256 "
        "bytes "
        "before the position; no line of it",
        on_disk() ? InDataDir("log-positions-…") : "memory",
        on_disk() ? "a week after the file has gone" : kProcess);
    if (!IsDropped(RequestText::kLogLine, config_))
      Keep("up to 120 bytes of one line of each log that is not recognised, with the reason",
           "our own log, /readyz and /api/v1/logs", "as long as you keep that log",
           {RequestText::kLogLine});
    if (!IsDropped(RequestText::kPath, config_))
      Keep(
          "paths of POSTs, and of requests without a method, that were no predictions, the first "
          "20 of each source",
          "memory, and in /api/v1/logs", kProcess, {RequestText::kPath});
  }

  void OwnLog() {
    Keep(
        "what the process does: names of models, versions, files; nothing of a request, but for "
        "its "
        "path when handling it has failed by a defect of the program",
        "standard error", "as long as you keep it");
  }

  void Memory() {
    Keep("requests and their answers", "memory", "while they are being answered");
    if (config_.run_gateway) {
      for (const gateway::ServiceOptions& service : config_.gateway->services) {
        if (!service.mirror && !RolloutMirrors(service.name)) continue;
        Keep(StrCat("of the mirror of ", service.name,
                    ": the last five answers of each result that is worth a look"),
             "memory, and in /api/v1/gateway", kProcess, {RequestText::kRequestId});
        Keep(StrCat("of the mirror of ", service.name,
                    ": rows about whose class the two versions disagree"),
             "memory", "until their label comes, at most 65,536",
             {RequestText::kRequestId, RequestText::kClass});
      }
    }
    if (config_.monitor.cloudevents)
      Keep("bodies of CloudEvents that wait for their other half", "memory", "a minute at most");
    if (config_.monitor.envoy)
      Keep("bodies of requests that pass an Envoy with ext_proc", "memory",
           StrCat("until their answer, at most ",
                  Words(std::chrono::duration_cast<std::chrono::seconds>(
                      config_.monitor.envoy->exchange_timeout))));
  }

  bool RolloutMirrors(const std::string& model) const {
    const std::map<std::string, RolloutPlan> plans = PlansOf(config_);
    const auto plan = plans.find(model);
    return plan != plans.end() && Mirrors(plan->second);
  }

  /// Requests go on to whom they are for: what else a gateway does with them.
  void Proxied() {
    for (const gateway::ServiceOptions& service : config_.gateway->services) {
      for (const gateway::VersionOptions& version : service.versions) {
        Leave(StrCat("requests to ", service.name, ", whole, for version ", version.version,
                     " to answer them"),
              Join(version.endpoints, ", "));
        if (service.mirror && service.mirror->version == version.version) {
          Leave(StrCat("copies of predictions that ", service.name,
                       " was asked for, with their header fields and bodies: ",
                       100 * service.mirror->share, " % of them"),
                StrCat(Join(version.endpoints, ", "), " (mirror)"));
        }
        if (RolloutMirrors(service.name)) {
          Leave(StrCat("copies of predictions that ", service.name,
                       " was asked for, with their header fields and bodies, while a rollout of "
                       "version ",
                       version.version, " mirrors them"),
                StrCat(Join(version.endpoints, ", "), " (mirror)"));
        }
      }
    }
  }

  void Leaving() {
    if (config_.run_gateway) Proxied();
    const bool all = config_.admin.address == "0.0.0.0" || config_.admin.address == "::";
    if (NeedsMonitor(config_))
      Leave(
          "metrics with names of models and predicted classes, windows, statistics of inputs, "
          "alarms",
          StrCat("whoever may read the admin port, ", config_.admin.address, ":",
                 config_.admin.port, all ? " (reachable from other machines)" : "",
                 config_.auth.enabled() ? ", with a token" : ""),
          {RequestText::kClass, RequestText::kSegment});
    const TracingOptions& tracing = config_.telemetry.tracing;
    for (const auto& [kind, url] :
         {std::pair("OTLP", tracing.otlp_url), std::pair("Zipkin", tracing.zipkin_url)})
      if (!url.empty())
        Leave(
            "traces of requests that were served here: ids, model, version, outcome, timings, "
            "sizes",
            StrCat(RedactUrl(url), " (", kind, ")"), {RequestText::kRequestId});
    const OtlpMetricsOptions& metrics = config_.telemetry.metrics.otlp;
    if (!metrics.url.empty())
      Leave("metrics with names of models, predicted classes and segments",
            StrCat(RedactUrl(metrics.url), " (OTLP)"),
            {RequestText::kClass, RequestText::kSegment});
    if (config_.monitor.send_profiles)
      Leave(
          StrCat(
              "profiles of each interval: counts, latencies, predicted classes, statistics of each "
              "input value, with the smallest, the largest and the frequent ones; no ids, no "
              "single requests but where an interval has one alone",
              ButDropped()),
          RedactUrl(config_.monitor.send_profiles->target.url), {RequestText::kClass});
    for (const Config::Model& model : config_.models) {
      if (model.rollout) AskedOutside(*model.rollout);
    }
    for (const auto& [model, plan] : config_.gateway_plans) AskedOutside(plan);
    if (!NeedsMonitor(config_)) return;
    if (const auto& redis = config_.monitor.options.labels.redis)
      Leave(
          "predictions that wait for their labels: ids, model, version, predicted class, score, "
          "time, segments; and labels",
          StrCat("redis at ", redis->address),
          {RequestText::kRequestId, RequestText::kClass, RequestText::kSegment});
    const char* alarms = "alarms: model, version, words and figures";
    const char* told =
        !PlansOf(config_).empty() && !config_.alarms.rollout_events.empty()
            ? "alarms and what happens to rollouts: model, version, words and figures"
            : alarms;
    for (const MailOptions& to : config_.alarms.emails)
      Leave(told, StrCat(Join(to.to, ", "), ", by ", to.smtp.server));
    for (const AlertmanagerOptions& to : config_.alarms.alertmanagers)
      Leave(told, RedactUrl(to.target.url));
    for (const WebhookOptions& to : config_.alarms.webhooks) {
      Leave(to.rollouts ? told : alarms, ShownWebhook(to.target.url));
    }
  }

  /// Many services take a webhook's path for the secret.
  static std::string ShownWebhook(const std::string& text) {
    auto url = net::ParseUrl(text);
    return url.ok() ? StrCat(url->https ? "https://" : "http://", url->authority, "/…")
                    : "a webhook";
  }

  void AskedOutside(const RolloutPlan& plan) {
    for (const RolloutGate& gate : plan.gates) AskedOutside(gate);
    for (const RolloutStep& step : plan.steps) {
      if (step.approval.webhook)
        Leave("rollouts that ask for approval: model, versions, share, counts, reasons",
              ShownWebhook(step.approval.webhook->url));
    }
  }
  void AskedOutside(const RolloutGate& gate) {
    if (gate.kind == RolloutGate::Kind::kWebhook)
      Leave("rollouts as a gate asks: model, versions, share, counts, reasons",
            ShownWebhook(gate.outside.url));
    if (gate.kind == RolloutGate::Kind::kPromql)
      Leave("a gate's query, with the names of model and versions",
            StrCat(RedactUrl(gate.outside.address), " (Prometheus)"));
  }

  Json Never() const {
    return {
        StrCat("bodies of requests and answers, headers that no segment is made of, addresses of "
               "clients and lines of logs are written nowhere and sent nowhere",
               config_.run_gateway ? " but to the services of the gateway" : ""),
        "nothing is sent to anybody who is not in the configuration"};
  }

  std::vector<std::string> DroppedOnes() const {
    std::vector<std::string> inputs;
    for (const RedactRule& rule : config_.monitor.redact)
      inputs.insert(inputs.end(), rule.inputs.begin(), rule.inputs.end());
    return DroppedInputs(inputs).inputs();
  }
  /// Behind what is kept of inputs.
  std::string ButDropped() const {
    const std::vector<std::string> inputs = DroppedOnes();
    return inputs.empty() ? "" : StrCat("; nothing of ", HumanList(inputs));
  }

  Json Rules() const {
    Json rules = Json::array();
    if (const std::vector<std::string> inputs = DroppedOnes(); !inputs.empty())
      rules.push_back({{"field", "input"}, {"done", StrCat("drop ", HumanList(inputs))}});
    for (size_t i = 0; i < kRequestTexts; ++i) {
      const auto text = static_cast<RequestText>(i);
      const std::string done = DoneTo(text, config_);
      if (!done.empty()) rules.push_back({{"field", RequestTextName(text)}, {"done", done}});
    }
    return rules;
  }

  const Config& config_;
  Json kept_ = Json::array();
  Json leaves_ = Json::array();
};

void AppendTexts(const Json& entry, std::string& out) {
  for (const auto& [text, done] : entry["texts"].items())
    out += StrCat("    ", text, ": ", done.get<std::string>(), "\n");
}

}  // namespace

std::string PrivacyReportJson(const Config& config) {
  return Report(config).Write().dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string PrivacyReportText(const std::string& json) {
  const Json report = Json::parse(json, nullptr, false);
  if (report.is_discarded()) return "";
  auto text = [](const Json& entry, const char* key) { return entry[key].get<std::string>(); };
  std::string out = "Kept\n";
  for (const Json& entry : report["kept"]) {
    out += StrCat("  ", text(entry, "what"), "\n    where: ", text(entry, "where"),
                  "\n    how long: ", text(entry, "how_long"), "\n");
    AppendTexts(entry, out);
  }
  out += "\nLeaves this process\n";
  for (const Json& entry : report["leaves"]) {
    out += StrCat("  ", text(entry, "what"), "\n    to: ", text(entry, "to"), "\n");
    AppendTexts(entry, out);
  }
  if (report["leaves"].empty()) out += "  nothing but answers to requests\n";
  out += "\nNever\n";
  for (const Json& words : report["never"]) out += StrCat("  ", words.get<std::string>(), "\n");
  out += "\nRedacted before it is kept or sent (monitor.redact)\n";
  for (const Json& rule : report["redact"])
    out += StrCat("  ", text(rule, "field"), ": ", text(rule, "done"), "\n");
  if (report["redact"].empty()) out += "  nothing: texts stand as they came\n";
  return out;
}

}  // namespace leadsman
