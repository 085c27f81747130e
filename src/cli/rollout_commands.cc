#include "cli/rollout_commands.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iterator>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/share.h"

namespace leadsman::cli {
namespace {

constexpr size_t kMaxRecordBytes = 256 << 20;
constexpr size_t kCourseRows = 24;  // about so many, with one for each decision

std::string Span(double seconds) {
  if (seconds < 10) return seconds > 0 ? Seconds(seconds) : "0s";
  if (seconds < 120) return StrCat(static_cast<int64_t>(std::ceil(seconds)), " s");
  if (seconds < 7200) return StrCat(static_cast<int64_t>(std::round(seconds / 60)), " min");
  return StrCat(static_cast<int64_t>(std::round(seconds / 3600)), " h");
}

/// Of events that may be rare: "0.5%", "0.013%", "12%".
std::string Rate(double share) {
  char buffer[32];
  const double percent = 100 * share;
  std::snprintf(buffer, sizeof buffer, percent >= 10 ? "%.0f%%" : "%.2g%%", percent);
  return buffer;
}

bool IsFile(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

int Say(ClientContext& c, const Status& status, int code) {
  c.env.err << "leadsman: " << status.message() << '\n';
  return code;
}

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// As the server writes it: a line for each tick.
std::string RecordText(const Json& record) {
  std::string text;
  for (const auto& [key, value] : record.items()) {
    text += StrCat(text.empty() ? "{" : ",\n", Line(key), ": ");
    if (key != "ticks" || !value.is_array()) {
      text += Line(value);
      continue;
    }
    for (size_t i = 0; i < value.size(); ++i)
      text += StrCat(i == 0 ? "[\n" : ",\n", Line(value[i]));
    text += value.empty() ? "[]" : "]";
  }
  return text + "}\n";
}

/// The text of a record of the server; nothing when there is none (`exit_code` then says why).
std::optional<std::string> FetchRecord(ClientContext& c, const std::string& id, int& exit_code) {
  auto number = ResolveRollout(c, id, exit_code);
  if (!number) return std::nullopt;
  auto record = c.api.Get(StrCat("/api/v1/rollouts/", *number, "/record"));
  if (!record) {
    exit_code = c.Fail();
    return std::nullopt;
  }
  return RecordText(*record);
}

Result<std::string> ReadRecordFile(Environment& env, const std::string& path) {
  if (path != "-") return ReadFile(path, kMaxRecordBytes);
  return std::string(std::istreambuf_iterator<char>(env.in), std::istreambuf_iterator<char>());
}

// ---- replay ----

/// How far the loudest gate is towards a bound, as logarithms.
std::string Furthest(const Json& tick, const char* value, const char* bound, bool least) {
  std::string name;
  double furthest = 0;
  for (const Json& gate : Items(tick, "gates")) {
    const double b = Number(gate, bound);
    const double share = b > 0 ? Number(gate, value) / b : 0;
    if (!name.empty() && (least ? share >= furthest : share <= furthest)) continue;
    name = Text(gate, "gate");
    furthest = share;
  }
  return StrCat(name, " ", Percent(std::max(0.0, furthest)));
}

/// The course as a table: ticks are added up between the rows.
void PrintCourse(ClientContext& c, const Json& course) {
  const size_t every = std::max<size_t>(1, (course.size() + kCourseRows - 1) / kCourseRows);
  const bool mirrors = HasCopies(course);
  std::vector<std::string> head = {"AT",    "STEP",      "SHARE",  "STABLE", "ERRORS",
                                   "WRONG", "CANDIDATE", "ERRORS", "WRONG"};
  if (mirrors) head.insert(head.end(), {"COPIES", "FAILED", "DIFFER"});
  head.insert(head.end(), {"HARM", "SAFE", "DECISION"});
  Table table(head);
  CopySums copies;
  struct Sums {
    double requests = 0, errors = 0, labelled = 0, wrong = 0;
    void Add(const Json& arm) {
      requests += Number(arm, "requests");
      errors += Number(arm, "errors");
      labelled += Number(arm, "labelled");
      wrong += Number(arm, "wrong");
    }
  } stable, candidate;
  auto whole = [](double n) { return std::to_string(static_cast<int64_t>(n)); };
  auto wrong = [&](const Sums& s) { return StrCat(whole(s.wrong), "/", whole(s.labelled)); };
  for (size_t i = 0; i < course.size(); ++i) {
    const Json& tick = course[i];
    stable.Add(Part(tick, "stable"));
    candidate.Add(Part(tick, "candidate"));
    copies.Add(tick);
    const std::string decision = Text(tick, "decision");
    if (decision.empty() && (i + 1) % every != 0 && i + 1 != course.size()) continue;
    std::vector<std::string> row = {Span(Number(tick, "elapsed_seconds")),
                                    std::to_string(static_cast<int64_t>(Number(tick, "step")) + 1),
                                    ShareAndMirror(tick),
                                    whole(stable.requests),
                                    whole(stable.errors),
                                    wrong(stable),
                                    whole(candidate.requests),
                                    whole(candidate.errors),
                                    wrong(candidate)};
    if (mirrors) copies.AppendTo(row);
    row.insert(row.end(), {Furthest(tick, "harm_log_e", "harm_log_bound", false),
                           Furthest(tick, "safe_log_e", "safe_log_bound", true), decision});
    table.Add(row);
    stable = candidate = {};
    copies = {};
  }
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

int PrintReplay(ClientContext& c, const Json& report) {
  const Json &recorded = Part(report, "recorded"), &computed = Part(report, "computed");
  const Json& what_if = Part(report, "what_if");
  c.env.out << c.paint.Bold(StrCat("rollout ", Text(report, "rollout"), "  ", Text(report, "model"),
                                   " ", Text(report, "stable"), " → ", Text(report, "candidate")))
            << "  " << c.paint.State(Text(recorded, "phase")) << "  recorded by leadsman "
            << Text(recorded, "program") << '\n';
  PrintCourse(c, Items(report, "course"));
  c.env.out << "recorded   " << Text(recorded, "reason") << '\n';
  if (!what_if.empty()) {
    c.env.out << "what if    alpha " << Text(what_if, "alpha") << ", beta " << Text(what_if, "beta")
              << ": " << Text(computed, "phase") << ": " << Text(computed, "reason") << '\n';
    return kOk;
  }
  if (report.value("agrees", false)) {
    c.env.out << c.paint.Good("replayed   to the same verdict, tick by tick") << '\n';
    return kOk;
  }
  c.env.out << c.paint.Bad("replayed   otherwise: ") << Text(report, "difference") << '\n';
  if (Text(recorded, "engine") != Text(computed, "engine")) {
    c.env.out << "           the record was made by engine " << Text(recorded, "engine")
              << " (leadsman " << Text(recorded, "program") << "), this is engine "
              << Text(computed, "engine") << " (leadsman " << Text(computed, "program")
              << "): replay it by that version\n";
  }
  c.env.out << "computed   " << Text(computed, "phase") << ": " << Text(computed, "reason") << '\n';
  return kDiffers;
}

// ---- plan ----

/// "0.5%" or "0.005" into a member; false when it is neither.
bool TakeShare(ClientContext& c, const char* flag, const std::string& text, Json& traffic,
               const char* key) {
  if (text.empty()) return true;
  const auto share = ParseShare(text);
  if (!share) {
    c.env.err << "leadsman: " << flag << ": must be a share from 0 to 100%, as 0.5%, not "
              << Clean(text) << '\n';
    return false;
  }
  traffic[key] = *share;
  return true;
}

/// What is asked, from the flags and where these leave something open from the server; nothing when it cannot be
/// (`exit_code` then says why).
std::optional<Json> Question(ClientContext& c, const AppHooks& hooks, const PlanOptions& options,
                             int& exit_code) {
  Json question = Json::object();
  Json traffic = Json::object();
  const bool from_file = !options.config.empty() || !options.plan.empty();
  if (from_file) {
    Result<std::string> plan = options.plan.empty()
                                   ? hooks.plan_of_config(options.config, options.model)
                                   : hooks.plan_of_file(options.plan);
    if (!plan.ok()) {
      exit_code = Say(c, plan.status(), kUsage);
      return std::nullopt;
    }
    question["plan"] = Json::parse(*plan);
  }
  const bool alone = !options.record.empty() || options.requests_per_second.has_value();
  if (!options.model.empty() && (!from_file || !alone)) {
    auto standing = c.api.Get("/api/v1/models/" + UrlEncode(options.model) + "/rollout");
    if (!standing) {
      exit_code = c.Fail();
      return std::nullopt;
    }
    if (!from_file) question["plan"] = Part(*standing, "plan");
    if (question["plan"].is_null()) {
      c.env.err << "leadsman: " << Clean(options.model)
                << " has no rollout plan: give one by --plan FILE\n";
      exit_code = kUsage;
      return std::nullopt;
    }
    if (options.record.empty() && Part(*standing, "traffic").is_object())
      traffic = (*standing)["traffic"];
  } else if (!alone) {
    c.env.err << "leadsman: nothing says what the traffic is: name a MODEL of the server, or give "
                 "--requests-per-second N with --error-rate, or --record FILE\n";
    exit_code = kUsage;
    return std::nullopt;
  }
  if (!options.record.empty()) {
    Result<std::string> record = ReadRecordFile(c.env, options.record);
    if (!record.ok()) {
      exit_code = Say(c, record.status(), kFailed);
      return std::nullopt;
    }
    question["record"] = std::move(*record);
  }
  if (options.requests_per_second) {
    traffic["requests_per_second"] = *options.requests_per_second;
    traffic.erase("arrivals");
  }
  if (!TakeShare(c, "--error-rate", options.error_rate, traffic, "error_rate") ||
      !TakeShare(c, "--label-share", options.label_share, traffic, "label_share") ||
      !TakeShare(c, "--wrong-rate", options.wrong_rate, traffic, "wrong_rate")) {
    exit_code = kUsage;
    return std::nullopt;
  }
  for (const auto& [key, value] :
       {std::pair("mean", options.mean_loss), std::pair("spread", options.loss_spread)}) {
    if (!value) continue;
    if (!Part(traffic, "losses").is_object()) traffic["losses"] = Json::object();
    traffic["losses"][key] = *value;
    traffic["losses"].erase("metric");  // it is the plan's that is meant
  }
  if (!traffic.empty()) question["traffic"] = std::move(traffic);
  question["runs"] = options.runs;
  question["worse"] = options.worse;
  question["seed"] = options.seed;
  return question;
}

/// A time, or that it does not come.
std::string Expected(const Json& json, const char* key) {
  return Part(json, key).is_number() ? Span(Number(json, key)) : "never";
}

/// "1.5% (3.0x)": the least rate that is found, and how many times the stable's that is. Of mean losses "4.1 (1.3x)".
std::string Harm(const Json& gate, const char* key) {
  if (!Part(gate, key).is_number()) return "none";
  const double rate = Number(gate, key), stable = Number(gate, "stable_rate");
  std::string text = Part(gate, "metric").is_string() ? Rounded(rate) : Rate(rate);
  if (stable <= 0) return text;
  return StrCat(text, " (", Rounded(rate / stable), "x)");
}

/// Of a gate in a step: older servers do not say.
bool CountsHere(const Json& gate) { return !gate.contains("counts") || gate["counts"] == true; }

/// "errors 0.75%, latency 0.25%"; older servers do not say it.
std::string AlphaParts(const Json& forecast) {
  const Json& steps = Items(forecast, "steps");
  std::vector<std::string> parts;
  if (steps.empty()) return "";
  for (const Json& gate : Items(steps[0], "gates")) {
    if (gate.contains("alpha"))
      parts.push_back(StrCat(Text(gate, "gate"), " ", Rate(Number(gate, "alpha"))));
  }
  return Join(parts, ", ");
}

void PrintPlan(ClientContext& c, const Json& answer) {
  const Json& traffic = Part(answer, "traffic");
  const Json& forecast = Part(answer, "forecast");
  c.env.out << "traffic    " << Rounded(Number(traffic, "requests_per_second"))
            << " requests/s, errors " << Rate(Number(traffic, "error_rate")) << ", labels for "
            << Rate(Number(traffic, "label_share"));
  if (Number(traffic, "label_share") > 0)
    c.env.out << ", wrong " << Rate(Number(traffic, "wrong_rate"));
  if (const Json& losses = Part(traffic, "losses"); losses.is_object()) {
    c.env.out << ", mean loss " << Rounded(Number(losses, "mean")) << " (spread "
              << Rounded(Number(losses, "spread")) << ")";
  }
  c.env.out << '\n';
  Table table({"STEP", "SHARE", "REQUESTS/S", "AT LEAST", "EXPECTED", "GATE", "NEEDED", "TAKES",
               "FOUND IN THE STEP", "FOUND IN TIME"});
  size_t number = 0;
  for (const Json& step : Items(forecast, "steps")) {
    std::vector<std::string> row = {std::to_string(++number), ShareAndMirror(step, "weight"),
                                    Rounded(Number(step, "candidate_requests_per_second")),
                                    Text(step, "minimum_requests"), Expected(step, "seconds")};
    const Json& gates = Items(step, "gates");
    const bool counts =
        std::any_of(gates.begin(), gates.end(), [](const Json& gate) { return CountsHere(gate); });
    if (!counts) {
      row.insert(row.end(), {"none counts", "-", "-", "-", "-"});
      table.Add(row);
      continue;
    }
    for (const Json& gate : gates) {
      if (!CountsHere(gate)) continue;
      const std::string needed = Text(gate, "candidate_exposures_needed");
      row.resize(5);
      row.insert(row.end(),
                 {Text(gate, "gate"), needed.empty() ? "-" : needed.substr(0, needed.find('.')),
                  Expected(gate, "seconds"), Harm(gate, "smallest_harm_in_step"),
                  Harm(gate, "smallest_harm_in_time")});
      table.Add(row);
      row.assign(5, "");
    }
  }
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  const std::string alphas = AlphaParts(forecast);
  if (!alphas.empty())
    c.env.out << "alpha      " << Rate(Number(answer, "alpha")) << ", of which " << alphas << '\n';
  c.env.out << "promotion  "
            << (Part(forecast, "seconds").is_number() ? "of an equal candidate after about " : "")
            << Expected(forecast, "seconds") << "; without a verdict it ends after "
            << Span(Number(answer, "max_duration_seconds")) << '\n';
  for (const Json& left : Items(forecast, "left_out")) {
    if (left.is_string()) c.env.out << "left out   " << Clean(left.get<std::string>()) << '\n';
  }
  for (const Json& warning : Items(forecast, "warnings")) {
    if (warning.is_string())
      c.env.out << c.paint.Bad("warning    ") << Clean(warning.get<std::string>()) << '\n';
  }
  if (!Part(answer, "played").is_array()) return;
  c.env.out << '\n';
  Table played(
      {"CANDIDATE", "PROMOTED", "ROLLED BACK", "NO VERDICT", "MEDIAN", "90%", "REQUESTS TO IT"});
  for (const Json& run : Items(answer, "played")) {
    const double runs = std::max(1.0, Number(run, "runs"));
    auto share = [&](const char* key) { return Percent(Number(run, key) / runs); };
    played.Add({Text(run, "candidate"), share("promoted"), share("rolled_back"),
                share("inconclusive"), Span(Number(run, "seconds_median")),
                Span(Number(run, "seconds_p90")), Text(run, "candidate_requests_median")});
  }
  played.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

}  // namespace

int BeginRollout(ClientContext& c, const AppHooks& hooks, const std::string& model, int64_t version,
                 const std::string& plan_file) {
  if (plan_file.empty()) return StartRollout(c, model, version, "");
  Result<std::string> plan = hooks.plan_of_file(plan_file);
  if (!plan.ok()) return Say(c, plan.status(), kUsage);
  return StartRollout(c, model, version, *plan);
}

int PrintRecord(ClientContext& c, const std::string& id) {
  int exit_code = kOk;
  auto record = FetchRecord(c, id, exit_code);
  if (record) c.env.out << *record;
  return exit_code;
}

int ReplayRollout(ClientContext& c, const AppHooks& hooks, const ReplayOptions& options) {
  std::string text;
  // A number is a rollout, and what is there as a file is one.
  if (options.what == "-" || (!ParseInt64(options.what) && IsFile(options.what))) {
    Result<std::string> file = ReadRecordFile(c.env, options.what);
    if (!file.ok()) return Say(c, file.status(), kFailed);
    text = std::move(*file);
  } else {
    int exit_code = kOk;
    auto record = FetchRecord(c, options.what, exit_code);
    if (!record) return exit_code;
    text = std::move(*record);
  }
  Result<std::string> report = hooks.replay_rollout(text, options.alpha, options.beta);
  if (!report.ok()) return Say(c, Annotate(report.status(), Clean(options.what)), kFailed);
  const Json json = Json::parse(*report);
  if (!c.json) return PrintReplay(c, json);
  c.PrintJson(json);
  return json.value("agrees", Json(nullptr)) == false ? kDiffers : kOk;
}

int PlanRollout(ClientContext& c, const AppHooks& hooks, const PlanOptions& options) {
  int exit_code = kOk;
  std::optional<Json> question = Question(c, hooks, options, exit_code);
  if (!question) return exit_code;
  Result<std::string> answer =
      hooks.forecast_rollout(question->dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!answer.ok()) return Say(c, answer.status(), kFailed);
  const Json json = Json::parse(*answer);
  if (c.json) {
    c.PrintJson(json);
  } else {
    PrintPlan(c, json);
  }
  return kOk;
}

}  // namespace leadsman::cli
