#include "intake/intake_metrics.h"

#include <functional>
#include <memory>
#include <utility>

namespace leadsman::intake {
namespace {

using Read = std::function<double()>;

MetricSample Sample(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

Read Of(const std::atomic<uint64_t>& counter) {
  return [&counter] { return static_cast<double>(counter.load()); };
}

}  // namespace

std::vector<Registry::Registration> AddIntakeMetrics(IntakeMetricSource from, Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](const char* name, const char* help, MetricType type, Read read) {
    registrations.push_back(registry.Add(
        {name, help, type, {"source"}}, [source = from.source, read = std::move(read)] {
          return std::vector<MetricSample>{Sample({source}, read())};
        }));
  };
  auto by = [&](const char* name, const char* help, const char* label,
                std::vector<std::pair<std::string, Read>> parts) {
    registrations.push_back(registry.Add({name, help, MetricType::kCounter, {"source", label}},
                                         [source = from.source, parts = std::move(parts)] {
                                           std::vector<MetricSample> samples;
                                           for (const auto& [value, read] : parts)
                                             samples.push_back(Sample({source, value}, read()));
                                           return samples;
                                         }));
  };
  const SourceCounters& r = from.reader;
  const FollowerCounters& f = from.follower;
  const auto counter = MetricType::kCounter;
  const auto gauge = MetricType::kGauge;

  add("leadsman_intake_lines_total", "Lines of logs that were read.", counter, Of(r.lines));
  add("leadsman_intake_bytes_total", "Bytes of logs that were read.", counter, Of(f.bytes));
  by("leadsman_intake_requests_total",
     "Requests in logs: prediction = given to the monitor; other = for another path, as a health "
     "check; unknown_model = answered not found, of a model that was never found.",
     "kind",
     {{"prediction", Of(r.predictions)},
      {"other", Of(r.other_requests)},
      {"unknown_model", Of(r.unknown_model)}});
  add("leadsman_intake_errors_total", "Errors that programs have logged; a stack trace is one.",
      counter, Of(r.errors));
  by("leadsman_intake_lines_without_request_total",
     "Lines that gave no request: other = the program about itself; malformed = begun like a "
     "request's line and none; unrecognised = no format explained their file.",
     "kind",
     {{"other", Of(r.other_lines)},
      {"malformed", Of(r.malformed)},
      {"unrecognised", Of(r.unrecognised)}});
  add("leadsman_intake_unknown_segments_total",
      "Predictions whose lines name a segmentation that their model has not: add it to "
      "monitoring.segments. They are counted without it.",
      counter, Of(r.unknown_segments));
  add("leadsman_intake_unreadable_fields_total",
      "Fields of requests that cannot be right, as a negative latency; they were left out.",
      counter, Of(r.unreadable));
  add("leadsman_intake_cut_lines_total", "Lines that were too long and lost their end.", counter,
      Of(r.cut));
  by("leadsman_intake_rotations_total", "Rotations of logs that were seen, by how.", "how",
     {{"renamed", Of(f.renamed)}, {"truncated", Of(f.truncated)}, {"deleted", Of(f.deleted)}});
  add("leadsman_intake_archives_total",
      "Rotated files that were read because nobody had read them whole before.", counter,
      Of(f.archives));
  add("leadsman_intake_lost_files_total", "Logs that were gone before they were read to their end.",
      counter, Of(f.lost));
  add("leadsman_intake_read_failures_total", "Looks at and reads of logs that failed.", counter,
      Of(f.errors));
  add("leadsman_intake_files", "Logs that are open.", gauge, Of(f.files));
  add("leadsman_intake_files_left_out", "Logs beyond the number that is followed.", gauge,
      Of(f.left_out));
  add("leadsman_intake_unrecognised_files", "Logs whose format is not known.", gauge,
      Of(r.unrecognised_files));
  add("leadsman_intake_lag_bytes", "Written to logs and not read yet.", gauge, Of(f.lag_bytes));
  add("leadsman_intake_last_line_timestamp_seconds",
      "When the last line was read, as Unix time; 0 = none yet.", gauge,
      [&r] { return static_cast<double>(r.last_line_ms.load()) / 1000; });
  add("leadsman_intake_position_failures_total",
      "Times that the positions in logs could not be written.", counter, [journal = from.journal] {
        return journal != nullptr ? static_cast<double>(journal->failures()) : 0.0;
      });
  return registrations;
}

}  // namespace leadsman::intake
