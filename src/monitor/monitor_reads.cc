#include <algorithm>
#include <map>
#include <numeric>

#include "base/log.h"
#include "base/strings.h"
#include "monitor/finding.h"
#include "monitor/monitor_impl.h"
#include "monitor/quality/quality_report.h"
#include "monitor/quality/quality_watch.h"
#include "monitor/schema/schema_reports.h"
#include "monitor/schema/schema_watch.h"
#include "monitor/watched_time.h"

namespace leadsman {
namespace {

constexpr size_t kMaxWindowsRead = 20'000;  // one answer: the admin API makes it on its only thread

}  // namespace

VersionTotals Monitor::Totals(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.find({model, version});
  if (it == impl_->versions.end()) return {};
  VersionTotals totals = it->second->profile.Totals();
  const LossTotals& losses = it->second->profile.losses();
  if (it->second->model.loss == losses.measure) totals.losses = losses;
  return totals;
}

std::map<std::string, Monitor::SegmentTotals> Monitor::TotalsBySegment(const std::string& model,
                                                                       int64_t version) const {
  std::map<std::string, SegmentTotals> totals;
  MutexLock lock(impl_->state_mutex);
  const auto it = impl_->versions.find({model, version});
  if (it == impl_->versions.end()) return totals;
  for (const auto& [rule, segments] : it->second->detail.segments().counts()) {
    for (const auto& [segment, counts] : segments) {
      totals[StrCat(rule, "=", segment)] = {
          counts.drawn_requests, counts.drawn_errors, counts.drawn_labelled, counts.drawn_wrong,
          std::accumulate(counts.requests.begin(), counts.requests.end(), uint64_t{0})};
    }
  }
  return totals;
}

std::vector<std::pair<std::string, int64_t>> Monitor::Versions() const {
  std::vector<std::pair<std::string, int64_t>> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, state] : impl_->versions) all.push_back(key);
  return all;
}

std::vector<ObservedVersion> Monitor::Observed() const {
  std::vector<ObservedVersion> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, state] : impl_->versions) {
    const ObservedTotals* totals = state->profile.observed();
    if (totals == nullptr) continue;
    const VersionTotals sums = state->profile.Totals();
    all.push_back({key.first, key.second, *totals, state->profile.Predicted(), sums.labelled,
                   sums.wrong, impl_->clock.Now() - (impl_->clock.SteadyNow() - state->last_used)});
  }
  return all;
}

std::vector<ObservedBefore> Monitor::Before() const {
  std::vector<ObservedBefore> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, seen] : impl_->seen_before) {
    if (!seen.observed) continue;
    auto now = impl_->versions.find(key);
    if (now != impl_->versions.end() && now->second->profile.observed() != nullptr) continue;
    all.push_back({key.first, key.second, FromUnixMillis(seen.last_ms)});
  }
  return all;
}

bool Monitor::WasObserved(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto before = impl_->seen_before.lower_bound({model, INT64_MIN});
  for (; before != impl_->seen_before.end() && before->first.first == model; ++before) {
    if (before->second.observed) return true;
  }
  auto now = impl_->versions.lower_bound({model, INT64_MIN});
  for (; now != impl_->versions.end() && now->first.first == model; ++now) {
    if (now->second->profile.observed() != nullptr) return true;
  }
  return false;
}

CountStore& Monitor::counts() { return impl_->counts; }

bool Monitor::Knows(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.lower_bound({model, INT64_MIN});
  return it != impl_->versions.end() && it->first.first == model;
}

std::map<int64_t, std::vector<WindowSummary>> Monitor::Windows(const std::string& model,
                                                               WallTime from) const {
  std::map<int64_t, std::vector<WindowSummary>> windows;
  bool older_on_disk = false;
  {
    MutexLock lock(impl_->state_mutex);
    older_on_disk = from < impl_->in_memory_from;
    auto it = impl_->versions.lower_bound({model, INT64_MIN});
    for (; it != impl_->versions.end() && it->first.first == model; ++it) {
      const VersionProfile& profile = it->second->profile;
      for (const WindowSummary& w : profile.closed()) {
        if (w.start >= from) windows[it->first.second].push_back(w);
      }
      older_on_disk = older_on_disk || (profile.forgot_windows() && !profile.closed().empty() &&
                                        profile.closed().front().start > from);
    }
  }
  if (!impl_->database || !older_on_disk) return windows;
  auto stored = impl_->database->ReadWindows(model, UnixMillis(from), kMaxWindowsRead);
  if (!stored.ok()) {
    LOG_WARN("older windows cannot be read", {"model", model}, {"reason", stored.status()});
    return windows;
  }
  std::map<int64_t, std::vector<WindowSummary>> older;
  for (auto& [key, window] : *stored) {
    auto in_memory = windows.find(key.second);
    if (in_memory != windows.end() && window.start >= in_memory->second.front().start) continue;
    older[key.second].push_back(std::move(window));
  }
  for (auto& [version, list] : windows) {
    auto& all = older[version];
    std::move(list.begin(), list.end(), std::back_inserter(all));
  }
  return older;
}

