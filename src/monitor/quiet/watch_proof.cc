#include "monitor/quiet/watch_proof.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "monitor/accuracy_watch.h"
#include "monitor/burn_rate_watch.h"
#include "monitor/quiet/watch_rig.h"
#include "monitor/schema/schema_watch.h"
#include "monitor/traffic_watch.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

constexpr double kDay = 86'400;
/// At all versions together, so that a long past of many does not take for ever.
constexpr double kMostLooks = 300'000;
/// Days that are searched, of all models together.
constexpr size_t kMostDays = 10, kMostDaysOfAll = 40;
/// The steady time of the first request: later than all that a watch takes as "never".
constexpr SteadyTime kBegin{std::chrono::hours(100)};
/// Between the looks of a trial: a watch that counts in slots of ten minutes says nothing new more often.
constexpr double kMinute = 60, kTwoMinutes = 120, kTenMinutes = 600;

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

void AddTo(ObjectiveCounts& sum, const ObjectiveCounts& more) {
  sum.total += more.total;
  sum.bad += more.bad;
}

double BadShare(const CountSeries& series) {
  const ObjectiveCounts all = series.total();
  return all.total > 0 ? static_cast<double>(all.bad) / static_cast<double>(all.total) : 0;
}

}  // namespace

Objectives WatchProof::AskedOf(const std::string& model) const {
  auto found = models_.find(model);
  return found != models_.end() ? found->second.config.objectives : Objectives();
}

std::vector<VersionCounts> WatchProof::Counts() const {
  std::vector<VersionCounts> counts;
  for (const auto& [key, version] : versions_) {
    VersionTotals totals = version.profile.Totals();
    if (totals.requests > 0) counts.push_back({key.first, key.second, totals});
  }
  return counts;
}

std::vector<QualityEvidence> WatchProof::EvidenceOf(const std::string& model) const {
  std::vector<QualityEvidence> all;
  auto it = versions_.lower_bound({model, INT64_MIN});
  for (; it != versions_.end() && it->first.first == model; ++it) {
    const VersionQuality& quality = it->second.quality;
    all.push_back({it->first.second, quality.Classes(), quality.request_errors()});
  }
  return all;
}

void WatchProof::AddWatches() {
  meter_ = std::make_unique<RequestMeter>([this] { return Counts(); });
  watched_ = std::make_unique<WatchedTime>(kBegin);
  const ObjectivesOf objectives = [this](const std::string& model) { return AskedOf(model); };
  using Burn = BurnRateWatch;
  watches_.push_back(std::make_unique<Burn>(Burn::Of::kErrors, *meter_, *watched_, objectives));
  watches_.push_back(std::make_unique<Burn>(Burn::Of::kLatency, *meter_, *watched_, objectives));
  watches_.push_back(std::make_unique<AccuracyWatch>(*meter_, *watched_, objectives));
  std::map<std::string, std::vector<QualityObjective>> quality;
  for (const auto& [name, model] : models_) quality[name] = model.config.objectives.quality;
  watches_.push_back(std::make_unique<QualityWatch>(
      [this](const std::string& model) { return EvidenceOf(model); }, *watched_, quality));
  watches_.push_back(
      std::make_unique<SchemaWatch>([this] { return schemas_.Counts(); }, *watched_));
  if (!options_.times_known) return;
  watches_.push_back(std::make_unique<TrafficWatch>(*meter_, *watched_, objectives,
                                                    [](const std::string&) { return true; }));
}

void WatchProof::Fold(const VersionKey& key, const PredictionEvent& event) {
  auto found = versions_.find(key);
  if (found == versions_.end()) return;
  Version& version = found->second;
  const MonitorConfig& config = models_.at(key.first).config;
  version.profile.Fold(event, wall_, now_);
  if (!event.features.empty()) {
    version.has_inputs = true;
    if (!version.schema) version.schema = schemas_.Find(key, config, now_);
    if (version.schema) version.schema->Fold(event, wall_, now_);
  }
  for (const LabelJoin::Joined& joined : labels_.Join(key, event)) {
    version.profile.AddJoined(joined, wall_, now_);
    version.quality.Add(joined, config.task);
  }
}

