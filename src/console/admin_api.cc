#include "console/admin_api.h"

#include <algorithm>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/schema.h"
#include "base/strings.h"
#include "console/alarm_routes.h"
#include "console/edge_routes.h"
#include "console/json_views.h"
#include "console/label_batch.h"
#include "console/rollout_routes.h"
#include "console/route.h"
#include "rollout/config_schema.h"

namespace leadsman {

using console::Json;
using console::Route;
using console::RouteCall;

namespace {

constexpr int64_t kMaxHistoryPage = 50'000;
constexpr int64_t kHistoryPage = 5'000;
constexpr int kFailuresTold = 2;       // in a model's note
constexpr size_t kNamesTold = 20;      // of models, where one is not found
constexpr size_t kFailureShown = 400;  // bytes of each
constexpr const char* kObservedNote =
    "observed: served elsewhere, known from logs, events or edges";

int HttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return 400;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kAborted:
      return 409;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kUnimplemented:
      return 501;
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    case StatusCode::kUnknown:
    case StatusCode::kInternal:
    case StatusCode::kDataLoss:
      return 500;
  }
  return 500;
}

std::string Dump(const Json& json) {
  // Names and messages may carry bytes from outside: what is not UTF-8 is replaced, never thrown
  // about.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Send(net::HttpExchange& exchange, int status, const Json& body) {
  exchange.response().status = status;
  exchange.response().content_type = "application/json";
  exchange.response().body += Dump(body);
  exchange.response().body += '\n';
}

std::string ErrorText(std::string_view code, std::string_view message,
                      const std::vector<std::string>& details) {
  Json error = {{"code", code}, {"message", message}};
  if (!details.empty()) error["details"] = details;
  return Dump({{"error", std::move(error)}}) + "\n";
}

void SendError(net::HttpExchange& exchange, int status, std::string_view code,
               std::string_view message, const std::vector<std::string>& details = {}) {
  exchange.response().status = status;
  exchange.response().content_type = "application/json";
  exchange.response().body = ErrorText(code, message, details);
}

void SendText(net::HttpExchange& exchange, std::string_view text) {
  exchange.response().content_type = "text/plain; charset=utf-8";
  exchange.response().body += text;
}

/// Decodes the segments of `path` that the pattern names. False when the path is not of this
/// pattern.
bool Match(const std::string& pattern, std::string_view path,
           std::map<std::string, std::string, std::less<>>& values) {
  std::vector<std::string_view> want = Split(pattern, '/');
  std::vector<std::string_view> have = Split(path, '/');
  if (want.size() != have.size()) return false;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!want[i].starts_with('{')) {
      if (want[i] != have[i]) return false;
      continue;
    }
    auto value = UrlDecode(have[i]);
    if (!value || value->empty()) return false;
    values[std::string(want[i].substr(1, want[i].size() - 2))] = std::move(*value);
  }
  return true;
}

void ParseQuery(std::string_view query, std::map<std::string, std::string, std::less<>>& values) {
  if (query.empty()) return;
  for (std::string_view pair : Split(query, '&')) {
    size_t equals = std::min(pair.find('='), pair.size());
    auto key = UrlDecode(pair.substr(0, equals));
    auto value = UrlDecode(equals < pair.size() ? pair.substr(equals + 1) : std::string_view());
    if (key && value) values.emplace(std::move(*key), std::move(*value));
  }
}

Result<int64_t> Positive(std::string_view what, std::string_view text) {
  auto value = ParseInt64(text);
  if (!value || *value < 1)
    return InvalidArgumentError(
        StrCat(what, ": must be a whole number from 1, not ", text.substr(0, 40)));
  return *value;
}

Result<int64_t> QueryNumber(const RouteCall& call, const std::string& key, int64_t otherwise,
                            int64_t max) {
  auto found = call.query.find(key);
  if (found == call.query.end()) return otherwise;
  auto value = ParseInt64(found->second);
  if (!value || *value < 0 || *value > max) {
    return InvalidArgumentError(StrCat(key, ": must be a whole number from 0 to ", max, ", not ",
                                       found->second.substr(0, 40)));
  }
  return *value;
}

struct LabelBody {
  int64_t version = 0;
};
struct StartBody {
  std::string model;
  int64_t candidate = 0;
  std::optional<RolloutPlan> plan;
};
struct WhoBody {
  std::string who = "admin API";
};
struct PromotionBody {
  std::string who = "admin API";
  bool full = false;
  std::optional<int64_t> step;
};
struct WeightsBody {
  std::map<std::string, double> weights;
};

/// A body through the same tables as the configuration file.
template <typename T>
Result<T> ReadBody(std::string_view body, const schema::Struct<T>& table) {
  T value = table.initial();
  std::vector<ConfigProblem> problems;
  if (schema::ReadJson(body, table, value, problems)) return value;
  return InvalidArgumentError(FormatProblems("", problems));
}

const schema::Struct<LabelBody>& LabelBodySchema() {
  static const auto table = [] {
    schema::Struct<LabelBody> s("SetLabel", "Which version the label points at.");
    s.Required("version", &LabelBody::version, schema::Integer<int64_t>(1), "a ready version");
    return s;
  }();
  return table;
}
const schema::Struct<StartBody>& StartBodySchema() {
  static const auto table = [] {
    schema::Struct<StartBody> s("StartRollout", "Which version to roll out.");
    s.Required("model", &StartBody::model, schema::Text(), "the model's name");
    s.Required("candidate", &StartBody::candidate, schema::Integer<int64_t>(1),
               "the version to roll out");
    s.Field("plan", &StartBody::plan, schema::Optional(schema::Of(RolloutPlanSchema())),
            "instead of the one that the model has in the configuration");
    return s;
  }();
  return table;
}
const schema::Struct<WhoBody>& WhoBodySchema() {
  static const auto table = [] {
    schema::Struct<WhoBody> s("Who", "Who asks.");
    s.Field("who", &WhoBody::who, schema::Text(), "kept in the journal");
    return s;
  }();
  return table;
}

const schema::Struct<PromotionBody>& PromotionBodySchema() {
  static const auto table = [] {
    schema::Struct<PromotionBody> s("Promotion", "How far, and who asks.");
    s.Field("who", &PromotionBody::who, schema::Text(), "kept in the journal");
    s.Field("full", &PromotionBody::full, schema::Boolean(),
            "to the end; otherwise out of the present step");
    s.Field("step", &PromotionBody::step, schema::Optional(schema::Integer<int64_t>(0, 1000)),
            "which is to be left, counted from 0; 409 when it is not the present one");
    return s;
  }();
  return table;
}

const schema::Struct<WeightsBody>& WeightsBodySchema() {
  static const auto table = [] {
    schema::Struct<WeightsBody> s("GatewayWeights", "Shares of the traffic, by version.");
    s.Required("weights", &WeightsBody::weights, schema::Map(schema::Share(0, 1)),
               "by version, as {\"1\": 0.9, \"2\": \"10%\"}; 100% together");
    return s;
  }();
  return table;
}

}  // namespace

struct AdminApi::Impl {
  explicit Impl(Deps d)
      : deps(std::move(d)), started(deps.clock.Now()), started_steady(deps.clock.SteadyNow()) {
    AddRoutes();
  }

