#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

#include "base/schema.h"
#include "base/strings.h"
#include "cli/commands.h"

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
  Table table({"OF", "NAME", "ALARMS", "SMALLEST CHANGE FOUND IN A DAY", "GUARANTEED"});
  for (const Json& stream : model["detectors"]) {
    const auto alarms = stream.value("alarms", uint64_t{0});
    table.Add({stream.value("of", ""), Clean(stream.value("name", "")),
               alarms > 0 ? paint.Bad(std::to_string(alarms)) : "0", ChangeText(stream),
               stream.value("guaranteed", false) ? "yes" : paint.Busy("no")});
  }
  table.Print(out, paint, columns);
}

void PrintNotReplayed(std::ostream& out, const Json& parsed) {
  if (!parsed.contains("not_replayed") || parsed["not_replayed"].empty()) return;
  std::vector<std::string> kinds;
  for (const Json& one : parsed["not_replayed"]) kinds.push_back(one.value("detector", ""));
  out << "only drift was replayed. Not replayed, so nothing is said of them: " << HumanList(kinds)
      << " (--json says why)\n";
}

/// What was quiet for some seconds is no proof.
bool TooShort(const Json& parsed) {
  constexpr double kLeastDays = 1.0 / 24;
  return parsed.value("days_compared", 0.0) < kLeastDays;
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
  bool compared = false;
  for (const Json& model : parsed["models"]) compared = compared || !model["detectors"].empty();
  if (json) {
    env.out << schema::PrettyJson(*report) << '\n';
  } else {
    for (const Json& model : parsed["models"])
      PrintModel(env.out, model, paint, env.terminal ? env.columns : 0);
    const Json& budget = parsed["budget"];
    env.out << '\n'
            << alarms << (alarms == 1 ? " alarm" : " alarms") << " in "
            << Rounded(parsed.value("days_compared", 0.0)) << " days; the budget of "
            << Rounded(budget.value("false_alarms", 0.0)) << " in "
            << Rounded(budget.value("days", 0.0)) << " days allows "
            << Rounded(parsed.value("false_alarms_allowed", 0.0)) << " false ones\n";
    if (const auto left = parsed.value("requests_left_out", uint64_t{0}); left > 0)
      env.out << left << " requests were left out: too many for the memory of a replay\n";
    PrintNotReplayed(env.out, parsed);
    if (compared && TooShort(parsed))
      env.out << paint.Busy("too short to prove anything") << ": an hour is the least, and days "
              << "show what a day's rhythm does; --requests-per-day says how often rows of a table "
              << "come\n";
  }
  if (!compared || TooShort(parsed)) return alarms > 0 ? kNotQuiet : kFailed;
  return alarms > 0 ? kNotQuiet : kOk;
}

}  // namespace leadsman::cli