Result<std::string> Monitor::ProfileJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.find({model, version});
  if (it == impl_->versions.end()) {
    return NotFoundError(StrCat("no profile of model ", model, " version ", version,
                                ": it has served no request yet"));
  }
  auto names = impl_->names.Of(model);
  return it->second->profile.ToJson(names && names->named() ? names->names()
                                                            : std::vector<std::string>());
}

Result<std::string> Monitor::QualityJson(const std::string& model, int64_t version) const {
  std::function<std::string()> report;
  {
    MutexLock lock(impl_->state_mutex);
    auto it = impl_->versions.find({model, version});
    if (it == impl_->versions.end()) {
      return NotFoundError(StrCat("nothing is known of model ", model, " version ", version,
                                  ": it has served no request yet"));
    }
    Impl::VersionState& state = *it->second;
    report = QualityReport(version, state.profile.quality(), state.detail,
                           UnixMillis(impl_->clock.Now()));
  }
  return report();
}

uint64_t Monitor::LabelsMismatched(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto of = impl_->labels_mismatched.find(model);
  return of != impl_->labels_mismatched.end() ? of->second : 0;
}

std::vector<QualityEvidence> Monitor::EvidenceOf(const std::string& model) const {
  std::vector<QualityEvidence> all;
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.lower_bound({model, INT64_MIN});
  for (; it != impl_->versions.end() && it->first.first == model; ++it) {
    const VersionQuality& quality = it->second->detail.quality();
    all.push_back({it->first.second, quality.Classes(), quality.request_errors()});
  }
  return all;
}

Result<std::string> Monitor::DriftJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->drifts.Json(model, version, impl_->clock.SteadyNow());
}

std::vector<int64_t> Monitor::DriftVersions(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->drifts.Versions(model);
}

Result<std::vector<int64_t>> Monitor::TakeReferenceAnew(const std::string& model,
                                                        std::optional<int64_t> version) {
  auto configured = impl_->configs.find(model);
  const MonitorConfig config =
      configured != impl_->configs.end() ? configured->second : MonitorConfig{};
  RETURN_IF_ERROR(impl_->ReadReference(model, config));
  MutexLock lock(impl_->state_mutex);
  std::vector<int64_t> versions =
      impl_->drifts.TakeAnew(model, version, config, impl_->clock.SteadyNow());
  if (!versions.empty()) return versions;
  return NotFoundError(StrCat("drift of ", version ? StrCat("version ", *version, " of ") : "",
                              "model ", model,
                              " is not looked for: it has served no request yet, "
                              "or monitoring.drift.enabled of the model is false"));
}

std::vector<std::string> Monitor::Notes() const {
  std::vector<std::string> notes;
  if (impl_->writer) {
    if (const auto trouble = impl_->writer->trouble())
      notes.push_back(StrCat("what was observed is kept in memory and not written since ",
                             FormatRfc3339(trouble->since), ": ", trouble->why));
  }
  MutexLock lock(impl_->state_mutex);
  for (const auto& [model, reason] : impl_->drifts.file_problems()) {
    notes.push_back(StrCat("drift of the inputs of ", model, " is not looked for: ", reason));
  }
  for (const auto& [model, reason] : impl_->schemas.file_problems()) {
    notes.push_back(StrCat("the inputs of ", model, " are held against no schema: ", reason));
  }
  if (!impl_->inputs_came) return notes;
  for (const std::string& input : impl_->names.NeverMet()) {
    notes.push_back(StrCat("monitor.redact: no request and no file has had the input ", input,
                           ": correct inputs; of requests that do not name their values, say its "
                           "place, as [3], or give a reference or schema file that names them"));
  }
  return notes;
}