  // ---- Health and status
  // -----------------------------------------------------------------------------------------

  Readiness GetReadiness() const {
    if (deps.readiness) return deps.readiness();
    Readiness readiness{.models = deps.lifecycle.NotReady()};
    for (const UnreadyModel& model : readiness.models) {
      readiness.reasons.push_back(StrCat("model ", model.model, ": ", model.detail));
    }
    if (readiness.reasons.empty() && !deps.lifecycle.SettledOnce()) {
      readiness.reasons.push_back("models are being loaded");
    }
    return readiness;
  }

  std::vector<std::string> Notes() const {
    return deps.readiness_notes ? deps.readiness_notes() : std::vector<std::string>();
  }

  Status Ready(RouteCall& call) {
    Readiness readiness = GetReadiness();
    Json models = Json::array();
    for (const UnreadyModel& model : readiness.models) {
      models.push_back({{"model", model.model}, {"state", model.state}, {"detail", model.detail}});
    }
    Send(call.exchange, readiness.ready() ? 200 : 503,
         {{"ready", readiness.ready()},
          {"reasons", readiness.reasons},
          {"notes", Notes()},
          {"models", std::move(models)}});
    return OkStatus();
  }

  Status Reload(RouteCall& call) {
    if (!deps.reload) return UnimplementedError("this server cannot read its configuration again");
    RETURN_IF_ERROR(deps.reload());
    Send(call.exchange, 200, {{"reloaded", true}, {"config_reload", ReloadJson()}});
    return OkStatus();
  }

  Json ReloadJson() const {
    if (!deps.reload_state) return nullptr;
    ReloadState state = deps.reload_state();
    return {{"succeeded", state.succeeded},
            {"failed", state.failed},
            {"last_success", FormatRfc3339(state.last_success)},
            {"last_trigger", state.last_trigger},
            {"error", state.error},
            {"needs_restart", state.needs_restart}};
  }

  /// How many there are; null when nothing is watched.
  Json AlarmsJson() const {
    if (deps.alarms == nullptr) return nullptr;
    size_t firing = 0, pending = 0, silenced = 0;
    const std::shared_ptr<const AlarmLoop::View> view = deps.alarms->view();
    for (const Alarm& alarm : view->alarms) {
      const bool fires = alarm.state == AlarmState::kFiring;
      pending += alarm.state == AlarmState::kPending;
      (fires && alarm.silence != 0 ? silenced : firing) += fires;
    }
    return {{"firing", firing}, {"silenced", silenced}, {"pending", pending}};
  }

  Json MetricsJson() const {
    if (!deps.metrics_state) return nullptr;
    const MetricsState state = deps.metrics_state();
    Json left_out = Json::array();
    for (const MetricsState::LeftOut& one : state.left_out) {
      left_out.push_back(
          {{"family", one.family}, {"series", one.series}, {"buckets_only", one.buckets_only}});
    }
    return {{"series", state.series},
            {"max_series", state.max_series},
            {"left_out", std::move(left_out)}};
  }

  Json LabelStoreJson() const {
    const auto shared = deps.monitor ? deps.monitor->shared_labels() : std::nullopt;
    if (!shared) return nullptr;
    return {{"redis", shared->address},
            {"ready", shared->ready},
            {"since", FormatRfc3339(shared->since)},
            {"reason", shared->reason},
            {"predictions_queued", shared->queued},
            {"predictions_lost", shared->lost}};
  }

  Status GetServerStatus(RouteCall& call) {
    Json models = Json::array();
    for (const ModelStatus& model : deps.lifecycle.GetStatus()) {
      Json ready = Json::array();
      for (const VersionStatus& version : model.versions) {
        if (version.state == VersionState::kReady) ready.push_back(version.version);
      }
      models.push_back({{"name", model.name},
                        {"state", ModelStateName(model)},
                        {"versions_ready", std::move(ready)},
                        {"note", SummaryNote(model)}});
    }
    for (const auto& [name, versions] : BeforeModels()) {
      models.push_back({{"name", name},
                        {"state", "observed"},
                        {"versions_ready", Json::array()},
                        {"note", BeforeNote(versions)}});
    }
    for (const auto& [name, versions] : ObservedModels()) {
      uint64_t requests = 0, errors = 0;
      for (const ObservedVersion& of : versions) {
        for (uint64_t count : of.totals.requests) requests += count;
        errors += of.totals.of(ObservedOutcome::kClientError) +
                  of.totals.of(ObservedOutcome::kServerError);
      }
      models.push_back({{"name", name},
                        {"state", "observed"},
                        {"versions_ready", Json::array()},
                        {"note", StrCat(kObservedNote, ": ", requests,
                                        requests == 1 ? " request, " : " requests, ", errors,
                                        errors == 1 ? " error" : " errors")}});
    }
    Json running = Json::array();
    if (deps.rollouts) {
      for (const RolloutView& rollout : deps.rollouts->List()) {
        if (!HasEnded(rollout.phase)) running.push_back(console::RolloutJson(rollout));
      }
    }
    Send(call.exchange, 200,
         {{"version", deps.version},
          {"started", FormatRfc3339(started)},
          {"uptime_seconds", ToSeconds(deps.clock.SteadyNow() - started_steady)},
          {"ready", GetReadiness().ready()},
          {"notes", Notes()},
          {"models", std::move(models)},
          {"rollouts", std::move(running)},
          {"rollout_journal", JournalJson()},
          {"config_reload", ReloadJson()},
          {"alarms", AlarmsJson()},
          {"metrics", MetricsJson()},
          {"label_store", LabelStoreJson()},
          {"edges", console::EdgeSummaryJson(deps.monitor)},
          {"gateway",
           deps.gateway_json ? Json::parse(deps.gateway_json(), nullptr, false) : Json(nullptr)},
          {"hot_restart", HotRestartJson()},
          {"monitor",
           deps.monitor ? console::CountersJson(deps.monitor->counters()) : Json(nullptr)}});
    return OkStatus();
  }

  Json HotRestartJson() const {
    if (!deps.hot_restart) return nullptr;
    const HotRestartState state = deps.hot_restart();
    return {{"generation", state.generation}, {"failed", state.failed}, {"socket", state.socket}};
  }

  // ---- Models
  // ----------------------------------------------------------------------------------------------------

