#include "base/strings.h"
#include "monitor/monitor_impl.h"
#include "monitor/quality/quality_metrics.h"
#include "stats/latency_quantile.h"

namespace leadsman {
namespace {

MetricSample Sample(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

}  // namespace

template <typename Add>
void Monitor::Impl::AddRedisMetrics(Add add) {
  auto single = [](auto read) {
    return [read] { return std::vector<MetricSample>{Sample({}, static_cast<double>(read()))}; };
  };
  add("leadsman_monitor_redis_ready",
      "Whether the Redis of monitor.labels takes predictions and labels.", MetricType::kGauge, {},
      single([this] { return redis->state().ready; }));
  add("leadsman_monitor_redis_errors_total",
      "Connections and round trips to the Redis of labels that failed, which are repeated, and "
      "predictions or labels that it refuses.",
      MetricType::kCounter, {}, single([this] { return redis->counters().errors; }));
  add("leadsman_monitor_redis_predictions_queued",
      "Predictions that wait to be written to the Redis of labels.", MetricType::kGauge, {},
      single([this] { return redis->counters().queued; }));
  add("leadsman_monitor_redis_predictions_lost_total",
      "Predictions whose label another process will not find: there was no room while Redis was "
      "away, or it refused them.",
      MetricType::kCounter, {}, single([this] { return redis->counters().predictions_lost; }));
}

void Monitor::Impl::AddMetrics(Registry& registry) {
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, Registry::Reader reader) {
    registrations.push_back(registry.Add({name, help, type, std::move(labels)}, std::move(reader)));
  };
  auto version_family = [this](double (*read)(const VersionTotals&)) {
    return [this, read] {
      std::vector<MetricSample> samples;
      MutexLock lock(state_mutex);
      for (const auto& [key, state] : versions) {
        samples.push_back(
            Sample({key.first, std::to_string(key.second)}, read(state->profile.Totals())));
      }
      return samples;
    };
  };
  auto single = [](auto read) {
    return [read] { return std::vector<MetricSample>{Sample({}, static_cast<double>(read()))}; };
  };

