#include "protocol/v2/statistics_json.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

void AppendDuration(std::string& out, std::string_view key, const DurationStatistic& statistic) {
  out += StrCat("\"", key, "\":{\"count\":", statistic.count, ",\"ns\":", statistic.ns, "}");
}

void AppendOne(std::string& out, const ModelStatistics& s) {
  out += "{\"name\":";
  AppendJsonString(out, s.model);
  out += StrCat(",\"version\":\"", s.version, "\",\"last_inference\":", s.last_inference_unix_ms,
                ",\"inference_count\":", s.inference_count,
                ",\"execution_count\":", s.execution_count, ",\"inference_stats\":{");
  const std::pair<std::string_view, DurationStatistic> durations[] = {
      {"success", s.success},
      {"fail", s.fail},
      {"queue", s.queue},
      {"compute_input", s.compute_input},
      {"compute_infer", s.compute_infer},
      {"compute_output", s.compute_output},
      // There is no cache of answers.
      {"cache_hit", {}},
      {"cache_miss", {}}};
  bool first = true;
  for (const auto& [key, statistic] : durations) {
    if (!std::exchange(first, false)) out += ',';
    AppendDuration(out, key, statistic);
  }
  out += "},\"response_stats\":{},\"batch_stats\":[";
  for (size_t i = 0; i < s.batches.size(); ++i) {
    const BatchStatistics& batch = s.batches[i];
    out += StrCat(i > 0 ? "," : "", "{\"batch_size\":", batch.batch_size, ",");
    AppendDuration(out, "compute_input", batch.compute_input);
    out += ',';
    AppendDuration(out, "compute_infer", batch.compute_infer);
    out += ',';
    AppendDuration(out, "compute_output", batch.compute_output);
    out += '}';
  }
  out += "],\"memory_usage\":[]}";
}

}  // namespace

std::vector<ModelStatistics> StatisticsOfReady(const ServableTable& table,
                                               std::span<const ModelStatistics> counted,
                                               std::string_view model,
                                               std::optional<int64_t> version) {
  std::set<std::pair<std::string, int64_t>> shown;
  for (const auto& [name, entry] : table.models) {
    if (!model.empty() && name != model) continue;
    for (const auto& [number, handle] : entry.ready) {
      if (!version || *version == number) shown.emplace(name, number);
    }
  }
  std::vector<ModelStatistics> all;
  for (const auto& key : shown) {
    auto found = std::find_if(counted.begin(), counted.end(), [&](const ModelStatistics& s) {
      return s.model == key.first && s.version == key.second;
    });
    ModelStatistics zeros;
    zeros.model = key.first;
    zeros.version = key.second;
    all.push_back(found == counted.end() ? zeros : *found);
  }
  return all;
}

void AppendStatistics(std::string& out, const ServableTable& table,
                      std::span<const ModelStatistics> counted, std::string_view model,
                      std::optional<int64_t> version) {
  out += "{\"model_stats\":[";
  bool first = true;
  for (const ModelStatistics& one : StatisticsOfReady(table, counted, model, version)) {
    if (!std::exchange(first, false)) out += ',';
    AppendOne(out, one);
  }
  out += "]}";
}

}  // namespace leadsman::v2