  console::Traffic TrafficOf(const ModelStatus& model) const {
    console::Traffic traffic;
    if (deps.predictor) {
      auto routes = deps.predictor->routes();
      auto found = routes->routes.find(model.name);
      if (found != routes->routes.end() && found->second.stable != 0) {
        return {found->second.stable, found->second.candidate,
                found->second.candidate_share / 10'000.0};
      }
    }
    for (const VersionStatus& version : model.versions) {
      if (version.state == VersionState::kReady)
        traffic.stable = std::max(traffic.stable, version.version);
    }
    return traffic;
  }

  /// Those that are set, and those that a rollout moves: requests may use both.
  std::map<std::string, int64_t> LabelsOf(const ModelStatus& model) const {
    std::map<std::string, int64_t> labels = model.labels;
    if (!deps.predictor) return labels;
    auto routes = deps.predictor->routes();
    auto found = routes->routes.find(model.name);
    if (found != routes->routes.end()) labels.merge(found->second.Labels());
    return labels;
  }

  Json JournalJson() const {
    if (!deps.rollouts) return nullptr;
    std::string problem = deps.rollouts->journal_problem();
    return {{"ok", problem.empty()}, {"reason", problem}};
  }

  /// The lifecycle's note, and the journal's trouble for a model with rollouts.
  std::string NoteOf(const ModelStatus& model) const {
    std::string problem = deps.rollouts ? deps.rollouts->journal_problem() : "";
    if (problem.empty()) return model.note;
    return model.note.empty() ? problem : StrCat(model.note, "; ", problem);
  }

  /// The same, and why its newest failed versions have failed.
  std::string SummaryNote(const ModelStatus& model) const {
    std::string note = NoteOf(model);
    int told = 0;
    for (auto it = model.versions.rbegin(); it != model.versions.rend(); ++it) {
      if (it->state != VersionState::kFailed || told++ >= kFailuresTold) continue;
      const std::string_view why = it->status.message();
      note +=
          StrCat(note.empty() ? "" : "; ", "version ", it->version,
                 " failed: ", CutUtf8(why, kFailureShown), why.size() > kFailureShown ? "…" : "");
    }
    return note;
  }

  /// Why a version that could be loaded is not: its newest rollout ended with the stable one.
  static std::string Rejection(const VersionStatus& version, const std::string& model,
                               const std::vector<RolloutView>& rollouts) {
    for (const RolloutView& rollout : rollouts) {
      if (rollout.model != model || rollout.candidate != version.version) continue;
      const char* how = rollout.phase == RolloutPhase::kRolledBack ? "rolled back"
                        : rollout.phase == RolloutPhase::kAborted  ? "aborted"
                                                                   : nullptr;
      if (how == nullptr) return "";
      std::string text =
          StrCat("rejected: ", how, how[0] == 'a' ? " in" : " by", " rollout ", rollout.id);
      if (version.in_folder) {
        text +=
            StrCat("; `leadsman rollout start ", model, " ", version.version, "` tries it again");
      }
      return text;
    }
    return "";
  }

  std::vector<RolloutView> Rollouts() const {
    return deps.rollouts ? deps.rollouts->List() : std::vector<RolloutView>();
  }

  Json ModelJson(const ModelStatus& model, const std::vector<RolloutView>& rollouts) const {
    console::Traffic traffic = TrafficOf(model);
    Json versions = Json::array();
    for (VersionStatus version : model.versions) {
      if (version.state == VersionState::kGone && version.status.ok()) {
        std::string why = Rejection(version, model.name, rollouts);
        if (!why.empty()) version.status = FailedPreconditionError(std::move(why));
      }
      if (deps.monitor) {
        VersionTotals totals = deps.monitor->Totals(model.name, version.version);
        versions.push_back(console::VersionJson(version, traffic, &totals));
      } else {
        versions.push_back(console::VersionJson(version, traffic, nullptr));
      }
    }
    return {{"name", model.name},
            {"path", model.path},
            {"note", NoteOf(model)},
            {"labels", LabelsOf(model)},
            {"traffic", console::TrafficJson(traffic)},
            {"versions", std::move(versions)}};
  }

  /// Models of which requests were seen that others have answered; those that are served here are not among them.
  std::map<std::string, std::vector<ObservedVersion>> ObservedModels() const {
    std::map<std::string, std::vector<ObservedVersion>> models;
    if (!deps.monitor) return models;
    for (ObservedVersion& of : deps.monitor->Observed()) models[of.model].push_back(std::move(of));
    for (const ModelStatus& served : deps.lifecycle.GetStatus()) models.erase(served.name);
    return models;
  }

  /// Those of which this process has seen nothing yet.
  std::map<std::string, std::vector<ObservedBefore>> BeforeModels() const {
    std::map<std::string, std::vector<ObservedBefore>> models;
    if (!deps.monitor) return models;
    for (ObservedBefore& of : deps.monitor->Before()) models[of.model].push_back(std::move(of));
    for (const auto& [name, versions] : ObservedModels()) models.erase(name);
    for (const ModelStatus& served : deps.lifecycle.GetStatus()) models.erase(served.name);
    return models;
  }

  static std::string BeforeNote(const std::vector<ObservedBefore>& versions) {
    WallTime last{};
    for (const ObservedBefore& of : versions) last = std::max(last, of.last_seen);
    return StrCat(kObservedNote, ": no request since the start, last seen ", FormatRfc3339(last));
  }

  Json ObservedVersionJson(const std::string& name, int64_t number, WallTime last_seen) const {
    VersionStatus version;
    version.version = number;
    VersionTotals totals = deps.monitor->Totals(name, number);
    Json json = console::VersionJson(version, {}, &totals);
    json["state"] = "observed";
    json["since"] = nullptr;
    json["last_seen"] = FormatRfc3339(last_seen);
    if (number == 0) json["reason"] = "requests that name no version";
    return json;
  }
  Json BeforeVersionJson(const ObservedBefore& of) const {
    Json json = ObservedVersionJson(of.model, of.version, of.last_seen);
    json["reason"] = StrCat("no request since the start, last seen ", FormatRfc3339(of.last_seen));
    return json;
  }

  static Json ObservedModelJson(const std::string& name, std::string note, Json versions) {
    return {{"name", name},
            {"path", ""},
            {"note", std::move(note)},
            {"labels", Json::object()},
            {"traffic", nullptr},
            {"versions", std::move(versions)}};
  }

  /// With versions of which something was seen before the start alone.
  Json ObservedJson(const std::string& name, const std::vector<ObservedVersion>& seen) const {
    Json versions = Json::array();
    for (const ObservedVersion& of : seen)
      versions.push_back(ObservedVersionJson(name, of.version, of.last_seen));
    for (const ObservedBefore& of : deps.monitor->Before()) {
      if (of.model == name) versions.push_back(BeforeVersionJson(of));
    }
    return ObservedModelJson(name, kObservedNote, std::move(versions));
  }

  Json BeforeJson(const std::string& name, const std::vector<ObservedBefore>& seen) const {
    Json versions = Json::array();
    for (const ObservedBefore& of : seen) versions.push_back(BeforeVersionJson(of));
    return ObservedModelJson(name, BeforeNote(seen), std::move(versions));
  }

  Status ListModels(RouteCall& call) {
    Json models = Json::array();
    const std::vector<RolloutView> rollouts = Rollouts();
    for (const ModelStatus& model : deps.lifecycle.GetStatus())
      models.push_back(ModelJson(model, rollouts));
    for (const auto& [name, versions] : ObservedModels())
      models.push_back(ObservedJson(name, versions));
    for (const auto& [name, versions] : BeforeModels())
      models.push_back(BeforeJson(name, versions));
    Send(call.exchange, 200, {{"models", std::move(models)}});
    return OkStatus();
  }

  Result<ModelStatus> FindModel(const std::string& name) const {
    auto model = deps.lifecycle.GetStatus(name);
    if (model.ok() || model.status().code() != StatusCode::kNotFound) return model;
    if (ObservedModels().contains(name) || BeforeModels().contains(name))
      return NotFoundError(StrCat("model ", name, " is not served here, it is only watched"));
    std::vector<std::string> names;
    for (const ModelStatus& known : deps.lifecycle.GetStatus()) names.push_back(known.name);
    return NoModel(name, std::move(names));
  }
  static Status NoModel(const std::string& name, std::vector<std::string> names) {
    const std::string shown(CutUtf8(name, 128));
    if (auto near = DidYouMean(name, names))
      return NotFoundError(StrCat("there is no model ", shown, "; did you mean ", *near, "?"));
    if (names.empty()) return NotFoundError(StrCat("there is no model ", shown, ", nor any other"));
    const size_t more = names.size() > kNamesTold ? names.size() - kNamesTold : 0;
    names.resize(names.size() - more);
    if (more > 0) names.push_back(StrCat(more, " others"));
    return NotFoundError(StrCat("there is no model ", shown, "; models: ", HumanList(names)));
  }

  Status GetModel(RouteCall& call) {
    auto observed = ObservedModels();
    if (auto seen = observed.find(call.path["model"]); seen != observed.end()) {
      Send(call.exchange, 200, ObservedJson(seen->first, seen->second));
      return OkStatus();
    }
    auto before = BeforeModels();
    if (auto seen = before.find(call.path["model"]); seen != before.end()) {
      Send(call.exchange, 200, BeforeJson(seen->first, seen->second));
      return OkStatus();
    }
    RETURN_IF_ERROR(NeedKnown(call.path["model"]));
    ASSIGN_OR_RETURN(ModelStatus model, FindModel(call.path["model"]));
    Send(call.exchange, 200, ModelJson(model, Rollouts()));
    return OkStatus();
  }

  /// The body is not looked at: a bucket's notification may come as it is.
  Status RefreshModel(RouteCall& call) {
    ASSIGN_OR_RETURN(ModelStatus model, FindModel(call.path["model"]));
    deps.lifecycle.RetryFailed(model.name);
    RETURN_IF_ERROR(deps.lifecycle.Refresh(model.name));
    Send(call.exchange, 202, {{"model", model.name}, {"listing", "started"}});
    return OkStatus();
  }

  Status NeedMonitor() const {
    if (deps.monitor) return OkStatus();
    return UnimplementedError(
        "monitoring is switched off in this server: set monitoring.enabled of a model");
  }

  /// One that is served here, or that the monitor has seen elsewhere, now or before the start.
  Status NeedKnown(const std::string& model) const {
    if (deps.monitor && deps.monitor->Knows(model)) return OkStatus();
    std::set<std::string> names;
    for (const auto& [service, proxied] : Proxied()) names.insert(service);
    for (const ModelStatus& served : deps.lifecycle.GetStatus()) names.insert(served.name);
    if (deps.monitor) {
      for (const auto& [name, version] : deps.monitor->Versions()) names.insert(name);
      for (const ObservedBefore& before : deps.monitor->Before()) names.insert(before.model);
    }
    if (names.contains(model)) return OkStatus();
    return NoModel(model, {names.begin(), names.end()});
  }

  Status GetWindows(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    const std::string& model = call.path["model"];
    RETURN_IF_ERROR(NeedKnown(model));
    WallTime from = deps.clock.Now() - std::chrono::minutes(10);
    if (auto since = call.query.find("since"); since != call.query.end()) {
      if (auto back = schema::ParseTime(since->second)) {
        from = deps.clock.Now() - *back;
      } else if (auto time = ParseRfc3339(since->second)) {
        from = *time;
      } else {
        return InvalidArgumentError(
            "since: must be a duration like 10m, or a time like 2026-03-01T12:00:00Z");
      }
    }
    Json versions = Json::object();
    for (const auto& [version, windows] : deps.monitor->Windows(model, from)) {
      Json list = Json::array();
      for (const WindowSummary& window : windows) list.push_back(console::WindowJson(window));
      versions[std::to_string(version)] = std::move(list);
    }
    Send(call.exchange, 200,
         {{"model", model}, {"from", FormatRfc3339(from)}, {"versions", std::move(versions)}});
    return OkStatus();
  }

  Status GetProfile(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    ASSIGN_OR_RETURN(int64_t version, WatchedVersion(call.path["version"]));
    ASSIGN_OR_RETURN(std::string profile, deps.monitor->ProfileJson(call.path["model"], version));
    call.exchange.response().body += profile;
    return OkStatus();
  }

  /// What a log names no version of is version 0.
  static Result<int64_t> WatchedVersion(const std::string& text) {
    if (text == "0") return 0;
    return Positive("version", text);
  }
  static Result<std::optional<int64_t>> VersionAsked(RouteCall& call) {
    auto version = call.query.find("version");
    if (version == call.query.end()) return std::optional<int64_t>();
    ASSIGN_OR_RETURN(int64_t number, WatchedVersion(version->second));
    return std::optional<int64_t>(number);
  }

  /// What the monitor says of each version, or of the one that is asked for.
  Status GetByVersion(RouteCall& call,
                      const std::function<std::vector<int64_t>(const std::string&)>& versions,
                      Result<std::string> (Monitor::*json)(const std::string&, int64_t) const,
                      const std::string& more = "") {
    RETURN_IF_ERROR(NeedMonitor());
    const std::string& model = call.path["model"];
    RETURN_IF_ERROR(NeedKnown(model));
    ASSIGN_OR_RETURN(std::optional<int64_t> one, VersionAsked(call));
    const std::vector<int64_t> wanted = one ? std::vector<int64_t>{*one} : versions(model);
    std::string& body = call.exchange.response().body;
    body = StrCat(R"({"model":)", Dump(model), R"(,"versions":[)");
    for (size_t i = 0; i < wanted.size(); ++i) {
      ASSIGN_OR_RETURN(std::string one, (deps.monitor->*json)(model, wanted[i]));
      body += StrCat(i > 0 ? "," : "", one);
    }
    body += StrCat("]", more, "}\n");
    return OkStatus();
  }

  Status GetDrift(RouteCall& call) {
    return GetByVersion(
        call, [this](const std::string& model) { return deps.monitor->DriftVersions(model); },
        &Monitor::DriftJson);
  }

  Status GetSchema(RouteCall& call) {
    return GetByVersion(
        call, [this](const std::string& model) { return deps.monitor->SchemaVersions(model); },
        &Monitor::SchemaJson);
  }

  Status GetQuality(RouteCall& call) {
    auto versions = [this](const std::string& model) {
      std::vector<int64_t> of_model;
      for (const auto& [name, version] : deps.monitor->Versions()) {
        if (name == model) of_model.push_back(version);
      }
      return of_model;
    };
    RETURN_IF_ERROR(NeedMonitor());
    return GetByVersion(
        call, versions, &Monitor::QualityJson,
        StrCat(",\"labels_mismatched\":", deps.monitor->LabelsMismatched(call.path["model"])));
  }

  Status ResetDrift(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    const std::string& model = call.path["model"];
    RETURN_IF_ERROR(NeedKnown(model));
    ASSIGN_OR_RETURN(std::optional<int64_t> version, VersionAsked(call));
    ASSIGN_OR_RETURN(std::vector<int64_t> versions,
                     deps.monitor->TakeReferenceAnew(model, version));
    for (int64_t number : versions)
      LOG_INFO("reference of drift is taken anew", {"model", model}, {"version", number});
    Send(call.exchange, 202, {{"model", model}, {"versions", versions}});
    return OkStatus();
  }

  Status RelearnSchema(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    const std::string& model = call.path["model"];
    RETURN_IF_ERROR(NeedKnown(model));
    ASSIGN_OR_RETURN(std::optional<int64_t> version, VersionAsked(call));
    ASSIGN_OR_RETURN(std::vector<int64_t> versions, deps.monitor->RelearnSchema(model, version));
    for (int64_t number : versions)
      LOG_INFO("schema is learnt anew", {"model", model}, {"version", number});
    Send(call.exchange, 202, {{"model", model}, {"versions", versions}});
    return OkStatus();
  }

  Status PutLabel(RouteCall& call) {
    ASSIGN_OR_RETURN(LabelBody body, ReadBody(call.exchange.request().body, LabelBodySchema()));
    ASSIGN_OR_RETURN(ModelStatus model, FindModel(call.path["model"]));
    const std::string& label = call.path["label"];
    RETURN_IF_ERROR(deps.lifecycle.SetLabel(model.name, label, body.version));
    LOG_INFO("label set", {"model", model.name}, {"label", label}, {"version", body.version});
    Send(call.exchange, 200, {{"model", model.name}, {"label", label}, {"version", body.version}});
    return OkStatus();
  }

  // ---- Rollouts
  // --------------------------------------------------------------------------------------------------

  std::map<std::string, Deps::ProxiedService> Proxied() const {
    return deps.proxied_services ? deps.proxied_services()
                                 : std::map<std::string, Deps::ProxiedService>();
  }

  Status NeedRollouts() const {
    if (deps.rollouts) return OkStatus();
    if (!Proxied().empty()) {
      return UnimplementedError(
          "a rollout is judged by what the monitor counts, which is switched off in this gateway: "
          "set monitoring.enabled of a model to true");
    }
    return UnimplementedError(
        "no model of this server has a rollout plan: add rollout: to a model");
  }

  Status ListRollouts(RouteCall& call) {
    auto model = call.query.find("model");
    Json list = Json::array();
    if (deps.rollouts) {
      for (const RolloutView& rollout : deps.rollouts->List()) {
        if (model == call.query.end() || rollout.model == model->second)
          list.push_back(console::RolloutJson(rollout));
      }
    }
    if (list.empty() && model != call.query.end()) RETURN_IF_ERROR(NeedKnown(model->second));
    Send(call.exchange, 200, {{"rollouts", std::move(list)}});
    return OkStatus();
  }

  Status GetRollout(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(RolloutView rollout, deps.rollouts->Get(id));
    Send(call.exchange, 200, console::RolloutJson(rollout));
    return OkStatus();
  }

  Status GetHistory(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(int64_t offset,
                     QueryNumber(call, "offset", 0, std::numeric_limits<int32_t>::max()));
    ASSIGN_OR_RETURN(int64_t limit, QueryNumber(call, "limit", kHistoryPage, kMaxHistoryPage));
    ASSIGN_OR_RETURN(std::vector<TickView> history, deps.rollouts->History(id));
    auto total = static_cast<int64_t>(history.size());
    int64_t end = std::min(total, offset + limit);
    Json ticks = Json::array();
    for (int64_t i = offset; i < end; ++i)
      ticks.push_back(console::TickJson(history[static_cast<size_t>(i)]));
    Send(call.exchange, 200,
         {{"rollout", id},
          {"total", total},
          {"next_offset", end < total && offset < end ? Json(end) : Json(nullptr)},
          {"ticks", std::move(ticks)}});
    return OkStatus();
  }

  /// A body that may be absent.
  template <typename Body>
  static Result<Body> BodyOf(RouteCall& call, const schema::Struct<Body>& table) {
    if (Trim(call.exchange.request().body).empty()) return table.initial();
    ASSIGN_OR_RETURN(Body body, ReadBody(call.exchange.request().body, table));
    if (Trim(body.who).empty()) body.who = table.initial().who;  // nobody is no name
    return body;
  }

  Status SendCommanded(RouteCall& call, int64_t id) {
    ASSIGN_OR_RETURN(RolloutView rollout, deps.rollouts->Get(id));
    Send(call.exchange, 202, console::RolloutJson(rollout));
    return OkStatus();
  }

  Status PromoteRollout(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(PromotionBody body, BodyOf(call, PromotionBodySchema()));
    if (body.full && body.step)
      return InvalidArgumentError("step: belongs to a promote out of one step, not to full");
    std::optional<int> step;
    if (body.step) step = static_cast<int>(*body.step);
    RETURN_IF_ERROR(body.full ? deps.rollouts->Promote(id, body.who)
                              : deps.rollouts->Advance(id, body.who, step));
    return SendCommanded(call, id);
  }

  using CommandMethod = Status (RolloutController::*)(int64_t, const std::string&);

  Status CommandRollout(RouteCall& call, CommandMethod command) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(WhoBody body, BodyOf(call, WhoBodySchema()));
    RETURN_IF_ERROR((deps.rollouts->*command)(id, body.who));
    return SendCommanded(call, id);
  }

