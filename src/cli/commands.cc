#include "cli/commands.h"

#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/label_file.h"
#include "cli/share.h"

namespace leadsman::cli {
namespace {

constexpr size_t kLabelsPerCall = 1000;
constexpr int kLabelRetries = 30;
constexpr std::chrono::milliseconds kLookAgain{500};  // for a rollout that is to begin
constexpr int kLooksForStart = 60;
constexpr int kLooksForVersion = 1200;

std::string LabelsOf(const Json& model, const std::string& version) {
  std::string out;
  for (const auto& [label, at] : Part(model, "labels").items()) {
    if (at.dump() == version) out += (out.empty() ? "" : ",") + Clean(label);
  }
  return out;
}

void AddModelRows(const Json& model, const Paint& paint, Table& table) {
  const Json& versions = Items(model, "versions");
  std::string note = Text(model, "note");
  for (const Json& version : versions) {
    std::string number = Text(version, "version");
    std::string state = Text(version, "state");
    if (state == "gone") continue;
    Json totals = version.contains("totals") && version["totals"].is_object() ? version["totals"]
                                                                              : Json::object();
    bool accurate = totals.contains("accuracy") && totals["accuracy"].is_number();
    std::string reason = Text(version, "reason");
    table.Add({Text(model, "name"), number, paint.State(state), LabelsOf(model, number),
               state == "observed" ? "-" : Percent(Number(version, "share")),
               Text(totals, "requests"), Text(totals, "errors"),
               Seconds(Number(totals, "latency_p99_seconds")),
               accurate ? Percent(Number(totals, "accuracy")) : "-", Text(version, "execution"),
               reason.empty() ? note : reason});
    note.clear();
  }
  if (versions.empty())
    table.Add({Text(model, "name"), "-", paint.Faint("empty"), "", "", "", "", "", "", "", note});
}

Table ModelTable() {
  return Table({"MODEL", "VERSION", "STATE", "LABELS", "SHARE", "REQUESTS", "ERRORS", "P99",
                "ACCURACY", "RUNS", "NOTE"});
}

/// The candidate's share of the traffic; after a promotion it has it all.
double ShareNow(const Json& rollout) {
  return Text(rollout, "phase") == "promoted" ? 1 : Number(rollout, "share");
}

void AddRolloutRow(const Json& rollout, const Paint& paint, Table& table) {
  table.Add(
      {Text(rollout, "id"), Text(rollout, "model"),
       StrCat(Text(rollout, "stable"), " → ", Text(rollout, "candidate")),
       paint.State(Text(rollout, "phase")),
       StrCat(static_cast<int64_t>(Number(rollout, "step")) + 1, "/", Text(rollout, "step_count")),
       Percent(ShareNow(rollout)), Text(rollout, "started"), Text(rollout, "reason")});
}
Table RolloutTable() {
  return Table({"ID", "MODEL", "VERSIONS", "PHASE", "STEP", "SHARE", "STARTED", "REASON"});
}

/// Nothing when none fires.
void PrintAlarms(ClientContext& c, const Json& status) {
  auto alarms = status.find("alarms");
  if (alarms == status.end() || !alarms->is_object()) return;
  const auto firing = static_cast<int64_t>(Number(*alarms, "firing"));
  if (firing > 0)
    c.env.out << c.paint.Bad(StrCat("alarms: ", firing, " firing")) << ", see `leadsman alarms`\n";
}

/// Nothing when predictions wait in the process itself, or all is well.
void PrintLabelStore(ClientContext& c, const Json& status) {
  auto store = status.find("label_store");
  if (store == status.end() || !store->is_object() || store->value("ready", true)) return;
  const std::string reason = Text(*store, "reason");
  c.env.out << c.paint.Bad("labels: redis away") << " since " << Text(*store, "since")
            << (reason.empty() ? "" : StrCat(": ", reason)) << "; "
            << Text(*store, "predictions_queued") << " predictions wait, "
            << Text(*store, "predictions_lost") << " lost\n";
}

/// What of the configuration is not in force, if anything.
void PrintReload(ClientContext& c, const Json& status) {
  auto reload = status.find("config_reload");
  if (reload == status.end() || !reload->is_object()) return;
  const std::string error = Text(*reload, "error");
  if (!error.empty())
    c.env.out << c.paint.Bad("configuration: the newest was refused")
              << ", the one before is in force: " << error << '\n';
  std::vector<std::string> waiting;
  for (const Json& key : Items(*reload, "needs_restart")) {
    if (key.is_string()) waiting.push_back(Clean(key.get<std::string>()));
  }
  if (!waiting.empty())
    c.env.out << c.paint.Busy("configuration: in force after a restart") << ": "
              << Join(waiting, ", ") << '\n';
}

/// Nothing before the first upgrade in place.
void PrintHotRestart(ClientContext& c, const Json& status) {
  auto state = status.find("hot_restart");
  if (state == status.end() || !state->is_object()) return;
  const auto generation = static_cast<int64_t>(Number(*state, "generation"));
  const auto failed = static_cast<int64_t>(Number(*state, "failed"));
  if (generation == 0 && failed == 0) return;
  c.env.out << "upgraded in place: generation " << generation;
  if (failed > 0) c.env.out << "; " << c.paint.Bad(StrCat(failed, " attempts came to nothing"));
  c.env.out << '\n';
}

/// Nothing where no profiles are taken.
void PrintEdges(ClientContext& c, const Json& status) {
  auto edges = status.find("edges");
  if (edges == status.end() || !edges->is_object()) return;
  const auto quiet = static_cast<int64_t>(Number(*edges, "quiet"));
  const std::string silent = StrCat(quiet, " quiet");
  c.env.out << "edges: " << Text(*edges, "live") << " live, "
            << (quiet > 0 ? c.paint.Bad(silent) : silent) << ", " << Text(*edges, "stopped")
            << " stopped; messages: " << Text(*edges, "messages") << " taken, "
            << Text(*edges, "duplicates") << " twice, " << Text(*edges, "lost") << " lost\n";
}

void PrintEdgeTable(ClientContext& c, const Json& status) {
  auto edges = status.find("edges");
  if (edges == status.end() || !edges->is_object()) return;
  Table table({"EDGE", "STATE", "LAST SEEN", "REQUESTS", "MESSAGES", "TWICE", "LOST"});
  for (const Json& edge : Items(*edges, "edges")) {
    table.Add({Text(edge, "edge"), Text(edge, "state"), Text(edge, "last_seen"),
               Text(edge, "requests"), Text(edge, "messages"), Text(edge, "duplicates"),
               Text(edge, "lost")});
  }
  if (table.empty()) return;
  c.env.out << '\n';
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

uint64_t SumOf(const Json& counts) {
  uint64_t sum = 0;
  for (const auto& [reason, count] : counts.items()) {
    if (count.is_number_unsigned()) sum += count.get<uint64_t>();
  }
  return sum;
}

/// "3 busy, 1 timeout"
std::string ByReason(const Json& counts) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts.items()) {
    if (count.is_number_unsigned() && count.get<uint64_t>() > 0)
      parts.push_back(StrCat(count.get<uint64_t>(), " ", Clean(reason)));
  }
  return Join(parts, ", ");
}

/// Who was right where the two disagreed; nothing before a label has come.
std::string ByLabels(const Json& pair) {
  const Json& labelled = Part(pair, "labelled");
  const double live = Number(labelled, "live_right"), shadow = Number(labelled, "shadow_right");
  if (live + shadow + Number(labelled, "neither_right") == 0) return "";
  const bool worse = shadow < live;
  return StrCat("by labels, where they disagree: live right ", live, ", shadow right ", shadow,
                ", neither ", Number(labelled, "neither_right"), "; evidence that the ",
                worse ? "shadow" : "live version",
                " is worse: e = ", Number(labelled, worse ? "e_shadow_worse" : "e_live_worse"));
}

/// How the answers of mirrors' versions compare with those that clients got, and requests to look up.
void PrintCompared(ClientContext& c, const Json& gateway) {
  Table table({"COMPARED", "LIVE", "SHADOW", "EQUAL", "CLOSE", "DIFFER", "FLIPPED", "LARGEST",
               "SHADOW FAILED", "LIVE FAILED", "BOTH", "NOT READ"});
  std::vector<std::string> examples;
  for (const Json& service : Items(gateway, "services")) {
    auto mirror = service.find("mirror");
    if (mirror == service.end() || !mirror->is_object()) continue;
    for (const Json& pair : Items(*mirror, "compared")) {
      const Json& results = Part(pair, "results");
      const auto unread =
          static_cast<uint64_t>(Number(results, "not_kept") + Number(results, "not_understood"));
      table.Add({Text(service, "name"), Text(pair, "live_version"), Text(pair, "version"),
                 Text(results, "equal"), Text(results, "within_tolerance"),
                 Text(results, "differs"), Text(results, "class_flip"),
                 Text(pair, "largest_difference"), Text(results, "shadow_failed"),
                 Text(results, "live_failed"), Text(results, "both_failed"),
                 std::to_string(unread)});
      if (const std::string labels = ByLabels(pair); !labels.empty())
        examples.push_back(StrCat(Text(service, "name"), ", ", labels));
      for (const auto& [result, ids] : Part(pair, "examples").items()) {
        std::vector<std::string> shown;
        for (const Json& id : ids) {
          if (id.is_string()) shown.push_back(Clean(id.get<std::string>()));
        }
        examples.push_back(StrCat(Text(service, "name"), ", ", Clean(result),
                                  ", the newest requests: ", Join(shown, ", ")));
      }
    }
  }
  if (table.empty()) return;
  c.env.out << '\n';
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  for (const std::string& line : examples) c.env.out << line << '\n';
}

/// Nothing where nothing is mirrored.
void PrintMirrors(ClientContext& c, const Json& gateway) {
  Table table(
      {"MIRROR", "VERSION", "SHARE", "SENT", "ANSWERED", "ERRORS", "UNANSWERED", "UNSENT", "NOTE"});
  for (const Json& service : Items(gateway, "services")) {
    auto mirror = service.find("mirror");
    if (mirror == service.end() || !mirror->is_object()) continue;
    const Json& unsent = Part(*mirror, "unsent");
    const Json& unanswered = Part(*mirror, "unanswered");
    std::vector<std::string> notes;
    for (const Json* counts : {&unsent, &unanswered}) {
      if (std::string note = ByReason(*counts); !note.empty()) notes.push_back(std::move(note));
    }
    table.Add({Text(service, "name"), Text(*mirror, "version"), Percent(Number(*mirror, "share")),
               Text(*mirror, "sent"), Text(*mirror, "answered"), Text(*mirror, "errors"),
               std::to_string(SumOf(unanswered)), std::to_string(SumOf(unsent)),
               Join(notes, ", ")});
  }
  if (table.empty()) return;
  c.env.out << '\n';
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

/// Of a gateway.
void PrintUpstreams(ClientContext& c, const Json& status) {
  auto gateway = status.find("gateway");
  if (gateway == status.end() || !gateway->is_object()) return;
  Table table({"SERVICE", "VERSION", "SHARE", "ENDPOINT", "STATE", "REQUESTS", "FAILED", "NOTE"});
  for (const Json& service : Items(*gateway, "services")) {
    for (const Json& version : Items(service, "versions")) {
      std::string share = StrCat(std::round(Number(version, "share") * 10'000) / 100, "%");
      if (service.value("by_rollout", false)) share += " (rollout)";
      for (const Json& endpoint : Items(version, "endpoints")) {
        table.Add({Text(service, "name"), Text(version, "version"), share,
                   Text(endpoint, "endpoint"), c.paint.State(Text(endpoint, "state")),
                   Text(endpoint, "requests"), Text(endpoint, "failures"),
                   Text(endpoint, "reason")});
      }
    }
  }
  if (!table.empty()) {
    c.env.out << '\n';
    table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  PrintMirrors(c, *gateway);
  PrintCompared(c, *gateway);
  auto decode = gateway->find("decode");
  if (decode == gateway->end() || !decode->is_object()) return;
  c.env.out << "bodies: " << Text(*decode, "decoded") << " requests read, " << Text(*decode, "bare")
            << " not readable, " << Text(*decode, "dropped") << " beyond the queue\n";
  auto features = decode->find("features");
  if (features == decode->end() || !features->is_object()) return;
  for (const auto& [model, names] : features->items()) {
    if (names.is_array() && !names.empty())
      c.env.out << "features of " << model << ": " << names.size() << " by name\n";
  }
}

}  // namespace

int ClientContext::Fail() const {
  env.err << "leadsman: " << api.error() << '\n';
  return api.exit_code();
}
void ClientContext::PrintJson(const Json& value) const {
  env.out << value.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

std::string WhoAsks(const Environment& env) {
  for (const char* name : {"USER", "LOGNAME"}) {
    std::string user = env.getenv(name);
    if (!user.empty()) return user;
  }
  return "leadsman command line";
}

int ShowStatus(ClientContext& c) {
  auto status = c.api.Get("/api/v1/status");
  if (!status) return c.Fail();
  if (c.json) {
    c.PrintJson(*status);
    return kOk;
  }
  bool ready = status->value("ready", false);
  c.env.out << "Leadsman " << Text(*status, "version") << ", "
            << (ready ? c.paint.Good("ready") : c.paint.Busy("not ready")) << ", up "
            << static_cast<int64_t>(Number(*status, "uptime_seconds")) << " s since "
            << Text(*status, "started") << '\n';
  if (status->contains("monitor") && (*status)["monitor"].is_object()) {
    const Json& m = (*status)["monitor"];
    std::string line =
        StrCat("monitor: ", Text(m, "events"), " events, ", Text(m, "events_dropped"),
               " dropped; labels: ", Text(m, "labels_joined"), " joined, ",
               Text(m, "labels_unknown"), " unknown, ", Text(m, "labels_duplicate"), " twice, ",
               Text(m, "labels_late"), " late, ", Text(m, "labels_mismatched"), " mismatched, ",
               Text(m, "labels_rejected"), " rejected, ", Text(m, "labels_pending"), " pending");
    if (c.env.terminal) line = Wrapped(line, static_cast<size_t>(c.env.columns), 9);
    c.env.out << line << '\n';
  }
  PrintEdges(c, *status);
  PrintReload(c, *status);
  PrintHotRestart(c, *status);
  PrintLabelStore(c, *status);
  PrintAlarms(c, *status);
  for (const Json& note : Items(*status, "notes"))
    c.env.out << c.paint.Busy("note: ") << Clean(note.is_string() ? note.get<std::string>() : "")
              << '\n';
  c.env.out << '\n';
  Table models({"MODEL", "STATE", "READY", "NOTE"});
  for (const Json& model : Items(*status, "models")) {
    std::vector<std::string> ready_versions;
    for (const Json& version : Items(model, "versions_ready"))
      ready_versions.push_back(version.dump());
    models.Add({Text(model, "name"), c.paint.State(Text(model, "state")),
                Join(ready_versions, ", "), Text(model, "note")});
  }
  const bool proxies = status->contains("gateway") && (*status)["gateway"].is_object();
  if (models.empty() && !proxies) {
    c.env.out << "no models: none is served here (`leadsman serve --model NAME=PATH` serves one), "
                 "and none was seen in logs or events (`leadsman monitor --log FILE --once` says "
                 "what it finds in a log)\n";
  } else if (!models.empty()) {
    models.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  PrintUpstreams(c, *status);
  PrintEdgeTable(c, *status);
  Table rollouts = RolloutTable();
  for (const Json& rollout : Items(*status, "rollouts")) AddRolloutRow(rollout, c.paint, rollouts);
  if (!rollouts.empty()) {
    c.env.out << '\n';
    rollouts.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  return kOk;
}

int ShowModels(ClientContext& c, const std::string& model) {
  auto answer = c.api.Get(model.empty() ? "/api/v1/models" : "/api/v1/models/" + UrlEncode(model));
  if (!answer) return c.Fail();
  if (c.json) {
    c.PrintJson(*answer);
    return kOk;
  }
  Table table = ModelTable();
  if (model.empty()) {
    for (const Json& one : Items(*answer, "models")) AddModelRows(one, c.paint, table);
  } else {
    AddModelRows(*answer, c.paint, table);
  }
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  return kOk;
}

int SetModelLabel(ClientContext& c, const std::string& model, const std::string& label,
                  int64_t version) {
  auto answer =
      c.api.Call("PUT", StrCat("/api/v1/models/", UrlEncode(model), "/labels/", UrlEncode(label)),
                 Json({{"version", version}}).dump());
  if (!answer) return c.Fail();
  if (c.json) {
    c.PrintJson(*answer);
  } else {
    c.env.out << "label " << Clean(label) << " of " << Clean(model) << " points at version "
              << version << '\n';
  }
  return kOk;
}

int ShowConfig(ClientContext& c) {
  auto answer = c.api.Get("/api/v1/configuration");
  if (!answer) return c.Fail();
  c.PrintJson(*answer);
  return kOk;
}

/// Of one model, the newest first; nothing when the server cannot be asked (`exit_code` then says why).
std::optional<Json> RolloutsOf(ClientContext& c, const std::string& model, int& exit_code) {
  auto list = c.api.Get("/api/v1/rollouts?model=" + UrlEncode(model));
  if (!list) {
    exit_code = c.Fail();
    return std::nullopt;
  }
  return Items(*list, "rollouts");
}

int64_t IdOf(const Json& rollout) { return static_cast<int64_t>(Number(rollout, "id")); }

std::optional<int64_t> ResolveRollout(ClientContext& c, const std::string& id, int& exit_code) {
  if (auto number = ParseInt64(id)) return number;
  auto rollouts = RolloutsOf(c, id, exit_code);
  if (!rollouts) return std::nullopt;
  if (rollouts->empty()) {
    c.env.err << "leadsman: there is no rollout of a model " << Clean(id)
              << "; `leadsman rollout list` shows them all\n";
    exit_code = kNotFound;
    return std::nullopt;
  }
  return IdOf((*rollouts)[0]);
}

/// The model's newest rollout to `version` with a number above `after`, which is waited for; nothing when none begins or
/// the server cannot be asked (`exit_code` then says which).
std::optional<Json> AwaitRollout(ClientContext& c, const std::string& model, int64_t version,
                                 int64_t after, int looks, int& exit_code) {
  for (int look = 1;; ++look) {
    auto rollouts = RolloutsOf(c, model, exit_code);
    if (!rollouts) return std::nullopt;
    for (const Json& rollout : *rollouts) {
      if (static_cast<int64_t>(Number(rollout, "candidate")) == version && IdOf(rollout) > after)
        return rollout;
    }
    if (look >= looks || !c.env.wait(kLookAgain)) return std::nullopt;
  }
}

int ListRollouts(ClientContext& c, const std::string& model) {
  auto list =
      c.api.Get(model.empty() ? "/api/v1/rollouts" : "/api/v1/rollouts?model=" + UrlEncode(model));
  if (!list) return c.Fail();
  if (c.json) {
    c.PrintJson(*list);
    return kOk;
  }
  Table table = RolloutTable();
  for (const Json& rollout : Items(*list, "rollouts")) AddRolloutRow(rollout, c.paint, table);
  if (table.empty()) {
    c.env.out << "no rollouts yet: one begins when a model with a rollout plan has a new version\n";
  } else {
    table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  return kOk;
}

int ShowRollout(ClientContext& c, const std::string& id) {
  int exit_code = kOk;
  auto number = ResolveRollout(c, id, exit_code);
  if (!number) return exit_code;
  auto rollout = c.api.Get(StrCat("/api/v1/rollouts/", *number));
  if (!rollout) return c.Fail();
  if (c.json) {
    c.PrintJson(*rollout);
    return kOk;
  }
  c.env.out << RolloutPicture(*rollout, c.paint, c.env.columns);
  for (const Json& note : Items(*rollout, "plan_notes")) {
    if (note.is_string()) c.env.out << "note: " << Clean(note.get<std::string>()) << '\n';
  }
  return kOk;
}

int ShowRolloutHistory(ClientContext& c, const std::string& id) {
  int exit_code = kOk;
  auto number = ResolveRollout(c, id, exit_code);
  if (!number) return exit_code;
  Json ticks = Json::array();
  for (int64_t offset = 0;;) {
    auto page = c.api.Get(StrCat("/api/v1/rollouts/", *number, "/history?offset=", offset));
    if (!page) return c.Fail();
    for (const Json& tick : Items(*page, "ticks")) ticks.push_back(tick);
    auto next = page->find("next_offset");
    if (next == page->end() || !next->is_number_integer() || next->get<int64_t>() <= offset) break;
    offset = next->get<int64_t>();
  }
  if (c.json) {
    c.PrintJson({{"rollout", *number}, {"ticks", std::move(ticks)}});
    return kOk;
  }
  const bool mirrors = HasCopies(ticks);
  std::vector<std::string> head = {"TIME",  "STEP",      "SHARE",  "STABLE", "ERRORS",
                                   "WRONG", "CANDIDATE", "ERRORS", "WRONG"};
  if (mirrors) head.insert(head.end(), {"COPIES", "FAILED", "DIFFER"});
  head.push_back("EVIDENCE");
  head.push_back("DECISION");
  Table table(head);
  for (const Json& tick : ticks) {
    auto arm = [&](const char* name) { return tick.contains(name) ? tick[name] : Json::object(); };
    Json stable = arm("stable"), candidate = arm("candidate");
    auto wrong = [](const Json& a) { return StrCat(Text(a, "wrong"), "/", Text(a, "labelled")); };
    std::string evidence;
    for (const Json& gate : Items(tick, "gates")) {
      if (gate.contains("outside") && gate["outside"].is_object()) {
        evidence += StrCat(evidence.empty() ? "" : " ", Text(gate, "gate"), " ",
                           gate["outside"].value("passes", false) ? "passes" : "-");
        continue;
      }
      double bound = Number(gate, "harm_log_bound");
      evidence +=
          StrCat(evidence.empty() ? "" : " ", Text(gate, "gate"), " ",
                 bound > 0 ? Percent(std::max(0.0, Number(gate, "harm_log_e") / bound)) : "-");
    }
    std::vector<std::string> row = {Text(tick, "time"),
                                    std::to_string(static_cast<int64_t>(Number(tick, "step")) + 1),
                                    ShareAndMirror(tick),
                                    Text(stable, "requests"),
                                    Text(stable, "errors"),
                                    wrong(stable),
                                    Text(candidate, "requests"),
                                    Text(candidate, "errors"),
                                    wrong(candidate)};
    CopySums copies;
    copies.Add(tick);
    if (mirrors) copies.AppendTo(row);
    row.push_back(evidence);
    row.push_back(Text(tick, "decision"));
    table.Add(row);
  }
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  return kOk;
}

namespace {

std::string WhoBody(const ClientContext& c, Json body = Json::object()) {
  body["who"] = WhoAsks(c.env);
  return body.dump(-1, ' ', true, Json::error_handler_t::replace);
}

/// Says that a rollout of this version has begun, or that it has been asked for.
int AwaitAndSayStarted(ClientContext& c, const std::string& model, int64_t version, int64_t newest,
                       const Json& answer) {
  int exit_code = kOk;
  std::optional<Json> begun = AwaitRollout(c, model, version, newest, kLooksForStart, exit_code);
  if (exit_code != kOk) return exit_code;
  if (c.json) {
    c.PrintJson(begun ? *begun : answer);
  } else if (begun) {
    c.env.out << "rollout " << Text(*begun, "id") << " of " << Clean(model) << " version "
              << version << " has begun; `leadsman rollout watch " << Text(*begun, "id")
              << "` shows it\n";
  } else {
    c.env.out << "the rollout of " << Clean(model) << " version " << version
              << " is asked for and has not begun yet; `leadsman rollout list` shows when\n";
  }
  return kOk;
}

/// Begins a rollout from one that has ended: POST …/`verb`. Of a model, from its newest one that has ended in one of `phases`.
int BeginFrom(ClientContext& c, const std::string& id, const std::string& verb,
              const std::vector<std::string>& phases) {
  int exit_code = kOk;
  std::optional<int64_t> number = ParseInt64(id);
  if (!number) {
    auto rollouts = RolloutsOf(c, id, exit_code);
    if (!rollouts) return exit_code;
    for (const Json& rollout : *rollouts) {
      if (std::ranges::count(phases, Text(rollout, "phase")) == 0) continue;
      if (verb == "undo" && rollout.contains("undo_by") && rollout["undo_by"].is_string()) {
        c.env.err
            << "leadsman: rollout " << IdOf(rollout) << " of " << Clean(id)
            << " is an undo itself: to go back to what it left, name it: `leadsman rollout undo "
            << IdOf(rollout) << "`\n";
        return kFailed;
      }
      number = IdOf(rollout);
      break;
    }
    if (!number) {
      c.env.err << "leadsman: no rollout of " << Clean(id) << " has been "
                << (verb == "undo" ? "promoted" : "rolled back or aborted")
                << "; `leadsman rollout list --model " << Clean(id) << "` shows them\n";
      return kNotFound;
    }
  }
  auto rollout = c.api.Get(StrCat("/api/v1/rollouts/", *number));
  if (!rollout) return c.Fail();
  const std::string model = Text(*rollout, "model");
  auto earlier = RolloutsOf(c, model, exit_code);
  if (!earlier) return exit_code;
  const int64_t newest = earlier->empty() ? 0 : IdOf((*earlier)[0]);
  auto answer = c.api.Call("POST", StrCat("/api/v1/rollouts/", *number, "/", verb), WhoBody(c));
  if (!answer) return c.Fail();
  const auto version = static_cast<int64_t>(Number(*answer, "candidate"));
  return AwaitAndSayStarted(c, model, version, newest, *answer);
}

}  // namespace

int CommandRollout(ClientContext& c, const std::string& id, const std::string& verb, bool full) {
  int exit_code = kOk;
  auto number = ResolveRollout(c, id, exit_code);
  if (!number) return exit_code;
  Json body = Json::object();
  if (full) body["full"] = true;
  if (verb == "promote" && !full) {
    // Asked twice, or late, it leaves no step that was not seen here.
    auto seen = c.api.Get(StrCat("/api/v1/rollouts/", *number));
    if (!seen) return c.Fail();
    body["step"] = static_cast<int64_t>(Number(*seen, "step"));
  }
  auto answer = c.api.Call("POST", StrCat("/api/v1/rollouts/", *number, "/", verb),
                           WhoBody(c, std::move(body)));
  if (!answer) return c.Fail();
  if (c.json) {
    c.PrintJson(*answer);
    return kOk;
  }
  const std::string what = verb == "pause"    ? "will be paused"
                           : verb == "resume" ? "will go on"
                           : verb == "abort"  ? "will be aborted"
                           : full             ? "will be promoted"
                                              : "will leave its step";
  c.env.out << "rollout " << *number << " of " << Text(*answer, "model") << ' ' << what
            << " at its next tick; `leadsman rollout watch " << *number
            << "` shows when it is done\n";
  return kOk;
}

int RetryRollout(ClientContext& c, const std::string& id) {
  return BeginFrom(c, id, "retry", {"rolled_back", "aborted"});
}

int UndoRollout(ClientContext& c, const std::string& id) {
  return BeginFrom(c, id, "undo", {"promoted"});
}

int StartRollout(ClientContext& c, const std::string& model, int64_t version,
                 const std::string& plan) {
  int exit_code = kOk;
  auto earlier = RolloutsOf(c, model, exit_code);
  if (!earlier) return exit_code;
  const int64_t newest = earlier->empty() ? 0 : IdOf((*earlier)[0]);
  Json body = {{"model", model}, {"candidate", version}};
  if (!plan.empty()) body["plan"] = Json::parse(plan);
  auto answer = c.api.Call("POST", "/api/v1/rollouts",
                           body.dump(-1, ' ', true, Json::error_handler_t::replace));
  if (!answer) return c.Fail();
  return AwaitAndSayStarted(c, model, version, newest, *answer);
}

int AddLabels(ClientContext& c, const LabelsOptions& options) {
  std::ifstream file;
  if (!options.file.empty() && options.file != "-") {
    file.open(options.file);
    if (!file) {
      c.env.err << "leadsman: cannot read " << options.file << '\n';
      return kFailed;
    }
  }
  uint64_t accepted = 0, without_label = 0;
  auto send = [&](const std::vector<std::string>& entries) -> int {
    std::string body = StrCat("{\"labels\":[", Join(entries, ","), "]}");
    for (int attempt = 0;; ++attempt) {
      auto answer = c.api.Call("POST", "/api/v1/labels", body);
      if (answer) {
        accepted += static_cast<uint64_t>(Number(*answer, "accepted"));
        return kOk;
      }
      // A full queue empties; what was taken from this batch counts once when it comes again.
      if (c.api.http_status() != 429 || attempt >= kLabelRetries ||
          !c.env.wait(std::chrono::seconds(1)))
        return c.Fail();
    }
  };
  auto finish = [&](int code) {
    if (c.json) {
      c.PrintJson({{"accepted", accepted}, {"without_label", without_label}});
    } else {
      c.env.out << accepted << (accepted == 1 ? " label" : " labels") << " accepted";
      if (without_label > 0)
        c.env.out << "; " << without_label << (without_label == 1 ? " row has" : " rows have")
                  << " no label and count for nothing";
      c.env.out << '\n';
    }
    return code;
  };
  if (options.file.empty()) {
    int code = send({LabelEntry(options.request_id, options.label, options.row)});
    return code == kOk ? finish(kOk) : code;
  }
  bool csv = options.format == "csv" || (options.format.empty() && options.file.ends_with(".csv"));
  LabelReader reader(options.file == "-" ? c.env.in : file,
                     csv ? LabelReader::Format::kCsv : LabelReader::Format::kJsonLines);
  for (;;) {
    std::vector<std::string> entries;
    Status status = reader.Next(kLabelsPerCall, entries);
    without_label = reader.without_label();
    if (!entries.empty()) {
      int code = send(entries);
      if (code != kOk) return finish(code);
    }
    if (!status.ok()) {
      c.env.err << "leadsman: " << options.file << ": " << status.message()
                << "; what stands before it was sent\n";
      return finish(kFailed);
    }
    if (entries.empty()) return finish(kOk);
  }
}

// ---- Rollouts as pictures ----------------------------------------------------------------------------------------

namespace {

/// A gate that asks outside: what it said last.
std::string OutsideLine(const std::string& name, const Json& outside, const Paint& paint) {
  const bool passes = outside.value("passes", false);
  const double failures = Number(outside, "failures");
  const std::string state = passes ? paint.Good("passes")
                            : failures > 0
                                ? paint.Bad(StrCat("fails ", Text(outside, "failures"), " of ",
                                                   Text(outside, "failures_allowed")))
                                : paint.Busy("waits");
  const std::string said = Text(outside, "said");
  return StrCat(name, state, "  ", Text(outside, "kind"), ": ",
                said.empty() ? "no answer yet" : said, "\n");
}

/// Of an A/B test: both rates, and between what their difference lies.
std::string ReadoutLines(const Json& rollout, const Paint& paint) {
  const Json& readout = Part(rollout, "readout");
  std::string lines;
  auto rate = [](const Json& arm) {
    const double exposure = Number(arm, "exposure");
    return StrCat(exposure > 0 ? Percent(Number(arm, "events") / exposure) : "-", " of ",
                  Text(arm, "exposure"));
  };
  auto points = [](double difference) {
    return StrCat(difference < 0 ? "" : "+", std::round(10'000 * difference) / 100);
  };
  auto add = [&](const Json& one) {
    const std::string verdict = Text(one, "verdict"), segment = Text(one, "segment");
    const Json& difference = Part(one, "difference");
    lines += StrCat("readout    ", segment.empty() ? "" : StrCat(segment, " "), Text(one, "metric"),
                    " (", Text(one, "event"), "): stable ", rate(Part(one, "stable")),
                    ", candidate ", rate(Part(one, "candidate")), ", difference ",
                    points(Number(difference, "low")), " to ", points(Number(difference, "high")),
                    " points at ", Percent(Number(readout, "confidence")), ": ",
                    verdict == "better"  ? paint.Good("candidate better")
                    : verdict == "worse" ? paint.Bad("candidate worse")
                                         : std::string("open"),
                    "\n");
  };
  for (const Json& one : Items(readout, "metrics")) add(one);
  for (const Json& one : Items(readout, "segments")) add(one);
  return lines;
}

/// Of a plan that looks at segments: those that are harmed, and those that look most like it.
std::string SegmentLines(const Json& rollout, const Paint& paint) {
  constexpr size_t kShown = 5;
  const Json& segments = Part(rollout, "segments");
  std::vector<const Json*> tests;
  for (const Json& one : Items(segments, "evidence")) tests.push_back(&one);
  auto harmed = [](const Json* one) { return Part(*one, "harmed") == true; };
  std::stable_sort(tests.begin(), tests.end(), [&](const Json* a, const Json* b) {
    if (harmed(a) != harmed(b)) return harmed(a);
    return Number(*a, "harm_log_e") > Number(*b, "harm_log_e");
  });
  std::string lines;
  size_t shown = 0;
  auto counts = [](const Json& arm) {
    return StrCat(Text(arm, "events"), "/", Text(arm, "exposure"));
  };
  for (const Json* one : tests) {
    if (++shown > kShown && !harmed(one)) break;
    lines +=
        StrCat("segment    ", Text(*one, "segment"), " ", Text(*one, "gate"), ": ",
               harmed(one) ? paint.Bad("harmed") : std::string("open"), "  bad: stable ",
               counts(Part(*one, "stable")), ", candidate ", counts(Part(*one, "candidate")), "\n");
  }
  return lines;
}

/// Of a plan that mirrors: how much it does now, and what came of it.
std::string CopiesLine(const Json& rollout, int bar, bool blocks) {
  const Json& copies = Part(rollout, "copies");
  if (!copies.is_object() || copies.empty()) return "";
  const double mirror = Number(rollout, "mirror");
  const Json& labels = Part(copies, "labelled_flips");
  std::string line = StrCat(
      "copies     ", Bar(mirror, bar, blocks), " ", Percent(mirror), " of requests; ",
      Text(copies, "answered"), " answered, candidate failed ", Text(copies, "candidate_failed"),
      ", stable ", Text(copies, "stable_failed"), "; ", Text(copies, "compared"), " compared, ",
      Text(copies, "differing"), " differ, ", Text(copies, "class_flips"), " with another class");
  const double labelled = Number(labels, "candidate_wrong") + Number(labels, "stable_wrong") +
                          Number(labels, "both_wrong");
  if (labelled > 0) {
    line += StrCat("; of those with labels candidate alone wrong ", Text(labels, "candidate_wrong"),
                   ", stable alone ", Text(labels, "stable_wrong"), ", both ",
                   Text(labels, "both_wrong"));
  }
  return line + "\n";
}

}  // namespace

std::string ShareAndMirror(const Json& json, const char* share) {
  const double mirror = Number(json, "mirror");
  return mirror > 0 ? StrCat("mirror ", Percent(mirror)) : Percent(Number(json, share));
}

bool HasCopies(const Json& ticks) {
  return std::any_of(ticks.begin(), ticks.end(),
                     [](const Json& tick) { return !Part(tick, "copies").empty(); });
}

void CopySums::Add(const Json& tick) {
  const Json& copies = Part(tick, "copies");
  answered += Number(copies, "answered");
  failed += Number(copies, "candidate_failed");
  compared += Number(copies, "compared");
  differing += Number(copies, "differing");
}

void CopySums::AppendTo(std::vector<std::string>& row) const {
  auto whole = [](double n) { return std::to_string(static_cast<int64_t>(n)); };
  row.insert(row.end(),
             {whole(answered), whole(failed), StrCat(whole(differing), "/", whole(compared))});
}

std::string RolloutPicture(const Json& rollout, const Paint& paint, int columns) {
  int bar = std::clamp((columns - 60) / 2, 10, 24);
  bool blocks = paint.on();
  std::string out;
  std::string phase = Text(rollout, "phase");
  double share = ShareNow(rollout);
  out +=
      StrCat(paint.Bold(StrCat("rollout ", Text(rollout, "id"), "  ", Text(rollout, "model"), " ",
                               Text(rollout, "stable"), " → ", Text(rollout, "candidate"))),
             "  ", paint.State(phase), "  step ", static_cast<int64_t>(Number(rollout, "step")) + 1,
             " of ", Text(rollout, "step_count"), "\n");
  out += StrCat("traffic    ", Bar(share, bar, blocks), " ", Percent(share), " to version ",
                Text(rollout, "candidate"), "\n");
  out += CopiesLine(rollout, bar, blocks);
  out += ReadoutLines(rollout, paint);
  Json arms = rollout.contains("arms") ? rollout["arms"] : Json::object();
  for (const char* arm : {"stable", "candidate"}) {
    if (!arms.contains(arm)) continue;
    std::string name = arm;
    name.append(11 - name.size(), ' ');
    out += StrCat(name, Text(arms[arm], "requests"), " requests, ", Text(arms[arm], "errors"),
                  " errors\n");
  }
  for (const Json& gate : Items(rollout, "gates")) {
    std::string name = Text(gate, "gate");
    name.append(name.size() < 11 ? 11 - name.size() : 1, ' ');
    if (gate.contains("outside") && gate["outside"].is_object()) {
      out += OutsideLine(name, gate["outside"], paint);
      continue;
    }
    auto share_of = [&](const char* value, const char* bound) {
      double b = Number(gate, bound);
      return b > 0 ? Number(gate, value) / b : 0.0;
    };
    const Json& loss = Part(gate, "loss");
    auto counts = [&](const char* arm) {
      if (!gate.contains(arm)) return std::string();
      if (!loss.is_object())
        return StrCat(Text(gate[arm], "events"), "/", Text(gate[arm], "exposure"));
      const char* mean = arm == std::string_view("stable") ? "stable_mean" : "candidate_mean";
      return StrCat(Part(loss, mean).is_number() ? Rounded(Number(loss, mean)) : "-", " of ",
                    Text(gate[arm], "exposure"));
    };
    double harm = share_of("harm_log_e", "harm_log_bound");
    double safe = share_of("safe_log_e", "safe_log_bound");
    out += StrCat(name, "worse ",
                  harm >= 1 ? paint.Bad(Bar(harm, bar, blocks)) : Bar(harm, bar, blocks), " ",
                  Percent(std::max(0.0, harm)), "  safe ",
                  safe >= 1 ? paint.Good(Bar(safe, bar, blocks)) : Bar(safe, bar, blocks), " ",
                  Percent(std::max(0.0, safe)), "  ",
                  loss.is_object() ? StrCat("mean ", Text(loss, "metric")) : std::string("bad"),
                  ": stable ", counts("stable"), ", candidate ", counts("candidate"), "\n");
  }
  out += SegmentLines(rollout, paint);
  if (const std::string expected = Text(Part(rollout, "expected_end"), "text"); !expected.empty())
    out += StrCat("expected   ", expected, "\n");
  out += StrCat("reason     ", Text(rollout, "reason"), "\n");
  return out;
}

int WatchRollout(ClientContext& c, const std::string& id, const WatchOptions& options) {
  int exit_code = kOk;
  std::optional<int64_t> number;
  if (options.version > 0) {
    auto rollout = AwaitRollout(c, id, options.version, 0, kLooksForVersion, exit_code);
    if (rollout) number = IdOf(*rollout);
    if (!rollout && exit_code == kOk) {
      c.env.err << "leadsman: no rollout of " << Clean(id) << " to version " << options.version
                << " has begun; `leadsman models " << Clean(id) << "` says how the version is\n";
      exit_code = kNotFound;
    }
  } else {
    number = ResolveRollout(c, id, exit_code);
  }
  if (!number) return exit_code;
  std::string path = StrCat("/api/v1/rollouts/", *number);
  std::string shown;
  int drawn_lines = 0;
  int missed = 0;
  for (;;) {
    auto rollout = c.api.Get(path);
    if (!rollout) {
      // A server that restarts goes on where it was; so does the watcher, for a while.
      bool wait = c.api.exit_code() == kUnreachable && !shown.empty() && ++missed < 60;
      if (!wait || !c.env.wait(options.interval)) return c.Fail();
      continue;
    }
    missed = 0;
    std::string phase = Text(*rollout, "phase");
    if (c.json) {
      std::string line = rollout->dump(-1, ' ', false, Json::error_handler_t::replace);
      if (line != shown) c.env.out << line << std::endl;
      shown = line;
    } else if (c.env.terminal) {
      std::string picture = RolloutPicture(*rollout, c.paint, c.env.columns);
      if (drawn_lines > 0) c.env.out << "\x1b[" << drawn_lines << "A\x1b[J";
      c.env.out << picture << std::flush;
      drawn_lines = 0;
      size_t start = 0;
      for (size_t at; (at = picture.find('\n', start)) != std::string::npos; start = at + 1) {
        // A line longer than the terminal takes several.
        auto width = DisplayWidth(std::string_view(picture).substr(start, at - start));
        drawn_lines +=
            1 + static_cast<int>(
                    width == 0 ? 0 : (width - 1) / static_cast<size_t>(std::max(1, c.env.columns)));
      }
      shown = picture;
    } else {
      std::string line = StrCat(
          "rollout ", *number, " ", Text(*rollout, "model"), " ", Text(*rollout, "stable"), " → ",
          Text(*rollout, "candidate"), ": ", phase, ", step ",
          static_cast<int64_t>(Number(*rollout, "step")) + 1, " of ", Text(*rollout, "step_count"),
          ", ", Percent(ShareNow(*rollout)), ": ", Text(*rollout, "reason"));
      if (line != shown) c.env.out << line << std::endl;
      shown = line;
    }
    if (phase == "promoted" || phase == "probation") return kOk;
    if (phase == "rolled_back") return kRolledBack;
    if (phase == "aborted") return kAborted;
    if (phase == "held" && options.until_held) return kHeld;
    if (!c.env.wait(options.interval)) return kFailed;
  }
}

}  // namespace leadsman::cli
