#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/schema.h"
#include "base/strings.h"
#include "cli/commands.h"

namespace leadsman::cli {
namespace {

std::string Number(const Json& from, const char* key) {
  return std::to_string(from.value(key, uint64_t{0}));
}

/// "virginica 12, setosa 3": the most frequent ones.
std::string Classes(const Json& model) {
  constexpr size_t kShown = 3;
  std::vector<std::pair<uint64_t, std::string>> classes;
  if (model.contains("predicted"))
    for (const auto& [name, count] : model["predicted"].items())
      classes.emplace_back(count.get<uint64_t>(), name);
  std::sort(classes.begin(), classes.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string text;
  for (size_t i = 0; i < classes.size() && i < kShown; ++i)
    text += StrCat(i > 0 ? ", " : "", Clean(classes[i].second), " ", classes[i].first);
  if (classes.size() > kShown) text += StrCat(", ", classes.size() - kShown, " more");
  return text.empty() ? "-" : text;
}

void PrintModels(std::ostream& out, const Json& models, const Paint& paint, int columns) {
  Table table({"MODEL", "VERSION", "REQUESTS", "CLIENT ERRORS", "SERVER ERRORS", "CANCELLED",
               "UNKNOWN", "P50", "P99", "PREDICTED", "LABELLED", "ACCURACY"});
  for (const Json& model : models) {
    const Json& latency = model["latency"];
    auto seconds = [&](const char* key) {
      return latency.is_null() ? "not known" : Seconds(latency.value(key, 0.0));
    };
    const int64_t version = model.value("version", int64_t{0});
    const bool labelled = model.value("labelled", uint64_t{0}) > 0;
    table.Add({Clean(model.value("model", "")), version == 0 ? "-" : std::to_string(version),
               Number(model, "requests"), Number(model, "client_errors"),
               Number(model, "server_errors"), Number(model, "cancelled"), Number(model, "unknown"),
               seconds("p50_seconds"), seconds("p99_seconds"), Classes(model),
               Number(model, "labelled"), labelled ? Percent(model.value("accuracy", 0.0)) : "-"});
  }
  table.Print(out, paint, columns);
}

/// The hint for a log of which nothing is known to be a prediction.
void PrintOtherPaths(std::ostream& out, const Json& source) {
  std::vector<std::pair<uint64_t, std::string>> paths;
  for (const auto& [path, count] : source["other_paths"].items())
    paths.emplace_back(count.get<uint64_t>(), path);
  if (paths.empty()) return;
  std::sort(paths.rbegin(), paths.rend());
  out << "  not known to be predictions:";
  for (size_t i = 0; i < paths.size() && i < 5; ++i)
    out << (i > 0 ? ", " : " ") << Clean(paths[i].second) << " (" << paths[i].first << ")";
  out << "\n  name those that are predictions: --prediction-path " << Clean(paths[0].second)
      << '\n';
}

std::string Figure(const Json& from, const char* key) {
  auto found = from.find(key);
  if (found == from.end() || !found->is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", found->get<double>());
  return text;
}

/// What the inputs looked like; of wide ones the first.
void PrintFeatures(std::ostream& out, const Json& models, const Paint& paint, int columns) {
  constexpr size_t kShown = 20;
  Table table({"MODEL", "VERSION", "FEATURE", "VALUES", "MISSING", "MEAN", "MEDIAN", "MIN", "MAX"});
  size_t left_out = 0;
  for (const Json& model : models) {
    const Json features = model.value("features", Json::array());
    const int64_t version = model.value("version", int64_t{0});
    for (size_t i = 0; i < std::min(kShown, features.size()); ++i) {
      const Json& f = features[i];
      // Of no value there is no mean.
      auto of_values = [&](const char* key) { return f["count"] == 0 ? "-" : Figure(f, key); };
      table.Add({Clean(model.value("model", "")), version == 0 ? "-" : std::to_string(version),
                 Clean(f.value("name", "")), Figure(f, "count"), Figure(f, "missing"),
                 of_values("mean"), of_values("median"), of_values("min"), of_values("max")});
    }
    left_out += features.size() - std::min(kShown, features.size());
  }
  if (table.empty()) {
    out << "\nno features were found in the lines; --field feature.NAME=WHERE says where they "
           "stand\n";
    return;
  }
  out << '\n';
  table.Print(out, paint, columns);
  if (left_out > 0) out << left_out << " more features with --json\n";
}

/// Requests and labels by segment, of the models that are told apart so.
void PrintSegments(std::ostream& out, const Json& models, const Paint& paint, int columns) {
  Table table(
      {"MODEL", "VERSION", "BY", "SEGMENT", "REQUESTS", "ERRORS", "LABELLED", "WRONG", "ACCURACY"});
  for (const Json& model : models) {
    const int64_t version = model.value("version", int64_t{0});
    for (const Json& of : model.value("segments", Json::array())) {
      uint64_t requests = 0, errors = 0;
      for (const auto& [outcome, count] : of["requests"].items()) {
        requests += count.get<uint64_t>();
        if (outcome.ends_with("_error")) errors += count.get<uint64_t>();
      }
      const Json& accuracy = of["accuracy"];
      table.Add({Clean(model.value("model", "")), version == 0 ? "-" : std::to_string(version),
                 Clean(of.value("by", "")), Clean(of.value("segment", "")),
                 std::to_string(requests), std::to_string(errors), Figure(of, "labelled"),
                 Figure(of, "wrong"),
                 accuracy.is_number() ? Percent(accuracy.get<double>()) : "-"});
    }
  }
  if (table.empty()) return;
  out << '\n';
  table.Print(out, paint, columns);
}

/// True when all of it was read.
bool PrintSource(std::ostream& out, const Json& source, const Paint& paint) {
  bool whole = true;
  for (const Json& file : source["files"]) {
    const bool recognised = file.value("recognised", false);
    whole = whole && recognised;
    out << Clean(file.value("path", "")) << ": "
        << (recognised ? Clean(file.value("reads", ""))
                       : paint.Bad("not read: ") + Clean(file.value("reason", "")))
        << '\n';
  }
  if (source["files"].empty()) {
    out << Clean(source.value("source", "")) << ": " << paint.Bad("not read: ")
        << "no such file, or all are empty\n";
    return false;
  }
  out << "  " << Number(source, "lines") << " lines, " << Number(source, "predictions")
      << " predictions, " << Number(source, "other_requests") << " other requests, "
      << Number(source, "errors") << " error messages";
  for (const auto& [key, words] : {std::pair("unknown_model", " for models that were never found"),
                                   std::pair("unknown_segments",
                                             " with segments that "
                                             "monitoring.segments does not name"),
                                   std::pair("malformed_lines", " malformed lines"),
                                   std::pair("unrecognised_lines", " lines not recognised"),
                                   std::pair("cut_lines", " lines cut")}) {
    if (source.value(key, uint64_t{0}) > 0) out << ", " << Number(source, key) << words;
  }
  out << '\n';
  PrintOtherPaths(out, source);
  return whole && source.value("unrecognised_lines", uint64_t{0}) == 0;
}

}  // namespace

int ShowLogsOnce(Environment& env, const Result<std::string>& report, const Paint& paint,
                 bool json) {
  if (!report.ok()) {
    env.err << "leadsman: " << report.status().message() << '\n';
    if (report.status().code() == StatusCode::kNotFound) return kNotFound;
    return report.status().code() == StatusCode::kInvalidArgument ? kUsage : kFailed;
  }
  const Json parsed = Json::parse(*report, nullptr, false);
  if (parsed.is_discarded()) return kFailed;
  if (json) env.out << schema::PrettyJson(*report) << '\n';
  std::ostream none(nullptr);
  std::ostream& out = json ? none : env.out;
  bool whole = true;
  for (const Json& source : parsed["sources"]) whole = PrintSource(out, source, paint) && whole;
  if (!parsed["models"].empty()) {
    out << '\n';
    PrintModels(out, parsed["models"], paint, env.terminal ? env.columns : 0);
    PrintFeatures(out, parsed["models"], paint, env.terminal ? env.columns : 0);
    PrintSegments(out, parsed["models"], paint, env.terminal ? env.columns : 0);
  }
  return whole ? kOk : kFailed;
}

}  // namespace leadsman::cli
