#include "console/alarm_routes.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/schema.h"
#include "base/strings.h"
#include "monitor/alarm_json.h"

namespace leadsman::console {
namespace {

using std::chrono::seconds;

/// Either a time or a duration ends a silence.
struct SilenceBody {
  Silence silence;
  std::string until;
  seconds for_time{0};
};

const schema::Struct<Silence>& SilenceSchema() {
  static const auto table = [] {
    schema::Struct<Silence> s("SilenceMatchers", "What is silenced.");
    s.Field("kind", &Silence::kind, schema::Text(), "as error_burn; empty: any");
    s.Field("model", &Silence::model, schema::Text(), "empty: any");
    s.Field("version", &Silence::version, schema::Integer<int64_t>(0), "0: any");
    s.Field("of", &Silence::of, schema::Text(), "the feature, log and the like; empty: any");
    s.Required("author", &Silence::author, schema::Text(), "whom to ask");
    s.Required("comment", &Silence::comment, schema::Text(), "why");
    return s;
  }();
  return table;
}
const schema::Struct<SilenceBody>& SilenceBodySchema() {
  static const auto table = [] {
    schema::Struct<SilenceBody> s("NewSilence", "A silence.");
    s.Embedded(&SilenceBody::silence, SilenceSchema());
    s.Field("until", &SilenceBody::until, schema::Text(), "a time");
    s.Field("for", &SilenceBody::for_time, schema::Time<seconds>(), "or how long from now");
    return s;
  }();
  return table;
}

Result<Silence> ReadSilence(std::string_view text, WallTime now) {
  SilenceBody body = SilenceBodySchema().initial();
  std::vector<ConfigProblem> problems;
  if (!schema::ReadJson(text, SilenceBodySchema(), body, problems))
    return InvalidArgumentError(FormatProblems("", problems));
  if (body.until.empty() == (body.for_time == seconds(0))) {
    return InvalidArgumentError(
        "give either until, a time like 2026-03-01T12:00:00Z, or for, a duration like 2h");
  }
  // No longer than can be added; the book says what is too long.
  body.silence.until = now + std::min<seconds>(body.for_time, std::chrono::hours(24 * 3650));
  if (!body.until.empty()) {
    auto until = ParseRfc3339(body.until);
    if (!until) return InvalidArgumentError("until: must be a time like 2026-03-01T12:00:00Z");
    body.silence.until = *until;
  }
  return std::move(body.silence);
}

void Answer(RouteCall& call, int status, std::string body) {
  call.exchange.response().status = status;
  call.exchange.response().content_type = "application/json";
  call.exchange.response().body += body;
  call.exchange.response().body += '\n';
}

Result<int64_t> IdOf(const RouteCall& call) {
  const std::string& text = call.path.find("id")->second;
  auto id = ParseInt64(text);
  if (!id || *id < 1)
    return InvalidArgumentError(
        StrCat("id: must be a whole number from 1, not ", CutUtf8(text, 40)));
  return *id;
}

template <typename T>
std::string ListJson(const std::vector<T>& items, std::string (*json)(const T&)) {
  std::string out = "[";
  for (const T& item : items) {
    if (out.size() > 1) out += ',';
    out += json(item);
  }
  return out + "]";
}

Status CheckState(const std::string& state) {
  for (AlarmState known : {AlarmState::kPending, AlarmState::kFiring, AlarmState::kResolved}) {
    if (state == AlarmStateName(known)) return OkStatus();
  }
  return InvalidArgumentError(
      StrCat("state: must be pending, firing or resolved, not ", CutUtf8(state, 40)));
}

Status ListAlarms(const AlarmRoutesDeps& deps, RouteCall& call) {
  AlarmLoop::View view = *deps.alarms->view();
  if (auto model = call.query.find("model"); model != call.query.end()) {
    auto of_model = [&](const Alarm& a) { return a.finding.subject.model == model->second; };
    // One that is gone may have alarms of before.
    if (std::none_of(view.alarms.begin(), view.alarms.end(), of_model) && deps.known)
      RETURN_IF_ERROR(deps.known(model->second));
    std::erase_if(view.alarms, [&](const Alarm& a) { return !of_model(a); });
  }
  if (auto state = call.query.find("state"); state != call.query.end()) {
    RETURN_IF_ERROR(CheckState(state->second));
    std::erase_if(view.alarms,
                  [&](const Alarm& a) { return AlarmStateName(a.state) != state->second; });
  }
  std::string looked = "null";
  if (view.looked != WallTime{}) looked = StrCat("\"", FormatRfc3339(view.looked), "\"");
  Answer(call, 200,
         StrCat("{\"looked\":", looked, ",\"watched\":", view.watched, ",\"dropped\":",
                view.dropped, ",\"alarms\":", ListJson(view.alarms, AlarmJson), "}"));
  return OkStatus();
}

Status GetAlarm(const AlarmRoutesDeps& deps, RouteCall& call) {
  ASSIGN_OR_RETURN(int64_t id, IdOf(call));
  ASSIGN_OR_RETURN(Alarm alarm, deps.alarms->Get(id));
  Answer(call, 200, AlarmJson(alarm));
  return OkStatus();
}

Status ListSilences(const AlarmRoutesDeps& deps, RouteCall& call) {
  Answer(call, 200, StrCat("{\"silences\":", ListJson(deps.alarms->Silences(), SilenceJson), "}"));
  return OkStatus();
}

Status RemoveSilence(const AlarmRoutesDeps& deps, RouteCall& call) {
  ASSIGN_OR_RETURN(int64_t id, IdOf(call));
  RETURN_IF_ERROR(deps.alarms->RemoveSilence(id));
  LOG_INFO("silence removed", {"id", id});
  Answer(call, 200, StrCat("{\"id\":", id, ",\"removed\":true}"));
  return OkStatus();
}

/// One may be made before its model is there; a name that is only misspelt must not look as if it held.
Status AddSilence(const AlarmRoutesDeps& deps, RouteCall& call) {
  ASSIGN_OR_RETURN(Silence wanted, ReadSilence(call.exchange.request().body, deps.clock.Now()));
  ASSIGN_OR_RETURN(Silence silence, deps.alarms->AddSilence(std::move(wanted)));
  LOG_INFO("silence added", {"id", silence.id}, {"author", silence.author},
           {"until", FormatRfc3339(silence.until)});
  const std::shared_ptr<const AlarmLoop::View> view = deps.alarms->view();
  const auto matches =
      std::count_if(view->alarms.begin(), view->alarms.end(), [&](const Alarm& alarm) {
        const bool open = alarm.state == AlarmState::kFiring || alarm.state == AlarmState::kPending;
        return open && silence.Matches(alarm.finding.subject);
      });
  Status known = OkStatus();
  if (matches == 0 && !silence.model.empty() && deps.known) known = deps.known(silence.model);
  std::string json = SilenceJson(silence);
  json.pop_back();
  json += StrCat(",\"matches\":", matches, ",\"warning\":");
  AppendJsonString(json, known.message());
  Answer(call, 201, json + "}");
  return OkStatus();
}

}  // namespace

std::vector<Route> AlarmRoutes(AlarmRoutesDeps deps) {
  auto on = [deps](Status (*handle)(const AlarmRoutesDeps&, RouteCall&)) {
    return [deps, handle](RouteCall& call) -> Status {
      if (deps.alarms == nullptr) {
        return UnimplementedError(
            "nothing is watched in this server, so there are no alarms: set monitoring.enabled of "
            "a "
            "model, or monitor.logs");
      }
      return handle(deps, call);
    };
  };
  const Route::Parameter id{"id", "path", "integer", "the number"};
  return {
      {"GET",
       "/api/v1/alarms",
       "listAlarms",
       "What is wrong, may be soon, and was within the last day.",
       {{"state", "query", "string", "only pending, firing or resolved ones"},
        {"model", "query", "string", "only of this model"}},
       "",
       {{200, "AlarmList"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
       on(ListAlarms)},
      {"GET",
       "/api/v1/alarms/silences",
       "listSilences",
       "Silences, those that ended within the last day too.",
       {},
       "",
       {{200, "SilenceList"}, {501, "Error"}},
       on(ListSilences)},
      {"POST",
       "/api/v1/alarms/silences",
       "addSilence",
       "Tells nobody of the alarms that match, for a while.",
       {},
       "NewSilence",
       {{201, "NewlyMadeSilence"}, {400, "Error"}, {429, "Error"}, {501, "Error"}},
       on(AddSilence)},
      {"DELETE",
       "/api/v1/alarms/silences/{id}",
       "removeSilence",
       "Ends a silence.",
       {id},
       "",
       {{200, "RemovedSilence"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
       on(RemoveSilence)},
      {"GET",
       "/api/v1/alarms/{id}",
       "getAlarm",
       "One alarm with its evidence.",
       {id},
       "",
       {{200, "Alarm"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
       on(GetAlarm)},
  };
}

}  // namespace leadsman::console
