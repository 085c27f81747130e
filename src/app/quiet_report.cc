#include "app/quiet_report.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "app/alarms.h"
#include "base/clock.h"
#include "base/strings.h"
#include "events/missing_text.h"
#include "intake/read_once.h"
#include "math/poisson_interval.h"
#include "monitor/drift/quiet_proof.h"
#include "monitor/drift/reference_file.h"
#include "monitor/quiet/watch_proof.h"
#include "monitor/schema/schema_reports.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Status AddTable(const QuietQuestion& question, HistorySink& sink) {
  ASSIGN_OR_RETURN(ReferenceTable table,
                   ReadTable(question.table, {question.time_column, question.answer_column,
                                              question.label_column}));
  if (table.named()) {
    // The first of the model: they get the places that they have in the table.
    auto names = sink.NamesOf(question.model);
    for (const std::string& column : table.names) names->PlaceOf(column);
  }
  std::string_view answer, label;
  for (size_t row = 0; row < table.rows(); ++row) {
    PredictionEvent event;
    event.model = question.model;
    event.outcome_known = event.latency_known = false;  // a table says nothing of them
    event.features = {table.values.data() + row * table.width, table.width};
    if (!table.unix_ms.empty()) event.unix_ms = table.unix_ms[row];
    if (!table.answers.empty()) {
      answer = table.answers[row];
      event.predicted = {&answer, 1};
    }
    if (!table.labels.empty() && !IsMissingText(table.labels[row])) {
      label = table.labels[row];
      event.labels = {&label, 1};
    }
    sink.Emit(event);
  }
  return OkStatus();
}

Status AddLogs(const Config& config, HistorySink& sink) {
  std::vector<intake::SourceView> views =
      intake::ReadOnce(config.monitor.logs, SystemClock(), sink);
  std::vector<std::string> unread;
  for (const intake::SourceView& view : views) {
    for (const intake::LogView& file : view.files) {
      if (file.format.empty()) unread.push_back(StrCat(file.path, ": ", file.sentence));
    }
    if (view.files.empty())
      unread.push_back(StrCat(view.source, ": no such file, or all are empty"));
  }
  if (!unread.empty()) return InvalidArgumentError(StrCat("not read: ", Join(unread, "; ")));
  if (!sink.versions().empty()) return OkStatus();
  return NotFoundError(
      "the logs tell of no prediction: `leadsman monitor --once` shows what they are taken for");
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json TimeJson(int64_t unix_ms) { return FormatRfc3339(FromUnixMillis(unix_ms)); }

/// How many there would be in a quarter, of so many in some days.
Json RateJson(uint64_t alarms, double days) {
  constexpr double kQuarter = 90;
  if (!(days > 0)) return Json();
  const auto [low, high] = PoissonInterval(alarms);
  return {{"estimate", static_cast<double>(alarms) * kQuarter / days},
          {"low", low * kQuarter / days},
          {"high", high * kQuarter / days}};
}

Json StreamJson(const QuietStream& stream) {
  Json json = {{"detector", AlarmKindName(stream.kind)},
               {"of", stream.track},
               {"name", stream.name},
               {"alarms", stream.firings},
               {"alarms_per_90_days", RateJson(stream.firings, stream.days)},
               {"fired", Json::array()},
               {"smallest_change_found_in_a_day", OrNull(stream.smallest)},
               {"unit", stream.unit},
               {"guaranteed", stream.not_guaranteed.empty()},
               {"not_guaranteed_because", TextOrNull(stream.not_guaranteed)}};
  for (int64_t at : stream.fired_ms) json["fired"].push_back({{"at", TimeJson(at)}});
  return json;
}

Json WatchJson(const QuietWatch& watch, double days) {
  Json json = {{"detector", AlarmKindName(watch.subject.kind)},
               {"model", watch.subject.model},
               {"version", watch.subject.version},
               {"of", watch.subject.of},
               {"alarms", watch.firings},
               {"alarms_per_90_days", RateJson(watch.firings, days)},
               {"fired", Json::array()},
               {"smallest_change_found_in_a_day", OrNull(watch.smallest)},
               {"unit", watch.unit},
               {"usual", OrNull(watch.usual)},
               {"found", OrNull(watch.found)},
               {"longest", OrNull(watch.longest)},
               {"by", watch.by_formula ? "formula" : "injection"},
               {"none_because", TextOrNull(watch.none_because)},
               {"guaranteed", false},
               {"not_guaranteed_because", WhyNotGuaranteed(watch.subject.kind)}};
  for (const QuietFiring& firing : watch.fired) {
    json["fired"].push_back({{"at", TimeJson(firing.unix_ms)},
                             {"seconds", firing.seconds},
                             {"ended", firing.ended},
                             {"severity", AlarmSeverityName(firing.severity)},
                             {"summary", firing.summary}});
  }
  return json;
}

/// What the past cannot tell of, and why.
Json NotReplayedJson(const QuietReport& drift, const WatchReport& watches) {
  Json list = Json::array();
  auto add = [&](AlarmKind kind, const std::string& model, int64_t version, const std::string& of,
                 const std::string& why) {
    list.push_back({{"detector", AlarmKindName(kind)},
                    {"model", model},
                    {"version", version},
                    {"of", of},
                    {"why", why}});
  };
  for (const QuietWatch& watch : watches.watches) {
    const AlarmSubject& of = watch.subject;
    if (!watch.not_replayed.empty()) add(of.kind, of.model, of.version, of.of, watch.not_replayed);
  }
  for (const QuietVersion& version : drift.versions) {
    for (const QuietGap& gap : version.gaps)
      add(gap.kind, version.key.first, version.key.second, "", gap.why);
  }
  add(AlarmKind::kCaptureLoss, "", 0, "",
      "it is of the capture itself, not of what was captured: a history has no losses in it");
  return list;
}

Json VersionJson(const QuietVersion& version) {
  Json json = {{"model", version.key.first},
               {"version", version.key.second},
               {"requests", version.requests},
               {"requests_per_day", version.requests_per_day},
               {"reference", {{"rows", version.reference_rows}, {"of", version.reference_wanted}}},
               {"blocks", version.blocks},
               {"days_compared", version.days_compared},
               {"detectors", Json::array()}};
  for (const QuietStream& stream : version.streams) json["detectors"].push_back(StreamJson(stream));
  return json;
}

}  // namespace