void WatchProof::Take(const AlarmTransition& transition) {
  const Alarm& alarm = transition.alarm;
  Told& told = told_[alarm.finding.subject];
  if (transition.to == AlarmState::kFiring && transition.from != AlarmState::kFiring) {
    ++told.firings;
    ++report_.alarms;
    if (told.fired.size() == kMostTold) return;
    told.open = true;
    told.fired.push_back(
        {UnixMillis(wall_), 0, false, alarm.finding.severity, alarm.finding.summary});
  } else if (transition.from == AlarmState::kFiring && transition.to == AlarmState::kResolved &&
             std::exchange(told.open, false)) {
    told.fired.back().ended = true;
    told.fired.back().seconds =
        static_cast<double>(UnixMillis(wall_) - told.fired.back().unix_ms) / 1000;
  }
}

void WatchProof::Record() {
  if (look_ == 0) return;
  const uint32_t slot = look_ - 1;
  for (const auto& [name, versions] : meter_->Look(now_)) {
    Model& model = models_.at(name);
    ObjectiveCounts requests, errors, slow, wrong;
    for (const VersionCounts& version : versions) {
      const VersionTotals& more = version.totals;
      const Objectives& asked = model.config.objectives;
      AddTo(requests, {more.requests, 0});
      AddTo(errors, BurnRateWatch::Count(BurnRateWatch::Of::kErrors, more, asked));
      AddTo(slow, BurnRateWatch::Count(BurnRateWatch::Of::kLatency, more, asked));
      AddTo(wrong, {more.labelled_requests, more.wrong_requests});
    }
    model.requests.Add(slot, requests);
    model.errors.Add(slot, errors);
    model.slow.Add(slot, slow);
    model.wrong.Add(slot, wrong);
    if (wrong.total == 0) continue;
    const std::vector<QualityEvidence> evidence = EvidenceOf(name);
    for (size_t i = 0; i < model.quality.size(); ++i) {
      ObjectiveCounts sums;
      for (const QualityEvidence& of : evidence)
        AddTo(sums, QualityWatch::SharesOf(model.config.objectives.quality[i], of));
      const ObjectiveCounts before = std::exchange(model.quality_before[i], sums);
      model.quality[i].Add(slot, {sums.total - before.total, sums.bad - before.bad});
    }
  }
  for (auto& [key, version] : versions_) {
    const RowCheck* check = version.schema ? version.schema->check() : nullptr;
    if (check == nullptr) continue;
    version.broken.Add(slot,
                       {check->rows() - version.rows, check->violating() - version.violating});
    version.rows = check->rows();
    version.violating = check->violating();
    version.accepted_share = version.schema->accepted_share();
  }
}

void WatchProof::Look() {
  now_ = kBegin + Seconds(look_ * look_seconds_);
  wall_ = FromUnixMillis(first_ms_) + Seconds(look_ * look_seconds_);
  std::vector<Finding> findings;
  for (const auto& watch : watches_) {
    std::vector<Finding> more = watch->Look(wall_, now_);
    std::move(more.begin(), more.end(), std::back_inserter(findings));
  }
  Record();
  for (const AlarmTransition& transition : book_.Step(findings, wall_, now_)) Take(transition);
  ++look_;
}

