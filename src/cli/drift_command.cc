#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/version_answer.h"

namespace leadsman::cli {
namespace {

std::string Signed(const Json& number) {
  std::string text = Short(number);
  return number.is_number() && number.get<double>() > 0 ? "+" + text : text;
}

std::string Text(const Json& text) {
  return text.is_string() ? Clean(text.get<std::string>()) : "";
}

/// Of the streams whose names begin with one of `names`: how far along the strongest is, and whether it
/// has raised an alarm.
std::string Evidence(const Json& track, const std::vector<std::string>& names, const Paint& paint) {
  double most = -1;
  bool alarm = false;
  for (const Json& stream : Part(track, "streams")) {
    if (std::find(names.begin(), names.end(), Text(Part(stream, "name"))) == names.end()) continue;
    const Json& evidence = Part(stream, "evidence_log");
    if (evidence.is_number()) most = std::max(most, evidence.get<double>());
    alarm = alarm || Part(stream, "alarm") == true;
  }
  if (alarm) return paint.Bad("alarm");
  if (most < 0) return "-";
  return StrCat(static_cast<int>(std::min(most, 9.99) * 100), "%");
}

const Json& StreamOf(const Json& track, const std::string& name) {
  static const Json none;
  for (const Json& stream : Part(track, "streams")) {
    if (Text(Part(stream, "name")) == name) return stream;
  }
  return none;
}

/// Over the same latest rows as an alarm's words; before there are any, over the window.
void AddNumbers(const Json& track, const char* of, const Paint& paint, Table& table) {
  for (const Json& number : Part(track, "numbers")) {
    const Json& before = Part(number, "reference");
    const Json& psi = Part(Part(number, "distances"), "psi");
    std::string name = Text(Part(number, "name"));
    // A score that no protocol gave, the value of a model that answers classes.
    if (std::string_view(of) != "input" && Part(before, "missing") == 1.0) continue;
    Json now = Part(Part(number, "now"), "mean");
    Json shift = Part(number, "shift");
    const Json& recent = Part(StreamOf(track, name), "now");
    const Json& mean = Part(before, "mean");
    const Json& deviation = Part(before, "standard_deviation");
    if (recent.is_number() && mean.is_number() && deviation.is_number()) {
      now = recent;
      const double sigma = deviation.get<double>();
      if (sigma > 0) shift = (recent.get<double>() - mean.get<double>()) / sigma;
    }
    // A feature that does not come any more: what it was before is not what it is now.
    const Json& without = Part(StreamOf(track, name), "rows_without_it");
    const bool gone = recent.is_null() && without.is_number() && without.get<double>() > 0;
    if (gone) shift = nullptr;
    table.Add({of, name, Short(mean), gone ? "missing" : Short(now), Signed(shift),
               gone ? "-" : Short(Part(psi, "value")), Short(Part(psi, "noise_p99")),
               Evidence(track, {name, name + ".spread"}, paint)});
  }
}

void AddClasses(const Json& track, const Paint& paint, Table& table) {
  for (const Json& one : Part(Part(track, "classes"), "shares")) {
    std::string name = "class " + Text(Part(one, "name"));
    const Json& recent = Part(StreamOf(track, name), "now");
    table.Add({"answer", name, Short(Part(one, "reference")),
               Short(recent.is_number() ? recent : Part(one, "now")), "-", "-", "-",
               Evidence(track, {name}, paint)});
  }
}

void AddStream(const Json& track, const char* of, const std::string& name, const Paint& paint,
               Table& table) {
  for (const Json& stream : Part(track, "streams")) {
    if (Text(Part(stream, "name")) != name) continue;
    table.Add({of, name, Short(Part(stream, "reference")), Short(Part(stream, "now")), "-", "-",
               "-", Evidence(track, {name}, paint)});
  }
}

/// "reference of inputs: 5000 rows, first_requests" or how far it is.
std::string ReferenceLine(const Json& track, const char* what) {
  const Json& reference = Part(track, "reference");
  if (!reference.is_object()) return "";
  if (Text(Part(reference, "state")) == "collecting") {
    return StrCat("  ", what, ": collecting a reference, ", Part(reference, "rows").dump(), " of ",
                  Part(reference, "of").dump(), " rows\n");
  }
  if (Text(Part(reference, "state")) == "failed") {
    return StrCat("  ", what, ": not compared: ", Text(Part(reference, "reason")), "\n");
  }
  std::string line =
      StrCat("  ", what, ": compared with ", Part(reference, "rows").dump(), " rows (",
             Text(Part(reference, "from")), "), in blocks of ",
             Part(reference, "block_rows").dump(), "; ", Part(track, "blocks_seen").dump(),
             Part(track, "blocks_seen") == 1 ? " block seen" : " blocks seen");
  if (Part(track, "unwatched") == true) line += "; no detectors: there are too many";
  uint64_t recent = 0;
  for (const Json& stream : Part(track, "streams")) {
    if (Part(stream, "rows").is_number_unsigned())
      recent = std::max(recent, Part(stream, "rows").get<uint64_t>());
  }
  if (recent > 0) line += StrCat(", NOW is of the last ", recent, " rows");
  if (const Json& next = Part(reference, "next"); next.is_object()) {
    line += StrCat("; the next reference has ", Part(next, "rows").dump(), " of ",
                   Part(next, "of").dump(), " rows");
  }
  return line + '\n';
}

/// Where the reference and the requests do not have the same values.
std::string InputNotes(const std::string& model, const Json& inputs) {
  auto list = [](const Json& names) {
    std::vector<std::string> all;
    for (const Json& name : names) all.push_back(Text(name));
    return HumanList(all);
  };
  std::string notes;
  if (const Json& names = Part(inputs, "never_seen"); !names.empty())
    notes += StrCat("  no request has had: ", list(names), '\n');
  if (const Json& names = Part(inputs, "not_compared"); !names.empty())
    notes += StrCat("  not in the reference, and not compared: ", list(names), '\n');
  if (Part(inputs, "by_places") == true)
    notes +=
        StrCat("  the reference goes by places, and requests name their values now: `leadsman ",
               "drift reset ", Clean(model), "` takes one that goes by names\n");
  if (const Json& wider = Part(inputs, "wider_requests"); wider.is_number())
    notes += StrCat("  requests with more values than are compared: ", wider.dump(), '\n');
  return notes;
}

/// Why the bound on false alarms is not proven, each reason with the streams that it is of.
std::string NotGuaranteedNotes(const Json& version) {
  constexpr size_t kTold = 5;
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const char* of : {"inputs", "answers", "labels"}) {
    for (const Json& stream : Part(Part(version, of), "streams")) {
      const Json& because = Part(stream, "not_guaranteed_because");
      if (!because.is_string()) continue;
      const std::string reason = Text(because);
      auto at = std::find_if(reasons.begin(), reasons.end(),
                             [&](const auto& known) { return known.first == reason; });
      const std::string name = Text(Part(stream, "name"));
      if (at == reasons.end()) {
        reasons.emplace_back(reason, std::vector<std::string>{name});
      } else {
        at->second.push_back(name);
      }
    }
  }
  std::string notes;
  for (size_t i = 0; i < std::min(reasons.size(), kTold); ++i) {
    auto [reason, names] = reasons[i];
    if (names.size() > kTold) {
      const size_t more = names.size() - kTold;
      names.resize(kTold);
      names.push_back(StrCat(more, " more"));
    }
    notes +=
        StrCat("  no bound on false alarms is proven for ", HumanList(names), ": ", reason, '\n');
  }
  if (reasons.size() > kTold)
    notes += StrCat("  nor for others, for ", reasons.size() - kTold, " like reasons (--json)\n");
  return notes;
}

}  // namespace