  Status RetryRollout(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(WhoBody body, BodyOf(call, WhoBodySchema()));
    ASSIGN_OR_RETURN(RolloutView rollout, deps.rollouts->Get(id));
    RETURN_IF_ERROR(NeedVersion(rollout.model, rollout.candidate));
    RETURN_IF_ERROR(deps.rollouts->Retry(id, body.who));
    return SendStarted(call, rollout.model, rollout.candidate);
  }

  Status UndoRollout(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(int64_t id, Positive("id", call.path["id"]));
    ASSIGN_OR_RETURN(WhoBody body, BodyOf(call, WhoBodySchema()));
    ASSIGN_OR_RETURN(RolloutView rollout, deps.rollouts->Get(id));
    if (rollout.phase == RolloutPhase::kPromoted)
      RETURN_IF_ERROR(NeedVersion(rollout.model, rollout.stable));
    RETURN_IF_ERROR(deps.rollouts->Undo(id, body.who));
    return SendStarted(call, rollout.model, rollout.stable);
  }

  /// NOT_FOUND when the model's store has no such version any more, or its service of the gateway. What is served elsewhere otherwise
  /// has a plan and no store here: its actuator says what is missing.
  Status NeedVersion(const std::string& name, int64_t version) const {
    if (const auto proxied = Proxied(); !proxied.empty())
      return NeedProxied(proxied, name, version);
    if (!deps.lifecycle.GetStatus(name).ok()) {
      const auto of_model = [&](const RolloutView& rollout) { return rollout.model == name; };
      if (deps.rollouts->StandingOf(name).ok() || std::ranges::any_of(Rollouts(), of_model))
        return OkStatus();
    }
    ASSIGN_OR_RETURN(ModelStatus model, FindModel(name));
    if (model.listing_round == 0 || std::ranges::count(model.found, version) > 0) return OkStatus();
    std::string there;
    for (int64_t found : model.found) there += StrCat(there.empty() ? "" : ", ", found);
    return NotFoundError(StrCat("candidate: there is no version ", version, " of model ", name,
                                " in ", model.path,
                                "; versions: ", there.empty() ? "none" : there));
  }

