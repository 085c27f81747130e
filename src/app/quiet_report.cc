#include "app/quiet_report.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/strings.h"
#include "intake/read_once.h"
#include "monitor/drift/quiet_proof.h"
#include "monitor/drift/reference_file.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Status AddTable(const QuietQuestion& question, HistorySink& sink) {
  ASSIGN_OR_RETURN(ReferenceTable table,
                   ReadTable(question.table, {question.time_column, question.answer_column}));
  if (table.named()) {
    // The first of the model: they get the places that they have in the table.
    auto names = sink.NamesOf(question.model);
    for (const std::string& column : table.names) names->PlaceOf(column);
  }
  std::string_view answer;
  for (size_t row = 0; row < table.rows(); ++row) {
    PredictionEvent event;
    event.model = question.model;
    event.features = {table.values.data() + row * table.width, table.width};
    if (!table.unix_ms.empty()) event.unix_ms = table.unix_ms[row];
    if (!table.answers.empty()) {
      answer = table.answers[row];
      event.predicted = {&answer, 1};
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

Json StreamJson(const QuietStream& stream) {
  return {{"of", stream.track},
          {"name", stream.name},
          {"alarms", stream.firings},
          {"smallest_change_found_in_a_day", stream.smallest ? Json(*stream.smallest) : Json()},
          {"unit", stream.unit},
          {"guaranteed", stream.guaranteed}};
}

/// The other watches of a server, and why a replay does without them.
Json NotReplayed() {
  Json list = Json::array();
  auto add = [&](const char* detector, const char* why) {
    list.push_back({{"detector", detector}, {"why", why}});
  };
  add("error_burn", "it holds live counts against objectives; a replay keeps no outcomes");
  add("latency_burn", "it holds live counts against objectives; a replay keeps no latencies");
  add("traffic_stopped",
      "it compares with the same hours of days before, which a replay does not rebuild");
  add("schema_violation",
      "rows are held against a schema one by one: `leadsman schema check` does it");
  add("accuracy", "labels are not replayed");
  add("quality", "labels are not replayed");
  add("risk_increase", "labels are not replayed");
  add("capture_loss", "it is of the capture itself, not of what was captured");
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
  for (const auto& [model, monitoring] : configs) {
    if (monitoring.reference.from != ReferenceConfig::From::kFile) continue;
    ASSIGN_OR_RETURN(auto reference,
                     ReadReferenceFile(monitoring.reference.path, options.wide_input,
                                       UnixMillis(SystemClock().Now()), sink.NamesOf(model).get()));
    proof.UseFile(model, std::move(reference));
  }
  const QuietReport report = proof.Run(sink.versions(), configs);
  Json json = {
      {"alarms", report.alarms},
      {"false_alarms_allowed", report.allowed},
      {"days_compared", report.days},
      {"budget", {{"false_alarms", budget.false_alarms}, {"days", budget.period_seconds / 86400}}},
      {"requests_left_out", sink.dropped()},
      {"not_replayed", NotReplayed()},
      {"models", Json::array()}};
  for (const QuietVersion& version : report.versions)
    json["models"].push_back(VersionJson(version));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace leadsman
