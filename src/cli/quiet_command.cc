#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/schema.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/json_fields.h"

namespace leadsman::cli {
namespace {

std::string Rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

/// As people write it: no powers of ten.
std::string CountText(double value) {
  if (value < 100) return Rounded(value);
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

/// "0.1 σ", "by 10 %", "2 points".
std::string ChangeText(const Json& stream) {
  const Json& change = stream["smallest_change_found_in_a_day"];
  if (change.is_null()) return "none of those tried";
  const auto value = change.get<double>();
  const std::string unit = stream.value("unit", "");
  if (unit == "spread") return StrCat("by ", Rounded(value * 100), " %");
  if (unit == "points") return StrCat(Rounded(value * 100), " points");
  return StrCat(Rounded(value), " ", unit);
}

/// "45 s", "12 min", "3 h 20 min"
std::string Span(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 120) return StrCat(whole, " s");
  if (whole < 7200) return StrCat(whole / 60, " min");
  const int64_t minutes = whole % 3600 / 60;
  return minutes == 0 ? StrCat(whole / 3600, " h") : StrCat(whole / 3600, " h ", minutes, " min");
}

/// "13 (0.3 to 74)": alarms in a quarter, and what that lies between.
std::string RateText(const Json& rate) {
  if (!rate.is_object()) return "-";
  return StrCat(CountText(rate.value("estimate", 0.0)), " (", CountText(rate.value("low", 0.0)),
                " to ", CountText(rate.value("high", 0.0)), ")");
}

std::string AlarmsText(const Json& detector, const Paint& paint) {
  const auto alarms = detector.value("alarms", uint64_t{0});
  return alarms > 0 ? paint.Bad(std::to_string(alarms)) : "0";
}

std::string GuaranteedText(const Json& detector, const Paint& paint) {
  return detector.value("guaranteed", false) ? "yes" : paint.Busy("no");
}

/// "error_burn of credit:3", "quality (recall of fraud) of credit".
std::string WatchName(const Json& watch) {
  std::string name = watch.value("detector", "");
  if (const std::string of = watch.value("of", ""); !of.empty())
    name += StrCat(" (", Clean(of), ")");
  const std::string model = watch.value("model", "");
  if (!model.empty()) name += StrCat(" of ", Clean(model));
  if (const auto version = watch.value("version", int64_t{0}); version != 0)
    name += StrCat(":", version);
  return name;
}

/// What the change is of, and which way.
std::string WatchChangeWord(const std::string& detector) {
  if (detector == "error_burn") return " more errors";
  if (detector == "latency_burn") return " more slow answers";
  if (detector == "schema_violation") return " more rows that break it";
  return " less";
}

/// "0.9 points more errors (0.1 % → 1 %)", "a stop, after 4 min (9 min at the longest)".
std::string WatchChangeText(const Json& watch) {
  const Json& change = Part(watch, "smallest_change_found_in_a_day");
  const Json& none = Part(watch, "none_because");
  const std::string because = none.is_string() ? Clean(none.get<std::string>()) : "";
  if (!change.is_number()) return because.empty() ? "none" : StrCat("none: ", because);
  const auto value = change.get<double>();
  const std::string unit = watch.value("unit", "");
  if (unit == "seconds") {
    const Json& longest = Part(watch, "longest");
    std::string text = StrCat("a stop, after ", Span(value));
    if (longest.is_number()) text += StrCat(" (", Span(longest.get<double>()), " at the longest)");
    return because.empty() ? text : StrCat(text, "; ", because);
  }
  const Json& usual = Part(watch, "usual");
  const Json& found = Part(watch, "found");
  const bool known = usual.is_number() && found.is_number();
  if (unit != "points") {
    if (!known) return Rounded(value);
    return StrCat(Rounded(value), " more error (", Rounded(usual.get<double>()), " → ",
                  Rounded(found.get<double>()), ")");
  }
  std::string text =
      StrCat(Rounded(value * 100), " points", WatchChangeWord(watch.value("detector", "")));
  if (known) {
    text += StrCat(" (", Rounded(usual.get<double>() * 100), " % → ",
                   Rounded(found.get<double>() * 100), " %)");
  }
  return text;
}

void PrintWatches(std::ostream& out, const Json& parsed, const Paint& paint, int columns) {
  const Json& watches = Part(parsed, "watches");
  if (watches.empty()) return;
  const double looks = parsed.value("seconds_between_looks", 0.0);
  out << '\n'
      << paint.Bold("errors, latency, labels, traffic, schema") << ": "
      << Rounded(parsed.value("days_replayed", 0.0)) << " days, a look every " << Rounded(looks)
      << " s\n";
  Table table(
      {"DETECTOR", "ALARMS", "PER 90 DAYS", "GUARANTEED", "SMALLEST CHANGE FOUND IN A DAY"});
  for (const Json& watch : watches) {
    table.Add({WatchName(watch), AlarmsText(watch, paint),
               RateText(Part(watch, "alarms_per_90_days")), GuaranteedText(watch, paint),
               WatchChangeText(watch)});
  }
  table.Print(out, paint, columns);
}

/// One line for each time that something fired, as far as they are told.
void PrintFirings(std::ostream& out, const Json& parsed) {
  std::vector<std::pair<std::string, std::string>> lines;
  auto add = [&](const Json& detector, const std::string& name) {
    for (const Json& firing : Part(detector, "fired")) {
      std::string line = name;
      const Json& seconds = Part(firing, "seconds");
      if (seconds.is_number()) {
        line += StrCat(", ", firing.value("severity", ""), ", for ", Span(seconds.get<double>()),
                       firing.value("ended", true) ? "" : " up to the end", ": ",
                       Clean(firing.value("summary", "")));
      }
      lines.emplace_back(firing.value("at", ""), std::move(line));
    }
  };
  for (const Json& model : Part(parsed, "models")) {
    for (const Json& stream : Part(model, "detectors")) {
      const std::string of =
          StrCat(stream.value("detector", stream.value("of", "")), " of ",
                 Clean(model.value("model", "")), ":", model.value("version", int64_t{0}), ", ");
      add(stream, of + Clean(stream.value("name", "")));
    }
  }
  for (const Json& watch : Part(parsed, "watches")) add(watch, WatchName(watch));
  if (lines.empty()) return;
  std::sort(lines.begin(), lines.end());
  out << "\nwould have fired (of each the first ten are told)\n";
  for (const auto& [at, line] : lines) out << "  " << at << "  " << line << '\n';
}

/// The reasons, each with those that it is of.
void PrintReasons(std::ostream& out, const char* head,
                  const std::map<std::string, std::vector<std::string>>& reasons) {
  if (reasons.empty()) return;
  out << '\n' << head << '\n';
  for (const auto& [reason, of] : reasons) {
    constexpr size_t kTold = 6;
    std::vector<std::string> told = of;
    if (of.size() > kTold) {
      told.resize(kTold);
      told.push_back(StrCat(of.size() - kTold, " more"));
    }
    out << "  " << HumanList(told) << ": " << reason << '\n';
  }
}

void PrintNotGuaranteed(std::ostream& out, const Json& parsed) {
  std::map<std::string, std::vector<std::string>> reasons;
  auto add = [&](const Json& detector, const std::string& name) {
    const Json& because = Part(detector, "not_guaranteed_because");
    if (because.is_string()) reasons[Clean(because.get<std::string>())].push_back(name);
  };
  for (const Json& model : Part(parsed, "models")) {
    for (const Json& stream : Part(model, "detectors"))
      add(stream, StrCat(stream.value("of", ""), " ", Clean(stream.value("name", ""))));
  }
  for (const Json& watch : Part(parsed, "watches")) add(watch, WatchName(watch));
  PrintReasons(out, "no bound on false alarms is proven for", reasons);
}

void PrintModel(std::ostream& out, const Json& model, const Paint& paint, int columns) {
  const auto version = model.value("version", int64_t{0});
  out << '\n' << paint.Bold(Clean(model.value("model", "")));
  if (version != 0) out << ':' << version;
  out << ": " << model.value("requests", uint64_t{0}) << " requests, "
      << CountText(model.value("requests_per_day", 0.0)) << " a day; ";
  const Json& reference = model["reference"];
  const auto rows = reference.value("rows", uint64_t{0}), of = reference.value("of", uint64_t{0});
  if (model["detectors"].empty()) {
    out << (of > 0 ? StrCat("too few for a reference: ", rows, " of ", of,
                            "; --reference-requests takes fewer")
                   : "no input or answer to compare")
        << '\n';
    return;
  }
  out << rows << " are the reference, " << model.value("blocks", uint64_t{0}) << " blocks of "
      << Rounded(model.value("days_compared", 0.0)) << " days are compared\n";
  Table table(
      {"OF", "NAME", "ALARMS", "SMALLEST CHANGE FOUND IN A DAY", "PER 90 DAYS", "GUARANTEED"});
  for (const Json& stream : model["detectors"]) {
    table.Add({stream.value("of", ""), Clean(stream.value("name", "")), AlarmsText(stream, paint),
               ChangeText(stream), RateText(Part(stream, "alarms_per_90_days")),
               GuaranteedText(stream, paint)});
  }
  table.Print(out, paint, columns);
}

void PrintNotReplayed(std::ostream& out, const Json& parsed) {
  std::map<std::string, std::vector<std::string>> reasons;
  for (const Json& one : Part(parsed, "not_replayed"))
    reasons[Clean(one.value("why", ""))].push_back(WatchName(one));
  PrintReasons(out, "not replayed, so that nothing is said of them", reasons);
}

/// What was quiet for some seconds is no proof.
bool TooShort(const Json& parsed) {
  constexpr double kLeastDays = 1.0 / 24;
  return std::max(parsed.value("days_compared", 0.0), parsed.value("days_replayed", 0.0)) <
         kLeastDays;
}

}  // namespace

int ShowQuiet(Environment& env, const Result<std::string>& report, const Paint& paint, bool json) {
  if (!report.ok()) {
    env.err << "leadsman: " << report.status().message() << '\n';
    if (report.status().code() == StatusCode::kNotFound) return kNotFound;
    return report.status().code() == StatusCode::kInvalidArgument ? kUsage : kFailed;
  }
  const Json parsed = Json::parse(*report, nullptr, false);
  if (parsed.is_discarded()) return kFailed;
  const auto alarms = parsed.value("alarms", uint64_t{0});
  bool compared = !Part(parsed, "watches").empty();
  for (const Json& model : parsed["models"]) compared = compared || !model["detectors"].empty();
  if (json) {
    env.out << schema::PrettyJson(*report) << '\n';
  } else {
    for (const Json& model : parsed["models"])
      PrintModel(env.out, model, paint, env.terminal ? env.columns : 0);
    PrintWatches(env.out, parsed, paint, env.terminal ? env.columns : 0);
    PrintFirings(env.out, parsed);
    PrintNotReplayed(env.out, parsed);
    PrintNotGuaranteed(env.out, parsed);
    const Json& budget = parsed["budget"];
    const auto of_budget = parsed.value("alarms_of_budget", alarms);
    env.out << '\n'
            << alarms << (alarms == 1 ? " alarm" : " alarms") << ", of drift and risk " << of_budget
            << " in " << Rounded(parsed.value("days_compared", 0.0)) << " days; the budget of "
            << Rounded(budget.value("false_alarms", 0.0)) << " in "
            << Rounded(budget.value("days", 0.0)) << " days allows "
            << Rounded(parsed.value("false_alarms_allowed", 0.0)) << " false ones of these\n";
    if (const auto left = parsed.value("requests_left_out", uint64_t{0}); left > 0)
      env.out << left << " requests were left out: too many for the memory of a replay\n";
    if (compared && TooShort(parsed))
      env.out << paint.Busy("too short to prove anything") << ": an hour is the least, and days "
              << "show what a day's rhythm does; --requests-per-day says how often rows of a table "
              << "come\n";
  }
  if (!compared || TooShort(parsed)) return alarms > 0 ? kNotQuiet : kFailed;
  return alarms > 0 ? kNotQuiet : kOk;
}

}  // namespace leadsman::cli