  static Status NeedProxied(const std::map<std::string, Deps::ProxiedService>& proxied,
                            const std::string& name, int64_t version) {
    const auto service = proxied.find(name);
    if (service == proxied.end()) {
      std::vector<std::string> names;
      for (const auto& [known, _] : proxied) names.push_back(known);
      const auto near = DidYouMean(name, names);
      return NotFoundError(StrCat(
          "model: there is no service ", CutUtf8(name, 128), " in gateway.services",
          near ? StrCat("; did you mean ", *near, "?") : StrCat("; services: ", HumanList(names))));
    }
    const std::vector<int64_t>& versions = service->second.versions;
    if (std::ranges::count(versions, version) > 0) return OkStatus();
    std::vector<std::string> there;
    for (int64_t one : versions) there.push_back(std::to_string(one));
    return NotFoundError(StrCat("candidate: service ", name, " has no version ", version,
                                "; versions: ", HumanList(there),
                                "; add it to gateway.services and reload"));
  }

  /// Of a service that no rollout has decided on yet.
  Status NeedOther(const std::string& name, int64_t candidate) const {
    const auto proxied = Proxied();
    const auto service = proxied.find(name);
    if (service == proxied.end() || service->second.main != candidate) return OkStatus();
    return FailedPreconditionError(StrCat("candidate: version ", candidate, " has the traffic of ",
                                          name, " already: name another one"));
  }