  add("leadsman_monitor_events_total", "Prediction events folded into profiles.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return events;
      }));
  add("leadsman_monitor_events_dropped_total",
      "Prediction events not folded: a ring was full, or too many threads or versions.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return rings.dropped() + events_without_profile;
      }));
  add("leadsman_monitor_profile_requests_lost_total",
      "Requests in profiles of edges, or for the monitor that profiles are sent to, that were "
      "lost: "
      "there were too many versions.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return profile_requests_lost;
      }));
  add("leadsman_monitor_requests_total",
      "Requests seen from outside, in logs, by outcome; unknown: the log does not say. Version 0: "
      "the log names none. Requests served here are leadsman_serving_requests_total.",
      MetricType::kCounter, {"model", "version", "outcome"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const ObservedTotals* totals = state->profile.observed();
          for (size_t i = 0; totals != nullptr && i < kObservedOutcomes; ++i) {
            samples.push_back(
                Sample({key.first, std::to_string(key.second),
                        std::string(ObservedOutcomeName(static_cast<ObservedOutcome>(i)))},
                       static_cast<double>(totals->requests[i])));
          }
        }
        return samples;
      });
  add("leadsman_monitor_request_duration_seconds",
      "How long requests took that were seen from outside and are not known to have failed, as "
      "their log says; absent where it does not.",
      MetricType::kHistogram, {"model", "version"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const ObservedTotals* totals = state->profile.observed();
          if (totals == nullptr || TotalCount(totals->latency) == 0) continue;
          samples.push_back(LatencySample({key.first, std::to_string(key.second)}, totals->latency,
                                          totals->latency_seconds));
          samples.back().native = ToNative(totals->fine_latency);
        }
        return samples;
      });
  add("leadsman_monitor_labels_total",
      "Labels by what became of them: joined, unknown, duplicate, late, mismatched (text for a "
      "model of numbers, or the other way round) or rejected.",
      MetricType::kCounter, {"result"}, [this] {
        MutexLock lock(state_mutex);
        const auto& c = label_counters;
        return std::vector<MetricSample>{
            Sample({"joined"}, static_cast<double>(c.joined)),
            Sample({"unknown"}, static_cast<double>(c.unknown)),
            Sample({"duplicate"}, static_cast<double>(c.duplicate)),
            Sample({"late"}, static_cast<double>(c.late)),
            Sample({"mismatched"}, static_cast<double>(c.mismatched)),
            Sample({"rejected"}, static_cast<double>(labels_rejected.load()))};
      });
  add("leadsman_monitor_labels_conflicting_total",
      "Labels that gave another value than an earlier one of the same row (the first one stays).",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return label_counters.conflicting;
      }));
  add("leadsman_monitor_labels_pending", "Labels waiting for their prediction.", MetricType::kGauge,
      {}, single([this] {
        MutexLock lock(state_mutex);
        return labels_waiting;
      }));
  add("leadsman_monitor_labelled_total",
      "Rows whose label has come, weighted when only a share of predictions is kept.",
      MetricType::kCounter, {"model", "version"},
      version_family([](const VersionTotals& t) { return static_cast<double>(t.labelled); }));
  add("leadsman_monitor_wrong_total", "Labelled rows that were predicted otherwise.",
      MetricType::kCounter, {"model", "version"},
      version_family([](const VersionTotals& t) { return static_cast<double>(t.wrong); }));
  add("leadsman_monitor_accuracy", "Share of labelled rows predicted right, over all labels.",
      MetricType::kGauge, {"model", "version"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const QualityTotals& q = state->profile.quality();
          if (q.labelled <= 0) continue;  // no labels, no accuracy
          samples.push_back(
              Sample({key.first, std::to_string(key.second)}, 1 - q.wrong / q.labelled));
        }
        return samples;
      });
  add("leadsman_monitor_predictions_total",
      "Rows by predicted class; the first 32 classes that were seen, the rest as (other).",
      MetricType::kCounter, {"model", "version", "class"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          for (const auto& [name, count] : state->profile.PredictedGrowing()) {
            samples.push_back(
                Sample({key.first, std::to_string(key.second), name}, static_cast<double>(count)));
          }
        }
        return samples;
      });
  for (const QualityFamily& family : QualityFamilies()) {
    add(family.name, family.help, family.type, family.labels, [this, &family] {
      std::vector<MetricSample> samples;
      const int64_t now_ms = UnixMillis(clock.Now());
      MutexLock lock(state_mutex);
      for (const auto& [key, state] : versions) {
        family.read(state->detail, now_ms, {key.first, std::to_string(key.second)}, samples);
      }
      return samples;
    });
  }
  add("leadsman_monitor_segments_folded_total",
      "Times that a request's segment was counted as (other): the model has "
      "monitoring.max_segments of them already.",
      MetricType::kCounter, {"model"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [name, model] : models) {
          if (model.segments.rules().empty()) continue;
          samples.push_back(Sample({name}, static_cast<double>(model.segments.folded())));
        }
        return samples;
      });
  auto drift_family = [this](DriftBook::Metric metric) {
    return [this, metric] {
      MutexLock lock(state_mutex);
      return drifts.Samples(metric, clock.SteadyNow());
    };
  };
  add("leadsman_monitor_drift_distance",
      "Distance of the last window from the reference, by the number it is of: psi, "
      "kolmogorov_smirnov, jensen_shannon, or wasserstein in standard deviations.",
      MetricType::kGauge, {"model", "version", "of", "feature", "distance"},
      drift_family(DriftBook::Metric::kDistance));
  add("leadsman_monitor_drift_noise_floor",
      "What the same distance exceeds once in a hundred windows when nothing has changed.",
      MetricType::kGauge, {"model", "version", "of", "feature", "distance"},
      drift_family(DriftBook::Metric::kNoise));
  add("leadsman_monitor_drift_evidence_ratio",
      "Evidence of a change beyond the tolerance, as a share of what raises an alarm by itself.",
      MetricType::kGauge, {"model", "version", "of", "stream"},
      drift_family(DriftBook::Metric::kEvidence));
  add("leadsman_monitor_drift_not_guaranteed",
      "Detectors whose bound on false alarms is not proven, by reason: few_blocks (of the "
      "reference, fewer than 50), dependent_blocks (a daily rhythm, a trend).",
      MetricType::kGauge, {"model", "version", "of", "reason"},
      drift_family(DriftBook::Metric::kNotGuaranteed));
  add("leadsman_monitor_reference_ready", "Whether there is a reference to compare with.",
      MetricType::kGauge, {"model", "version", "of"},
      drift_family(DriftBook::Metric::kReferenceReady));
  add("leadsman_monitor_reference_rows", "Rows of the reference, or collected for it so far.",
      MetricType::kGauge, {"model", "version", "of"},
      drift_family(DriftBook::Metric::kReferenceRows));
  add("leadsman_monitor_reference_unreadable",
      "1: the reference file of the model cannot be read; drift of its inputs is not looked for.",
      MetricType::kGauge, {"model"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [model, reason] : drifts.file_problems())
          samples.push_back(Sample({model}, 1));
        return samples;
      });
  add("leadsman_monitor_schema_unreadable",
      "1: the schema file of the model cannot be read; its inputs are held against none.",
      MetricType::kGauge, {"model"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [model, reason] : schemas.file_problems())
          samples.push_back(Sample({model}, 1));
        return samples;
      });
  add("leadsman_monitor_drift_level", "All evidence of drift together; at 1 an alarm is raised.",
      MetricType::kGauge, {}, single([this] {
        MutexLock lock(state_mutex);
        return drifts.level();
      }));
  add("leadsman_monitor_drift_refused_total",
      "Times that a version could not be compared, gave up its reference, or got no detectors, as "
      "there are too many.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return drifts.refused();
      }));
  add("leadsman_monitor_drift_wider_requests_total",
      "Requests with more input values than are compared: the further ones are not looked at.",
      MetricType::kCounter, {"model", "version"}, drift_family(DriftBook::Metric::kWiderRequests));
  add("leadsman_monitor_feature_names_refused_total",
      "Times that a named value of a request had no place: its name is too long, or there are too "
      "many.",
      MetricType::kCounter, {}, single([this] { return names.refused(); }));
  auto schema_family = [this](SchemaBook::Metric metric) {
    return [this, metric] {
      MutexLock lock(state_mutex);
      return schemas.Samples(metric);
    };
  };
  add("leadsman_monitor_schema_violations_total",
      "Rows that broke the schema of the model's input, by feature and rule; the first 64 features "
      "by name, the rest as (others).",
      MetricType::kCounter, {"model", "version", "feature", "rule"},
      schema_family(SchemaBook::Metric::kViolations));
  add("leadsman_monitor_schema_rows_total",
      "Rows that were held against the schema: kept it, or violating.", MetricType::kCounter,
      {"model", "version", "result"}, schema_family(SchemaBook::Metric::kRows));
  add("leadsman_monitor_schema_ready", "Whether there is a schema to hold inputs against.",
      MetricType::kGauge, {"model", "version"}, schema_family(SchemaBook::Metric::kReady));
  add("leadsman_monitor_schema_refused_total",
      "Times that a version was not checked, or gave up its schema, as there are too many.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return schemas.refused();
      }));
  add("leadsman_monitor_database_errors_total",
      "Failed transactions and lookups of the monitor's database; they are retried.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return lookup_errors + (writer ? writer->errors() : 0);
      }));
  add("leadsman_monitor_database_writable",
      "0 while the monitor's database cannot be written and what comes is kept in memory.",
      MetricType::kGauge, {}, single([this] { return !writer || !writer->trouble(); }));
  add("leadsman_monitor_database_rows_lost_total",
      "Rows given up because the database failed for too long.", MetricType::kCounter, {},
      single([this] { return writer ? writer->rows_lost() : 0; }));
  if (redis) AddRedisMetrics(add);
  add("leadsman_monitor_collector_cpu_seconds_total",
      "CPU time of the threads that fold events and write the database.", MetricType::kCounter, {},
      single([this] {
        return ToSeconds(Duration(collector_cpu_ns.load()) + (writer ? writer->cpu() : Duration{}));
      }));
}

Monitor::Monitor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Monitor::~Monitor() = default;

}  // namespace leadsman
