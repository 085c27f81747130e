#include "cli/alarm_commands.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/version_answer.h"

namespace leadsman::cli {
namespace {

std::string Painted(const Json& alarm, const Paint& paint) {
  const std::string state = Text(alarm, "state");
  if (state == "resolved") return paint.Faint(state);
  if (state == "pending") return paint.Busy(state);
  return Text(alarm, "silence").empty() ? paint.Bad(state) : paint.Faint("silenced");
}

/// "digits", "digits 3", "digits 3 age", "(server) events"
std::string Subject(const Json& json) {
  std::string text = Text(json, "model");
  if (text.empty()) text = "(server)";
  for (const char* key : {"version", "of"}) {
    const std::string part = Text(json, key);
    if (!part.empty()) text += " " + part;
  }
  return text;
}

std::string Since(const Json& alarm) {
  const std::string state = Text(alarm, "state");
  return Text(alarm, state == "firing"    ? "fired"
                     : state == "pending" ? "pending_since"
                                          : "resolved");
}

bool Heard(const Json& alarm) {
  return Text(alarm, "state") == "firing" && Text(alarm, "silence").empty();
}

}  // namespace

int ListAlarms(ClientContext& c, const std::string& model, bool check) {
  auto answer =
      c.api.Get(StrCat("/api/v1/alarms", model.empty() ? "" : "?model=", UrlEncode(model)));
  if (!answer) return c.Fail();
  const Json& alarms = Items(*answer, "alarms");
  const int code = check && std::any_of(alarms.begin(), alarms.end(), Heard) ? kFailed : kOk;
  if (c.json) {
    c.PrintJson(*answer);
    return code;
  }
  Table table({"ID", "STATE", "SEVERITY", "KIND", "SUBJECT", "SINCE", "FIRINGS", "SUMMARY"});
  for (const Json& alarm : alarms) {
    table.Add({Text(alarm, "id"), Painted(alarm, c.paint), Text(alarm, "severity"),
               Text(alarm, "kind"), Subject(alarm), Since(alarm), Text(alarm, "firings"),
               Text(alarm, "summary")});
  }
  if (table.empty()) {
    c.env.out << "no alarms; " << Text(*answer, "watched") << " subjects are watched\n";
  } else {
    table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  return code;
}

int ShowAlarm(ClientContext& c, const std::string& id) {
  auto alarm = c.api.Get("/api/v1/alarms/" + UrlEncode(id));
  if (!alarm) return c.Fail();
  if (c.json) {
    c.PrintJson(*alarm);
    return kOk;
  }
  c.env.out << "alarm " << Text(*alarm, "id") << ": " << Text(*alarm, "kind") << " of "
            << Subject(*alarm) << ", " << Painted(*alarm, c.paint) << " since " << Since(*alarm)
            << " (" << Text(*alarm, "severity") << ")\n"
            << Text(*alarm, "summary") << "\n\n";
  Table table({"WHAT", "VALUE"});
  for (const char* key : {"evidence", "threshold", "budget_spent"}) {
    if (const Json& figure = Part(*alarm, key); figure.is_number()) table.Add({key, Short(figure)});
  }
  for (const char* key : {"samples", "reference_samples", "guaranteed", "firings", "pending_since",
                          "fired", "resolved", "silence"}) {
    const std::string value = Text(*alarm, key);
    if (!value.empty()) table.Add({key, value});
  }
  for (const Json& detail : Items(*alarm, "details"))
    table.Add({Text(detail, "name"), Text(detail, "value")});
  table.Print(c.env.out, c.paint, 0);
  return kOk;
}

int AddSilence(ClientContext& c, const SilenceOptions& o) {
  Json body = {{"kind", o.kind},     {"model", o.model},     {"version", o.version}, {"of", o.of},
               {"author", o.author}, {"comment", o.comment}, {"for", o.time}};
  auto silence = c.api.Call("POST", "/api/v1/alarms/silences",
                            body.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!silence) return c.Fail();
  if (c.json) {
    c.PrintJson(*silence);
  } else {
    const std::string matches = Text(*silence, "matches");
    c.env.out << "silence " << Text(*silence, "id") << " until " << Text(*silence, "until")
              << ", which matches " << (matches == "0" ? "no" : matches) << " alarm"
              << (matches == "1" ? "" : "s") << " of now\n";
  }
  if (const std::string warning = Text(*silence, "warning"); !warning.empty())
    c.env.err << "leadsman: the silence is made, but " << warning << '\n';
  return kOk;
}

int ListSilences(ClientContext& c) {
  auto answer = c.api.Get("/api/v1/alarms/silences");
  if (!answer) return c.Fail();
  if (c.json) {
    c.PrintJson(*answer);
    return kOk;
  }
  Table table({"ID", "KIND", "MODEL", "VERSION", "OF", "UNTIL", "AUTHOR", "COMMENT"});
  for (const Json& silence : Items(*answer, "silences")) {
    auto or_any = [&](const char* key) {
      const std::string text = Text(silence, key);
      return text.empty() ? std::string("any") : text;
    };
    table.Add({Text(silence, "id"), or_any("kind"), or_any("model"), or_any("version"),
               or_any("of"), Text(silence, "until"), Text(silence, "author"),
               Text(silence, "comment")});
  }
  if (table.empty()) {
    c.env.out << "no silences\n";
  } else {
    table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
  }
  return kOk;
}

int RemoveSilence(ClientContext& c, const std::string& id) {
  auto answer = c.api.Call("DELETE", "/api/v1/alarms/silences/" + UrlEncode(id), "");
  if (!answer) return c.Fail();
  if (c.json) {
    c.PrintJson(*answer);
  } else {
    c.env.out << "silence " << Clean(id) << " is removed\n";
  }
  return kOk;
}

}  // namespace leadsman::cli