WatchReport WatchProof::Run(const std::map<VersionKey, RequestHistory>& histories,
                            const std::map<std::string, MonitorConfig>& configs) {
  int64_t last_ms = INT64_MIN;
  first_ms_ = INT64_MAX;
  for (const auto& [key, history] : histories) {
    if (history.size() == 0) continue;
    auto config = configs.find(key.first);
    Model& model = models_[key.first];
    if (config != configs.end()) model.config = config->second;
    model.quality.resize(model.config.objectives.quality.size());
    model.quality_before.resize(model.quality.size());
    if (!model.config.enabled) continue;
    versions_.try_emplace(key, key, model.config);
    first_ms_ = std::min(first_ms_, history.unix_ms(0));
    last_ms = std::max(last_ms, history.unix_ms(history.size() - 1));
  }
  if (versions_.empty()) {
    Report(0);
    return std::move(report_);
  }
  const double span = static_cast<double>(last_ms - first_ms_) / 1000;
  const double live = std::max(ToSeconds(options_.interval), 1.0);
  const double most = kMostLooks / static_cast<double>(versions_.size());
  look_seconds_ = live * std::max(std::ceil(span / live / most), 1.0);

  AddWatches();
  Look();
  ReplayInOrder(histories, [&](const VersionKey& key, const PredictionEvent& event) {
    const double at = static_cast<double>(event.unix_ms - first_ms_) / 1000;
    while (at >= look_ * look_seconds_) Look();
    now_ = kBegin + Seconds(at);
    wall_ = FromUnixMillis(event.unix_ms);
    Fold(key, event);
  });
  Look();
  for (auto& [subject, told] : told_) {
    if (told.open)
      told.fired.back().seconds = static_cast<double>(last_ms - told.fired.back().unix_ms) / 1000;
  }
  report_.days = span / kDay;
  report_.look_seconds = look_seconds_;
  Report(look_ - 1);
  return std::move(report_);
}

void WatchProof::Report(uint32_t looks) {
  for (auto& [name, model] : models_) {
    if (!model.config.enabled) {
      AddOff(name);
      continue;
    }
    for (CountSeries* series : {&model.requests, &model.errors, &model.slow, &model.wrong})
      series->End(looks);
    for (CountSeries& series : model.quality) series.End(looks);
    ReportBurn(name, model, true);
    ReportBurn(name, model, false);
    ReportAccuracy(name, model);
    ReportQuality(name, model);
    ReportTraffic(name, model);
  }
  for (auto& [key, version] : versions_) {
    version.broken.End(looks);
    ReportSchema(key, version, models_.at(key.first));
  }
  for (QuietWatch& watch : report_.watches) {
    auto told = told_.find(watch.subject);
    if (told == told_.end()) continue;
    watch.firings = told->second.firings;
    watch.fired = std::move(told->second.fired);
  }
}

void WatchProof::AddOff(const std::string& model) {
  for (AlarmKind kind :
       {AlarmKind::kErrorBurn, AlarmKind::kLatencyBurn, AlarmKind::kAccuracy, AlarmKind::kQuality,
        AlarmKind::kTrafficStopped, AlarmKind::kSchemaViolation})
    Add(kind, model, "monitoring.enabled of the model is false");
}

QuietWatch& WatchProof::Add(AlarmKind kind, const std::string& model, const std::string& why_not) {
  QuietWatch& watch = report_.watches.emplace_back();
  watch.subject = {.kind = kind, .model = model, .of = ""};
  watch.not_replayed = why_not;
  return watch;
}

ChangeSearch WatchProof::Search(double step_seconds) const {
  ChangeSearch search;
  search.look_seconds = look_seconds_;
  search.step_seconds = std::max(step_seconds, look_seconds_);
  search.most_days = std::clamp<size_t>(kMostDaysOfAll / models_.size(), 1, kMostDays);
  return search;
}

/// `what`: "answers", that are counted.
void WatchProof::Say(QuietWatch& watch, const SmallestChange& change, const CountSeries& series,
                     const char* what) {
  const double bad = BadShare(series);
  watch.usual = bad;
  watch.unit = "points";
  if (change.share) {
    watch.smallest = *change.share * (1 - bad);
    watch.found = bad + *watch.smallest;
    return;
  }
  if (change.days == 0) {
    watch.none_because = "its alarm fires on each of the days that were tried, without any change";
    return;
  }
  watch.none_because = StrCat("not even when all of the ", what, " are bad: too few come");
}

