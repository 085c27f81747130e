#include "app/log_report.h"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/strings.h"
#include "events/redactor.h"
#include "intake/read_once.h"
#include "monitor/monitor.h"
#include "stats/latency_quantile.h"
#include "stats/registry.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Json ModelJson(const ObservedVersion& of) {
  const ObservedTotals& t = of.totals;
  uint64_t requests = 0;
  for (uint64_t count : t.requests) requests += count;
  Json json = {{"model", of.model},
               {"version", of.version},
               {"requests", requests},
               {"ok", t.of(ObservedOutcome::kOk)},
               {"client_errors", t.of(ObservedOutcome::kClientError)},
               {"server_errors", t.of(ObservedOutcome::kServerError)},
               {"cancelled", t.of(ObservedOutcome::kCancelled)},
               {"unknown", t.of(ObservedOutcome::kUnknown)},
               {"latency", nullptr},
               {"predicted", of.predicted},
               {"labelled", of.labelled},
               {"accuracy", nullptr}};
  if (of.labelled > 0)
    json["accuracy"] = 1 - static_cast<double>(of.wrong) / static_cast<double>(of.labelled);
  if (const uint64_t timed = TotalCount(t.latency); timed > 0) {
    json["latency"] = {{"count", timed},
                       {"p50_seconds", LatencyQuantileSeconds(t.latency, 0.5)},
                       {"p99_seconds", LatencyQuantileSeconds(t.latency, 0.99)}};
  }
  return json;
}

Json SourceJson(const intake::SourceView& view) {
  Json files = Json::array();
  for (const intake::LogView& file : view.files) {
    files.push_back({{"path", file.path},
                     {"recognised", !file.format.empty()},
                     {"format", file.format},
                     {file.format.empty() ? "reason" : "reads", file.sentence}});
  }
  return {{"source", view.source},
          {"lines", view.lines},
          {"predictions", view.predictions},
          {"other_requests", view.other_requests},
          {"unknown_model", view.unknown_model},
          {"unknown_segments", view.unknown_segments},
          {"errors", view.errors},
          {"malformed_lines", view.malformed},
          {"unrecognised_lines", view.unrecognised},
          {"cut_lines", view.cut},
          {"lag_bytes", view.lag_bytes},
          {"skipped_bytes", view.skipped_bytes},
          {"other_paths", view.other_paths},
          {"features", view.features},
          {"model_features", view.model_features},
          {"files", std::move(files)}};
}

}  // namespace

namespace {

constexpr size_t kMaxFeaturesTold = 1000;  // of each version

/// The names of the inputs' places, when all sources with features agree on them.
std::vector<std::string> NamesOfFeatures(const std::vector<intake::SourceView>& sources) {
  std::vector<std::string> names;
  for (const intake::SourceView& source : sources) {
    if (source.features.empty()) continue;
    if (!names.empty() && names != source.features) return {};
    names = source.features;
  }
  return names;
}

/// Of the inputs of one version, what a table can hold.
Json FeaturesJson(const Monitor& monitor, const ObservedVersion& of,
                  const std::vector<std::string>& names) {
  Json features = Json::array();
  auto profile = monitor.ProfileJson(of.model, of.version);
  if (!profile.ok()) return features;
  const Json parsed = Json::parse(*profile, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("features")) return features;
  for (const Json& f : parsed["features"]) {
    if (features.size() >= kMaxFeaturesTold) break;
    const size_t index = features.size();
    features.push_back({{"name", index < names.size() ? names[index] : StrCat("[", index, "]")},
                        {"count", f["count"]},
                        {"missing", f["non_finite"]},
                        {"mean", f["mean"]},
                        {"median", f["quantiles"]["0.5"]},
                        {"min", f["min"]},
                        {"max", f["max"]}});
  }
  return features;
}

/// Requests and labels of one version by segment; empty where it is not segmented.
Json SegmentsJson(const Monitor& monitor, const ObservedVersion& of) {
  auto quality = monitor.QualityJson(of.model, of.version);
  if (!quality.ok()) return Json::array();
  const Json parsed = Json::parse(*quality, nullptr, false);
  return parsed.is_object() ? parsed.value("segments", Json::array()) : Json::array();
}

}  // namespace

Json ObservedJson(const std::vector<ObservedVersion>& models) {
  Json json = Json::array();
  for (const ObservedVersion& model : models) json.push_back(ModelJson(model));
  return json;
}

namespace {

Json LogReport(const std::vector<ObservedVersion>& models,
               const std::vector<intake::SourceView>& sources) {
  Json report = {{"models", ObservedJson(models)}, {"sources", Json::array()}};
  for (const intake::SourceView& source : sources) report["sources"].push_back(SourceJson(source));
  return report;
}

}  // namespace

std::string LogReportJson(const std::vector<ObservedVersion>& models,
                          const std::vector<intake::SourceView>& sources) {
  return LogReport(models, sources).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<std::string> LogNotes(const std::vector<intake::SourceView>& sources) {
  constexpr size_t kMaxNotes = 20;
  std::vector<std::string> notes;
  for (const intake::SourceView& source : sources) {
    if (source.files.empty())
      notes.push_back(StrCat("log ", source.source, ": no file is there yet, or none has a line"));
    for (const intake::LogView& file : source.files) {
      if (file.format.empty())
        notes.push_back(StrCat("log ", file.path, " is not read: ", file.sentence));
    }
  }
  if (notes.size() > kMaxNotes) {
    const size_t more = notes.size() - kMaxNotes;
    notes.resize(kMaxNotes);
    notes.push_back(StrCat("and ", more, " more; GET /api/v1/logs has them all"));
  }
  return notes;
}

Result<std::string> ReportLogsOnce(const Config& config) {
  Registry registry;
  ASSIGN_OR_RETURN(auto redactor, Redactor::Create(config.monitor.redact));
  ASSIGN_OR_RETURN(auto monitor, Monitor::Create({SystemClock(), registry, redactor.get()},
                                                 config.monitor.options, MonitoringOf(config)));
  std::vector<intake::SourceView> views =
      intake::ReadOnce(config.monitor.logs, SystemClock(), *monitor, redactor.get());
  if (std::all_of(views.begin(), views.end(),
                  [](const auto& v) { return v.files.empty() && v.lines == 0; })) {
    std::vector<std::string> names;
    for (const intake::SourceView& view : views) names.push_back(view.source);
    return NotFoundError(StrCat("no log is there, or all are empty: ", HumanList(names)));
  }
  if (!monitor->Flush(std::chrono::minutes(1)))
    return UnavailableError("the monitor did not fold everything within a minute");
  const std::vector<ObservedVersion> seen = monitor->Observed();
  Json report = LogReport(seen, views);
  const std::vector<std::string> names = NamesOfFeatures(views);
  for (size_t i = 0; i < seen.size(); ++i) {
    report["models"][i]["features"] = FeaturesJson(*monitor, seen[i], names);
    report["models"][i]["segments"] = SegmentsJson(*monitor, seen[i]);
  }
  return report.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace leadsman