  /// The rollout that was asked for, which may begin yet.
  Status SendStarted(RouteCall& call, const std::string& model, int64_t candidate) {
    Json answer = {{"model", model}, {"candidate", candidate}};
    for (const RolloutView& rollout : deps.rollouts->List()) {
      if (rollout.model == model && rollout.candidate == candidate && !HasEnded(rollout.phase)) {
        answer = console::RolloutJson(rollout);
        break;
      }
    }
    Send(call.exchange, 201, answer);
    return OkStatus();
  }

  Status StartRollout(RouteCall& call) {
    RETURN_IF_ERROR(NeedRollouts());
    ASSIGN_OR_RETURN(StartBody body, ReadBody(call.exchange.request().body, StartBodySchema()));
    RETURN_IF_ERROR(NeedVersion(body.model, body.candidate));
    if (body.plan) {
      if (!deps.fit_plan)
        return UnimplementedError("plan: this server takes plans from its configuration alone");
      ASSIGN_OR_RETURN(body.plan, deps.fit_plan(body.model, *std::move(body.plan)));
      RETURN_IF_ERROR(NeedOther(body.model, body.candidate));
    }
    RETURN_IF_ERROR(deps.rollouts->StartRollout(body.model, body.candidate, std::move(body.plan)));
    return SendStarted(call, body.model, body.candidate);
  }

  // ---- Labels and configuration
  // ----------------------------------------------------------------------------------

  Status PostLabels(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    std::vector<std::string> details;
    auto labels =
        console::ParseLabels(call.exchange.request().body, UnixMillis(deps.clock.Now()), details);
    if (!labels.ok()) {
      SendError(call.exchange, 400, "INVALID_ARGUMENT", labels.status().message(), details);
      return OkStatus();
    }
    LabelReceipt receipt = deps.monitor->AddLabels(std::move(*labels));
    Json answer = {
        {"accepted", receipt.accepted}, {"rejected", receipt.rejected}, {"errors", receipt.errors}};
    if (receipt.rejected > 0) {
      // Sending the whole batch again is harmless: a label that comes twice counts once.
      answer["error"] = {
          {"code", "RESOURCE_EXHAUSTED"},
          {"message", StrCat(receipt.rejected, " labels were not taken: ",
                             receipt.errors.empty() ? "the queue is full" : receipt.errors[0],
                             "; send the batch again in a second")}};
      call.exchange.response().headers += "retry-after: 1\r\n";
    }
    Send(call.exchange, receipt.rejected > 0 ? 429 : 200, answer);
    return OkStatus();
  }

  Status PostEvents(RouteCall& call) {
    RETURN_IF_ERROR(NeedMonitor());
    if (deps.events == nullptr) return UnimplementedError("this server takes no events");
    const net::HttpRequest& request = call.exchange.request();
    ASSIGN_OR_RETURN(intake::EventReceipt receipt,
                     deps.events->Add(request.body, request.Header("content-type")));
    LabelReceipt labels = deps.monitor->AddLabels(std::move(receipt.labels), receipt.label_places);
    Json answer = {{"accepted", receipt.accepted},
                   {"rejected", receipt.rejected},
                   {"duplicate", receipt.duplicate},
                   {"from_future", receipt.from_future},
                   {"before_1970", receipt.before_1970},
                   {"labels_accepted", labels.accepted},
                   {"labels_rejected", labels.rejected},
                   {"next", receipt.full ? Json(receipt.next) : Json(nullptr)},
                   {"errors", receipt.errors}};
    for (const std::string& error : labels.errors) answer["errors"].push_back(error);
    int status = 200;
    if (labels.full && !receipt.full) {
      status = 503;
      answer["error"] = {
          {"code", "UNAVAILABLE"},
          {"message",
           "the monitor has no room for all labels at the moment; send the entries that are labels "
           "alone again in a second: what has been taken counts once"}};
      call.exchange.response().headers += "retry-after: 1\r\n";
    } else if (receipt.full) {
      status = 503;
      answer["error"] = {{"code", "UNAVAILABLE"},
                         {"message", StrCat("the monitor has no room at the moment; send the "
                                            "entries from index ",
                                            receipt.next, " on again in a second")}};
      call.exchange.response().headers += "retry-after: 1\r\n";
    } else if (receipt.accepted + receipt.duplicate + labels.accepted == 0 &&
               receipt.rejected > 0) {
      SendError(call.exchange, 400, "INVALID_ARGUMENT",
                StrCat("nothing was taken: ", receipt.errors[0]), receipt.errors);
      return OkStatus();
    }
    Send(call.exchange, status, answer);
    return OkStatus();
  }

  Status GetLogs(RouteCall& call) {
    if (!deps.logs_json)
      return UnimplementedError(
          "no logs are read here: start `leadsman monitor --log PATH`, or set monitor.logs");
    call.exchange.response().body += deps.logs_json();
    call.exchange.response().body += '\n';
    return OkStatus();
  }

  Status GetEnvoy(RouteCall& call) {
    if (!deps.envoy_json)
      return UnimplementedError(
          "Envoy is not listened to here: start `leadsman monitor --envoy-port PORT`, or set "
          "monitor.envoy");
    call.exchange.response().body += deps.envoy_json();
    call.exchange.response().body += '\n';
    return OkStatus();
  }

  static Status NoGateway() {
    return UnimplementedError("nothing is proxied here: start `leadsman gateway --config FILE`");
  }

  Status GetGateway(RouteCall& call) {
    if (!deps.gateway_json) return NoGateway();
    call.exchange.response().body += deps.gateway_json();
    call.exchange.response().body += '\n';
    return OkStatus();
  }