Result<std::vector<int64_t>> Monitor::RelearnSchema(const std::string& model,
                                                    std::optional<int64_t> version) {
  auto configured = impl_->configs.find(model);
  if (configured != impl_->configs.end())
    RETURN_IF_ERROR(impl_->ReadSchema(model, configured->second));
  MutexLock lock(impl_->state_mutex);
  std::vector<int64_t> versions = impl_->schemas.Relearn(model, version);
  if (!versions.empty()) return versions;
  return NotFoundError(StrCat(version ? StrCat("version ", *version, " of ") : "", "model ", model,
                              " has no schema: it has served no request with inputs of numbers "
                              "yet, or monitoring.schema.enabled of the model is false"));
}

std::vector<IntervalProfile> Monitor::TakeIntervals() {
  MutexLock lock(impl_->state_mutex);
  std::vector<IntervalProfile> taken = std::move(impl_->intervals_of_gone);
  impl_->intervals_of_gone.clear();
  for (auto& [key, state] : impl_->versions) {
    if (auto interval = Impl::TakeInterval(*state)) taken.push_back(std::move(*interval));
  }
  return taken;
}

Result<ProfileReceipt> Monitor::AddProfiles(std::string_view message) {
  if (!impl_->edges)
    return UnimplementedError(
        "profiles of edges are not taken here: set monitor.edges, as in docs/edges.md");
  return impl_->edges->Add(message);
}

std::optional<std::vector<EdgeView>> Monitor::Edges() const {
  if (!impl_->edges) return std::nullopt;
  return impl_->edges->Views();
}

std::unique_ptr<Watch> Monitor::MakeDriftWatch() {
  class DriftWatch final : public Watch {
   public:
    explicit DriftWatch(Impl& impl) : impl_(impl) {}
    std::vector<Finding> Look(WallTime, SteadyTime now) override {
      MutexLock lock(impl_.state_mutex);
      return impl_.drifts.Look(now);
    }

   private:
    Impl& impl_;
  };
  return std::make_unique<DriftWatch>(*impl_);
}

Result<std::string> Monitor::SchemaJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->schemas.Json(model, version);
}

std::vector<int64_t> Monitor::SchemaVersions(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->schemas.Versions(model);
}

std::unique_ptr<SchemaWatch> Monitor::MakeSchemaWatch(const WatchedTime& watched) {
  return std::make_unique<SchemaWatch>(
      [impl = impl_.get()] {
        MutexLock lock(impl->state_mutex);
        return impl->schemas.Counts();
      },
      watched);
}

std::optional<Monitor::SharedLabels> Monitor::shared_labels() const {
  if (!impl_->redis) return std::nullopt;
  const RedisLabelStore::State state = impl_->redis->state();
  const RedisLabelStore::Counters counters = impl_->redis->counters();
  return SharedLabels{.address = impl_->redis->options().address,
                      .ready = state.ready,
                      .since = state.since,
                      .reason = std::string(state.why.message()),
                      .queued = counters.queued,
                      .lost = counters.predictions_lost};
}

Monitor::Counters Monitor::counters() const {
  MutexLock lock(impl_->state_mutex);
  const LabelJoin::Counters l = impl_->label_counters;
  Counters c;
  c.events = impl_->events;
  c.events_dropped = impl_->rings.dropped() + impl_->events_without_profile;
  c.labels_joined = l.joined;
  c.labels_unknown = l.unknown;
  c.labels_duplicate = l.duplicate;
  c.labels_conflicting = l.conflicting;
  c.labels_late = l.late;
  c.labels_mismatched = l.mismatched;
  c.labels_rejected = impl_->labels_rejected;
  c.labels_pending = impl_->labels_waiting;
  if (impl_->edges) {
    const EdgeBook::Counters edges = impl_->edges->counters();
    c.edge_messages = edges.intervals;
    c.edge_messages_lost = edges.lost;
  }
  c.database_errors = impl_->lookup_errors + (impl_->writer ? impl_->writer->errors() : 0);
  c.database_rows_lost = impl_->writer ? impl_->writer->rows_lost() : 0;
  if (impl_->redis) c.predictions_lost = impl_->redis->counters().predictions_lost;
  c.collector_cpu =
      Duration(impl_->collector_cpu_ns) + (impl_->writer ? impl_->writer->cpu() : Duration{});
  return c;
}

}  // namespace leadsman
