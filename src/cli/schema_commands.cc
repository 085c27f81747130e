#include "cli/schema_commands.h"

#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/schema.h"
#include "base/strings.h"
#include "cli/json_fields.h"
#include "cli/share.h"
#include "cli/version_answer.h"

namespace leadsman::cli {
namespace {

std::string Text(const Json& value) {
  if (value.is_null()) return "-";
  return Clean(value.is_string() ? value.get<std::string>() : value.dump());
}

int Cannot(Environment& env, std::string_view why) {
  env.err << "leadsman: " << why << '\n';
  return kUsage;
}

bool EndsAsSchema(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

/// "2 5 9", the first ones.
std::string Places(const Json& rows) {
  std::string text;
  for (const Json& row : rows) text += StrCat(text.empty() ? "" : " ", row.dump());
  return text.empty() ? "-" : text;
}

/// "18 to 95", "red, blue", "784 values of 0 to 1"
std::string Allowed(const Json& feature) {
  const Json& min = Part(feature, "min");
  const Json& max = Part(feature, "max");
  std::string text;
  if (min.is_number() || max.is_number()) {
    text = min.is_number() && max.is_number() ? StrCat(Text(min), " to ", Text(max))
           : min.is_number()                  ? StrCat("from ", Text(min))
                                              : StrCat("to ", Text(max));
  }
  std::vector<std::string> categories;
  for (const Json& category : Part(feature, "categories")) categories.push_back(Text(category));
  if (!categories.empty()) text += StrCat(text.empty() ? "" : ", of ", Join(categories, ", "));
  if (text.empty()) text = "any";
  const Json& values = Part(feature, "values");
  if (values == 0) return StrCat("any number of values: ", text);
  return values.is_number() && values != 1 ? StrCat(Text(values), " values: ", text) : text;
}

std::string Share(const Json& share) {
  return share.is_number() && share.get<double>() > 0 ? Percent(share.get<double>()) : "never";
}

void ShowFeatures(ClientContext& c, const Json& schema) {
  Table table({"FEATURE", "TYPE", "MISSING", "NON-FINITE", "ALLOWED"});
  for (const Json& feature : Part(schema, "features")) {
    table.Add({Text(Part(feature, "name")), Text(Part(feature, "type")),
               Share(Part(feature, "missing")), Share(Part(feature, "non_finite")),
               Allowed(feature)});
  }
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

void ShowViolations(ClientContext& c, const Json& version) {
  Table table({"FEATURE", "RULE", "ROWS", "FIRST", "LAST", "EXPECTED"});
  for (const Json& v : Part(version, "violations")) {
    table.Add({Text(Part(v, "feature")), c.paint.Bad(Text(Part(v, "rule"))), Text(Part(v, "count")),
               Text(Part(v, "first")), Text(Part(v, "last")), Text(Part(v, "expected"))});
  }
  if (table.empty()) return;
  c.env.out << '\n';
  table.Print(c.env.out, c.paint, c.env.terminal ? c.env.columns : 0);
}

void ShowVersion(ClientContext& c, const std::string& model, const Json& version) {
  c.env.out << Clean(model) << ':' << Text(Part(version, "version"));
  if (Part(version, "state") == "collecting") {
    const Json& of = Part(version, "of");
    c.env.out << ": a schema is made of the first "
              << (of.is_number() ? StrCat(Text(of), " ") : std::string())
              << "requests with inputs; " << Text(Part(version, "rows")) << " have come\n";
    return;
  }
  if (Part(version, "state") == "unreadable") {
    c.env.out << ": " << c.paint.Bad("held against no schema") << ": "
              << Clean(Text(Part(version, "reason"))) << "; after `leadsman schema relearn "
              << Clean(model) << "` it is read again\n";
    return;
  }
  const Json& inferred = Part(Part(version, "schema"), "inferred");
  c.env.out << ": schema from " << Text(Part(version, "from"));
  if (inferred.is_object()) {
    c.env.out << " (of " << Text(Part(inferred, "rows")) << " rows, " << Text(Part(inferred, "at"))
              << ")";
  }
  const Json& accepted = Part(version, "accepted_share");
  c.env.out << "; " << Text(Part(version, "violating_rows")) << " of "
            << Text(Part(version, "rows")) << " rows break it, "
            << Percent(accepted.is_number() ? accepted.get<double>() : 0) << " are accepted\n";
  ShowFeatures(c, Part(version, "schema"));
  ShowViolations(c, version);
}

}  // namespace

int InferSchema(Environment& env, const AppHooks& hooks, const SchemaInferOptions& options) {
  auto margin = ParseShare(options.margin);
  if (!margin) return Cannot(env, "--margin: must be a share from 0 to 1, as 10% or 0.1");
  if (!options.output.empty() && !EndsAsSchema(options.output))
    return Cannot(env, "-o: the name of a schema must end in .yaml, .yml or .json");
  const bool json = options.json || options.output.ends_with(".json");
  auto schema = hooks.schema_infer(options.file, *margin, json);
  if (!schema.ok()) return Cannot(env, schema.status().message());
  const std::string text = json ? schema::PrettyJson(*schema) + "\n" : *schema;
  if (options.output.empty()) {
    env.out << text;
    return kOk;
  }
  Status written = WriteFileAtomically(options.output, text);
  return written.ok() ? kOk : Cannot(env, written.message());
}

int CheckSchema(Environment& env, const Result<std::string>& report, const Paint& paint,
                bool json) {
  if (!report.ok()) return Cannot(env, report.status().message());
  const Json parsed = Json::parse(*report, nullptr, false);
  const Json& violations = Part(parsed, "violations");
  const int code = violations.empty() ? kOk : kFailed;
  if (json) {
    env.out << schema::PrettyJson(*report) << '\n';
    return code;
  }
  const std::string file = Text(Part(parsed, "file")), schema = Text(Part(parsed, "schema"));
  const std::string rows = Text(Part(parsed, "rows"));
  if (code == kOk) {
    env.out << file << ": " << paint.Good("all keep it") << ": " << rows << " rows, " << schema
            << '\n';
    return code;
  }
  env.out << file << ": " << paint.Bad(StrCat(Text(Part(parsed, "violating_rows")), " of ", rows))
          << " rows break " << schema << '\n';
  const bool lines = Part(parsed, "row_word") == "line";
  Table table({"FEATURE", "RULE", "ROWS", lines ? "FIRST LINES" : "FIRST ROWS", "EXPECTED"});
  for (const Json& v : violations) {
    table.Add({Text(Part(v, "feature")), paint.Bad(Text(Part(v, "rule"))), Text(Part(v, "count")),
               Places(Part(v, "first_rows")), Text(Part(v, "expected"))});
  }
  table.Print(env.out, paint, env.terminal ? env.columns : 0);
  return code;
}

int DiffSchemas(Environment& env, const Result<std::string>& report, const Paint& paint,
                bool json) {
  if (!report.ok()) return Cannot(env, report.status().message());
  const Json parsed = Json::parse(*report, nullptr, false);
  const Json& changes = Part(parsed, "changes");
  const int code = changes.empty() ? kOk : kFailed;
  if (json) {
    env.out << schema::PrettyJson(*report) << '\n';
    return code;
  }
  Table table({"FEATURE", "WHAT", Text(Part(parsed, "before")), Text(Part(parsed, "after"))});
  for (const Json& change : changes) {
    const std::string feature = Text(Part(change, "feature"));
    table.Add({feature.empty() ? "(schema)" : feature, Text(Part(change, "what")),
               Text(Part(change, "before")), Text(Part(change, "after"))});
  }
  if (!table.empty()) table.Print(env.out, paint, env.terminal ? env.columns : 0);
  return code;
}

int ShowSchema(ClientContext& c, const std::string& model, int64_t version) {
  int code = kOk;
  auto answer = AnswerByVersion(c, model, "schema", version, code);
  if (!answer) return code;
  const Json& versions = Part(*answer, "versions");
  if (versions.empty()) {
    c.env.out
        << Clean(model) << " has served no request with inputs of numbers yet, its "
        << "monitoring.schema.enabled is false, or edges tell of it, each of which has its own "
        << "schema\n";
    return kOk;
  }
  for (const Json& one : versions) ShowVersion(c, model, one);
  return kOk;
}

int RelearnSchema(ClientContext& c, const std::string& model, int64_t version) {
  return PostByVersion(
      c, model, "schema/relearn", version, "the schema of",
      StrCat("is taken anew; `leadsman schema show ", Clean(model), "` shows how far it is"));
}

}  // namespace leadsman::cli