  Status PutGatewayWeights(RouteCall& call) {
    if (!deps.set_gateway_weights) return NoGateway();
    ASSIGN_OR_RETURN(WeightsBody body, ReadBody(call.exchange.request().body, WeightsBodySchema()));
    std::map<int64_t, double> weights;
    for (const auto& [version, weight] : body.weights) {
      const auto number = ParseInt64(version);
      if (!number) {
        return InvalidArgumentError(
            StrCat("weights: '", CutUtf8(version, 40), "' is no version's number, as \"2\""));
      }
      weights[*number] = weight;
    }
    RETURN_IF_ERROR(deps.set_gateway_weights(call.path["service"], weights));
    return GetGateway(call);
  }

  Status GetConfiguration(RouteCall& call) {
    if (!deps.configuration_json)
      return UnimplementedError("this server has no configuration to show");
    call.exchange.response().body += deps.configuration_json();
    call.exchange.response().body += '\n';
    return OkStatus();
  }

  std::string Index() const {
    std::string text = StrCat("Leadsman ", deps.version, ", admin API\n\n");
    for (const Route& route : routes) {
      text += route.method;
      text.append(6 - std::min<size_t>(route.method.size(), 5), ' ');
      text += route.path;
      text.append(route.path.size() < 46 ? 46 - route.path.size() : 1, ' ');
      text += route.summary;
      text += '\n';
    }
    return text;
  }

  // ---- The table
  // -------------------------------------------------------------------------------------------------