Result<std::string> ProveQuiet(const Config& config, const QuietQuestion& question) {
  const MonitorOptions& options = config.monitor.options;
  const AlarmBudget budget{question.false_alarms.value_or(options.alarm_budget.false_alarms),
                           ToSeconds(question.period.value_or(options.alarm_budget.period))};
  HistorySink sink(options.wide_input);
  RETURN_IF_ERROR(question.table.empty() ? AddLogs(config, sink) : AddTable(question, sink));
  if (question.requests_per_day > 0) {
    for (auto& [key, history] : sink.versions())
      history.Spread(question.requests_per_day, UnixMillis(SystemClock().Now()));
  }
  std::map<std::string, MonitorConfig> configs = MonitoringOf(config);
  for (const auto& [key, history] : sink.versions()) configs.try_emplace(key.first);
  for (auto& [model, monitoring] : configs) {
    DriftConfig& drift = monitoring.drift;
    drift.tolerance = question.tolerance.value_or(drift.tolerance);
    drift.share_tolerance = question.share_tolerance.value_or(drift.share_tolerance);
    monitoring.reference.requests =
        question.reference_requests.value_or(monitoring.reference.requests);
  }
  QuietProof proof(budget, options.wide_input, &sink.names());
  const AlarmOptions& alarms = config.alarms.options;
  WatchProof watch_proof(
      {BookOptions(alarms), alarms.evaluation_interval, question.requests_per_day <= 0},
      &sink.names());
  const WallTime now = SystemClock().Now();
  for (const auto& [model, monitoring] : configs) {
    if (monitoring.reference.from == ReferenceConfig::From::kFile) {
      ASSIGN_OR_RETURN(auto reference,
                       ReadReferenceFile(monitoring.reference.path, options.wide_input,
                                         UnixMillis(now), sink.NamesOf(model).get()));
      proof.UseFile(model, std::move(reference));
    }
    const SchemaConfig& of = monitoring.schema;
    if (of.enabled && of.from == SchemaConfig::From::kFile) {
      ASSIGN_OR_RETURN(DataSchema schema, ReadOrInferSchema(of.path, of.margin, now));
      watch_proof.UseSchema(model, std::make_shared<const DataSchema>(std::move(schema)));
    }
  }
  const QuietReport report = proof.Run(sink.versions(), configs);
  const WatchReport watches = watch_proof.Run(sink.versions(), configs);
  Json json = {
      {"alarms", report.alarms + watches.alarms},
      {"alarms_of_budget", report.alarms},
      {"false_alarms_allowed", report.allowed},
      {"days_compared", report.days},
      {"days_replayed", watches.days},
      {"seconds_between_looks", watches.look_seconds},
      {"budget", {{"false_alarms", budget.false_alarms}, {"days", budget.period_seconds / 86400}}},
      {"requests_left_out", sink.dropped()},
      {"not_replayed", NotReplayedJson(report, watches)},
      {"models", Json::array()},
      {"watches", Json::array()}};
  for (const QuietVersion& version : report.versions)
    json["models"].push_back(VersionJson(version));
  for (const QuietWatch& watch : watches.watches) {
    if (watch.not_replayed.empty()) json["watches"].push_back(WatchJson(watch, watches.days));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace leadsman