void WatchProof::ReportBurn(const std::string& name, const Model& model, bool errors) {
  const Objectives& asked = model.config.objectives;
  const CountSeries& series = errors ? model.errors : model.slow;
  std::string why_not;
  if (errors && asked.availability <= 0) {
    why_not = "monitoring.objectives.availability of the model is 0";
  } else if (errors && series.total().total == 0) {
    why_not = "the history does not say how requests ended (a log with a status does)";
  } else if (!errors && !asked.latency) {
    why_not =
        "no latency is asked for: monitoring.objectives.latency of the model, with threshold and "
        "objective, in --config";
  } else if (!errors && series.total().total == 0) {
    why_not = "the history does not say how long requests took: its format has no latency";
  }
  const AlarmKind kind = errors ? AlarmKind::kErrorBurn : AlarmKind::kLatencyBurn;
  QuietWatch& watch = Add(kind, name, why_not);
  if (!why_not.empty() || !options_.search) return;
  const auto of = errors ? BurnRateWatch::Of::kErrors : BurnRateWatch::Of::kLatency;
  Say(watch,
      FindSmallestChange([&] { return MakeBurnRateRig(of, asked, options_.book); }, series,
                         Search(kMinute)),
      series, "answers");
}

void WatchProof::ReportAccuracy(const std::string& name, const Model& model) {
  const Objectives& asked = model.config.objectives;
  std::string why_not;
  if (asked.accuracy <= 0 || asked.accuracy >= 1) {
    why_not = "no accuracy is asked for: monitoring.objectives.accuracy of the model, in --config";
  } else if (model.wrong.total().total == 0) {
    why_not =
        "the history has no labels (of logs: --field label=WHERE; of a table: --label-column)";
  }
  QuietWatch& watch = Add(AlarmKind::kAccuracy, name, why_not);
  if (!why_not.empty() || !options_.search) return;
  Say(watch,
      FindSmallestChange([&] { return MakeAccuracyRig(asked, options_.book); }, model.wrong,
                         Search(kTenMinutes)),
      model.wrong, "labelled answers");
  watch.usual = 1 - *watch.usual;
  if (watch.found) watch.found = 1 - *watch.found;
}

void WatchProof::ReportQuality(const std::string& name, const Model& model) {
  const std::vector<QualityObjective>& asked = model.config.objectives.quality;
  if (asked.empty()) {
    Add(AlarmKind::kQuality, name,
        "no measure is asked for: monitoring.objectives.quality of the model, in --config");
    return;
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    const QualityObjective& objective = asked[i];
    const bool of_errors = objective.measure == QualityObjective::Measure::kMeanAbsoluteError;
    std::string why_not;
    if (model.wrong.total().total == 0) {
      why_not =
          "the history has no labels (of logs: --field label=WHERE; of a table: --label-column)";
    } else if (!of_errors && model.quality[i].total().total == 0) {
      why_not = StrCat("no label or answer of the history is ", objective.of_class);
    }
    QuietWatch& watch = Add(AlarmKind::kQuality, name, why_not);
    watch.subject.of = QualityWatch::NameOf(objective);
    if (!why_not.empty() || !options_.search) continue;
    if (of_errors) {
      ReportError(name, objective, watch);
      continue;
    }
    const CountSeries& series = model.quality[i];
    const SmallestChange change = FindSmallestChange(
        [&] { return MakeQualityRig(objective, options_.book); }, series, Search(kTenMinutes));
    Say(watch, change, series, "requests that the measure counts");
    watch.usual = QualityWatch::MeasureOf(objective.measure, 1 - *watch.usual);
    if (!watch.found) continue;
    watch.found = QualityWatch::MeasureOf(objective.measure, 1 - *watch.found);
    watch.smallest = *watch.usual - *watch.found;
  }
}