  void AddRoutes() {
    using Parameter = Route::Parameter;
    const Parameter model{"model", "path", "string", "the model's name"};
    const Parameter version{"version", "path", "integer", "the version's number"};
    const Parameter id{"id", "path", "integer", "the rollout's number"};
    auto on = [this](Status (Impl::*method)(RouteCall&)) {
      return [this, method](RouteCall& call) { return (this->*method)(call); };
    };
    auto command = [&](const char* verb, const char* name, const char* summary,
                       CommandMethod method) {
      return Route{
          "POST",
          StrCat("/api/v1/rollouts/{id}/", verb),
          name,
          summary,
          {id},
          "Who",
          {{202, "Rollout"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
          [this, method](RouteCall& call) { return CommandRollout(call, method); }};
    };

    routes = {
        {"GET",
         "/",
         "index",
         "This list.",
         {},
         "",
         {{200, "text"}},
         [this](RouteCall& call) {
           SendText(call.exchange, Index());
           return OkStatus();
         }},
        {"GET",
         "/livez",
         "livez",
         "The process is alive.",
         {},
         "",
         {{200, "text"}},
         [](RouteCall& call) {
           SendText(call.exchange, "ok\n");
           return OkStatus();
         }},
        {"GET",
         "/healthz",
         "healthz",
         "The same, under the name that older probes ask for.",
         {},
         "",
         {{200, "text"}},
         [](RouteCall& call) {
           SendText(call.exchange, "ok\n");
           return OkStatus();
         }},
        {"GET",
         "/readyz",
         "readyz",
         "Every required model has a ready version; otherwise the reasons.",
         {},
         "",
         {{200, "Readiness"}, {503, "Readiness"}},
         on(&Impl::Ready)},
        {"GET",
         "/metrics",
         "metrics",
         "Metrics for Prometheus.",
         {},
         "",
         {{200, "text"}, {501, "Error"}},
         [this](RouteCall& call) {
           if (!deps.metrics) return UnimplementedError("this server has no metrics");
           deps.metrics(call.exchange);
           return OkStatus();
         }},
        {"GET",
         "/openapi.json",
         "openapi",
         "This API as an OpenAPI document.",
         {},
         "",
         {{200, "OpenApi"}},
         [this](RouteCall& call) {
           call.exchange.response().body += openapi;
           return OkStatus();
         }},
        {"GET",
         "/api/v1/status",
         "getStatus",
         "The server at a glance.",
         {},
         "",
         {{200, "ServerStatus"}},
         on(&Impl::GetServerStatus)},
        {"POST",
         "/api/v1/reload",
         "reloadConfiguration",
         "Reads the configuration again. All or nothing: with errors, which are told, nothing "
         "changes.",
         {},
         "",
         {{200, "Reload"}, {400, "Error"}, {501, "Error"}},
         on(&Impl::Reload)},
        {"GET",
         "/api/v1/models",
         "listModels",
         "All models.",
         {},
         "",
         {{200, "ModelList"}},
         on(&Impl::ListModels)},
        {"GET",
         "/api/v1/models/{model}",
         "getModel",
         "One model: versions, labels, traffic, totals.",
         {model},
         "",
         {{200, "Model"}, {404, "Error"}},
         on(&Impl::GetModel)},
        {"POST",
         "/api/v1/models/{model}/refresh",
         "refreshModel",
         "Lists the model's store now instead of at the next poll. The body is not looked at, so a "
         "bucket's notification may be sent here.",
         {model},
         "",
         {{202, "Refresh"}, {404, "Error"}},
         on(&Impl::RefreshModel)},
        {"GET",
         "/api/v1/models/{model}/windows",
         "getWindows",
         "What was counted in each window, by version.",
         {model,
          {"since", "query", "string",
           "how far back (10m), or since when (2026-03-01T12:00:00Z); default 10m"}},
         "",
         {{200, "Windows"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetWindows)},
        {"GET",
         "/api/v1/models/{model}/versions/{version}/profile",
         "getProfile",
         "Statistics of one version's inputs.",
         {model, version},
         "",
         {{200, "Profile"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetProfile)},
        {"GET",
         "/api/v1/models/{model}/drift",
         "getDrift",
         "How far inputs, answers and labels are from their references, by version.",
         {model, {"version", "query", "string", "only this version"}},
         "",
         {{200, "Drift"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetDrift)},
        {"GET",
         "/api/v1/models/{model}/schema",
         "getSchema",
         "What inputs are held against, and what broke it, by version.",
         {model, {"version", "query", "string", "only this version"}},
         "",
         {{200, "Schema"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetSchema)},
        {"GET",
         "/api/v1/models/{model}/quality",
         "getQuality",
         "What labels tell beyond accuracy, by version: classes, scores, errors of numbers, "
         "coverage, "
         "segments.",
         {model, {"version", "query", "string", "only this version"}},
         "",
         {{200, "Quality"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetQuality)},
        {"POST",
         "/api/v1/models/{model}/drift/reset",
         "resetDrift",
         "Takes references anew: from their file, which is read again, or from the requests from "
         "now on. Those of now stay in use until there are enough.",
         {model, {"version", "query", "string", "only this version"}},
         "",
         {{202, "DriftReset"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::ResetDrift)},
        {"POST",
         "/api/v1/models/{model}/schema/relearn",
         "relearnSchema",
         "Drops schemas: they are those of their file, which is read again, or learnt from the "
         "requests from now on. Until there are enough nothing is held against them.",
         {model, {"version", "query", "string", "only this version"}},
         "",
         {{202, "SchemaRelearnt"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::RelearnSchema)},
        {"PUT",
         "/api/v1/models/{model}/labels/{label}",
         "setLabel",
         "Points a label at a ready version.",
         {model, {"label", "path", "string", "the label, as stable"}},
         "SetLabel",
         {{200, "ModelLabel"}, {400, "Error"}, {404, "Error"}, {409, "Error"}},
         on(&Impl::PutLabel)},
        {"GET",
         "/api/v1/rollouts",
         "listRollouts",
         "Rollouts, the newest first.",
         {{"model", "query", "string", "only of this model"}},
         "",
         {{200, "RolloutList"}, {404, "Error"}},
         on(&Impl::ListRollouts)},
        {"POST",
         "/api/v1/rollouts",
         "startRollout",
         "Rolls out a version that was rejected or passed over.",
         {},
         "StartRollout",
         {{201, "StartedRollout"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
         on(&Impl::StartRollout)},
        {"GET",
         "/api/v1/rollouts/{id}",
         "getRollout",
         "One rollout with its evidence.",
         {id},
         "",
         {{200, "Rollout"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetRollout)},
        {"GET",
         "/api/v1/rollouts/{id}/history",
         "getRolloutHistory",
         "Every tick of a rollout.",
         {id,
          {"offset", "query", "integer", "ticks to skip; default 0"},
          {"limit", "query", "integer", "ticks at most; default 5000"}},
         "",
         {{200, "RolloutHistory"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
         on(&Impl::GetHistory)},
        {"POST",
         "/api/v1/rollouts/{id}/promote",
         "promoteRollout",
         "Out of the present step, evidence or not: gives the approval that a step waits for. With "
         "full, ends a rollout with the candidate.",
         {id},
         "Promotion",
         {{202, "Rollout"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
         on(&Impl::PromoteRollout)},
        command("pause", "pauseRollout",
                "Holds a rollout where it is. Evidence is counted, and harm still takes the "
                "candidate back.",
                &RolloutController::Pause),
        command("resume", "resumeRollout", "Lets a paused rollout go on.",
                &RolloutController::Resume),
        command("abort", "abortRollout", "Ends a rollout with the stable version.",
                &RolloutController::Abort),
        {"POST",
         "/api/v1/rollouts/{id}/retry",
         "retryRollout",
         "Begins a rollout that was rolled back or aborted anew, by the present plan.",
         {id},
         "Who",
         {{201, "StartedRollout"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
         on(&Impl::RetryRollout)},
        {"POST",
         "/api/v1/rollouts/{id}/undo",
         "undoRollout",
         "Back to the version that was stable before a rollout that was promoted, as soon as it is "
         "ready.",
         {id},
         "Who",
         {{201, "StartedRollout"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
         on(&Impl::UndoRollout)},
        {"POST",
         "/api/v1/labels",
         "addLabels",
         "True answers for past predictions, by request id.",
         {},
         "Labels",
         {{200, "LabelReceipt"}, {400, "Error"}, {429, "LabelReceipt"}, {501, "Error"}},
         on(&Impl::PostLabels)},
        {"POST",
         "/api/v1/events",
         "addEvents",
         "Predictions that a service reports by itself: a batch, or one a line "
         "(application/x-ndjson).",
         {},
         "Events",
         {{200, "EventReceipt"}, {400, "Error"}, {501, "Error"}, {503, "EventReceipt"}},
         on(&Impl::PostEvents)},
        {"GET",
         "/api/v1/logs",
         "getLogs",
         "The logs that are read: what each was recognised as, what was counted, by model.",
         {},
         "",
         {{200, "Logs"}, {501, "Error"}},
         on(&Impl::GetLogs)},
        {"GET",
         "/api/v1/envoy",
         "getEnvoy",
         "What Envoys have told by their access log service and ext_proc: counts, by model.",
         {},
         "",
         {{200, "EnvoyReport"}, {501, "Error"}},
         on(&Impl::GetEnvoy)},
        {"GET",
         "/api/v1/gateway",
         "getGateway",
         "The gateway's services: shares of versions, and how their endpoints are.",
         {},
         "",
         {{200, "Gateway"}, {501, "Error"}},
         on(&Impl::GetGateway)},
        {"PUT",
         "/api/v1/gateway/services/{service}/weights",
         "setGatewayWeights",
         "Shares of the traffic of a service's versions, until the process ends; those that are "
         "left out get none. Not while a rollout decides.",
         {{"service", "path", "string", "the service's name"}},
         "GatewayWeights",
         {{200, "Gateway"}, {400, "Error"}, {404, "Error"}, {409, "Error"}, {501, "Error"}},
         on(&Impl::PutGatewayWeights)},
        {"GET",
         "/api/v1/configuration",
         "getConfiguration",
         "The effective configuration.",
         {},
         "",
         {{200, "Configuration"}, {501, "Error"}},
         on(&Impl::GetConfiguration)},
    };
    auto known = [this](const std::string& name) { return NeedKnown(name); };
    for (Route& route : console::AlarmRoutes({deps.clock, deps.alarms, known}))
      routes.push_back(std::move(route));
    for (Route& route : console::EdgeRoutes(deps.monitor)) routes.push_back(std::move(route));
    for (Route& route :
         console::RolloutRoutes({deps.clock, deps.rollouts, deps.monitor, deps.version,
                                 [this](const std::string& model) {
                                   const auto proxied = Proxied();
                                   const auto service = proxied.find(model);
                                   return service == proxied.end() ? 0 : service->second.main;
                                 }}))
      routes.push_back(std::move(route));
    openapi = console::OpenApiDocument(routes, deps.version);
  }

  void Handle(net::HttpExchange& exchange) {
    const net::HttpRequest& request = exchange.request();
    RouteCall call{exchange, {}, {}};
    std::string allowed;
    for (const Route& route : routes) {
      call.path.clear();
      if (!Match(route.path, request.path, call.path)) continue;
      if (route.method != request.asked_method()) {
        allowed += StrCat(allowed.empty() ? "" : ", ", route.method,
                          route.method == "GET" ? ", HEAD" : "");
        continue;
      }
      ParseQuery(request.query, call.query);
      Status status = route.handle(call);
      if (!status.ok())
        SendError(exchange, HttpStatus(status.code()), StatusCodeName(status.code()),
                  status.message());
      return;
    }
    if (!allowed.empty()) {
      exchange.response().headers += StrCat("allow: ", allowed, "\r\n");
      SendError(exchange, 405, "UNIMPLEMENTED", StrCat("this address takes ", allowed));
      return;
    }
    SendError(exchange, 404, "NOT_FOUND", "no such address; GET / lists them all");
  }

  Deps deps;
  WallTime started;
  SteadyTime started_steady;
  std::vector<Route> routes;
  std::string openapi;
};

AdminApi::AdminApi(Deps deps) : impl_(std::make_unique<Impl>(std::move(deps))) {}
AdminApi::~AdminApi() = default;

void AdminApi::Handle(net::HttpExchange& exchange) { impl_->Handle(exchange); }
std::string AdminApi::OpenApiJson() const { return impl_->openapi; }

std::string AdminApi::ErrorBody(int status, std::string_view message) {
  std::string_view code = "UNKNOWN";
  if (status == 408) code = "DEADLINE_EXCEEDED";
  if (status >= 400 && status < 500 && status != 408) code = "INVALID_ARGUMENT";
  if (status == 401) code = "UNAUTHENTICATED";
  if (status == 403) code = "PERMISSION_DENIED";
  if (status == 413 || status == 431) code = "RESOURCE_EXHAUSTED";
  if (status == 500) code = "INTERNAL";
  if (status == 503) code = "UNAVAILABLE";
  return ErrorText(code, message, {});
}

}  // namespace leadsman