int ShowDrift(ClientContext& c, const std::string& model, int64_t version) {
  int code = kOk;
  auto answer = AnswerByVersion(c, model, "drift", version, code);
  if (!answer) return code;
  const Json& versions = Part(*answer, "versions");
  if (versions.empty()) {
    c.env.out << Clean(model) << " has served no request yet, its monitoring.drift.enabled is "
              << "false, or edges tell of it, each of which compares its own requests\n";
    return kOk;
  }
  for (const Json& one : versions) {
    c.env.out << Clean(model) << ':' << Part(one, "version").dump() << '\n'
              << ReferenceLine(Part(one, "inputs"), "inputs")
              << InputNotes(model, Part(one, "inputs"))
              << ReferenceLine(Part(one, "answers"), "answers")
              << ReferenceLine(Part(one, "labels"), "labels");
    Table table({"OF", "NAME", "REFERENCE", "NOW", "SHIFT", "PSI", "NOISE", "EVIDENCE"});
    AddNumbers(Part(one, "inputs"), "input", c.paint, table);
    AddStream(Part(one, "inputs"), "input", "missing", c.paint, table);
    AddNumbers(Part(one, "answers"), "answer", c.paint, table);
    AddClasses(Part(one, "answers"), c.paint, table);
    AddStream(Part(one, "labels"), "label", "wrong", c.paint, table);
    if (!table.empty()) table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
    c.env.out << NotGuaranteedNotes(one);
  }
  return kOk;
}

int ResetDrift(ClientContext& c, const std::string& model, int64_t version) {
  return PostByVersion(
      c, model, "drift/reset", version, "references of",
      StrCat("are taken anew; `leadsman drift ", Clean(model), "` shows how far they are"));
}

}  // namespace leadsman::cli