/// The detector's own formula, of a day of labels that are all of the change: errors that are larger by a factor have a mean and a
/// margin that are.
void WatchProof::ReportError(const std::string& name, const QualityObjective& objective,
                             QuietWatch& watch) {
  RegressionErrors errors;
  for (const QualityEvidence& of : EvidenceOf(name)) errors.Merge(of.errors);
  watch.by_formula = true;
  watch.unit = "of the error";
  if (errors.count() < 2) {
    watch.not_replayed = "the history has no answers and labels that are numbers";
    return;
  }
  const double mean = errors.MeanAbsolute();
  watch.usual = mean;
  const double a_day = errors.count() / std::max(report_.days, 1.0);
  const double margin =
      QualityWatch::kDeviations * errors.AbsoluteDeviation() / std::sqrt(std::max(a_day - 1, 1.0));
  if (a_day < QualityWatch::kLeastErrors) {
    watch.none_because =
        StrCat("too few labels a day: ", QualityWatch::kLeastErrors, " are the least");
  } else if (mean <= margin) {
    watch.none_because = "errors vary so much that a day of them says too little of their mean";
  } else {
    const double factor = objective.at_most / (mean - margin);
    watch.found = std::max(factor, 1.0) * mean;
    watch.smallest = *watch.found - mean;
  }
}

void WatchProof::ReportTraffic(const std::string& name, const Model& model) {
  std::string why_not;
  if (!model.config.objectives.traffic) {
    why_not = "monitoring.objectives.traffic of the model is false";
  } else if (!options_.times_known) {
    why_not = "when the requests came is not known: --requests-per-day has spread them evenly";
  } else if (model.requests.total().total < TrafficWatch::kEnoughRequests) {
    why_not = StrCat("too few requests: ", model.requests.total().total, " of ",
                     TrafficWatch::kEnoughRequests, " that an hour must have");
  }
  QuietWatch& watch = Add(AlarmKind::kTrafficStopped, name, why_not);
  if (!why_not.empty() || !options_.search) return;
  watch.unit = "seconds";
  const StopFound stop =
      FindStop([&] { return MakeTrafficRig(model.config.objectives, options_.book); },
               model.requests, look_seconds_);
  if (2 * stop.found > stop.moments) {
    watch.smallest = stop.middle_seconds;
    watch.longest = stop.longest_seconds;
  }
  if (stop.found < stop.moments) {
    watch.none_because =
        StrCat("a stop is not found within a day at ", stop.moments - stop.found, " of the ",
               stop.moments, " moments tried: too little comes in the hour before");
  } else if (stop.moments == 0) {
    watch.none_because = "its alarm fires at each of the moments that were tried, without any stop";
  }
}

void WatchProof::ReportSchema(const VersionKey& key, const Version& version, const Model& model) {
  std::string why_not;
  if (!model.config.schema.enabled) {
    why_not = "monitoring.schema.enabled of the model is false";
  } else if (!version.has_inputs) {
    why_not = "the history has no inputs (of logs: --field feature.NAME=WHERE, or features)";
  } else if (!version.schema) {
    why_not = "there are too many versions: further ones are not checked";
  } else if (version.schema->check() == nullptr) {
    why_not = StrCat("too few rows to learn the schema of: ", version.schema->collected(), " of ",
                     version.schema->wanted(),
                     "; a schema of a file (monitoring.schema.path) needs none");
  } else if (version.broken.total().total == 0) {
    why_not = "no row came after those that the schema is learnt of";
  }
  QuietWatch& watch = Add(AlarmKind::kSchemaViolation, key.first, why_not);
  watch.subject.version = key.second;
  if (!why_not.empty() || !options_.search) return;
  const double accepted = version.accepted_share;
  const SmallestChange change = FindSmallestChange(
      [&] { return MakeSchemaRig(accepted, options_.book); }, version.broken, Search(kTwoMinutes));
  Say(watch, change, version.broken, "rows");
  if (!change.share && change.days > 0)
    watch.none_because =
        StrCat("too few rows come in ten minutes: ", SchemaWatch::kEnoughRows, " are the least");
}

}  // namespace leadsman
