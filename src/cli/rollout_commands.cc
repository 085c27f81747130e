#include "cli/rollout_commands.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "cli/json_fields.h"

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
  Table table({"AT", "STEP", "SHARE", "STABLE", "ERRORS", "WRONG", "CANDIDATE", "ERRORS", "WRONG",
               "HARM", "SAFE", "DECISION"});
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
    const std::string decision = Text(tick, "decision");
    if (decision.empty() && (i + 1) % every != 0 && i + 1 != course.size()) continue;
    table.Add({Span(Number(tick, "elapsed_seconds")),
               std::to_string(static_cast<int64_t>(Number(tick, "step")) + 1),
               Percent(Number(tick, "share")), whole(stable.requests), whole(stable.errors),
               wrong(stable), whole(candidate.requests), whole(candidate.errors), wrong(candidate),
               Furthest(tick, "harm_log_e", "harm_log_bound", false),
               Furthest(tick, "safe_log_e", "safe_log_bound", true), decision});
    stable = candidate = {};
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

}  // namespace

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

}  // namespace leadsman::cli
