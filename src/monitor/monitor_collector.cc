#include <pthread.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"
#include "monitor/edges/profile_message.h"
#include "monitor/monitor_impl.h"
#include "stats/process_metrics.h"

namespace leadsman {
namespace {

/// A version that has been quiet for so long makes room for a new one when there are too many.
constexpr std::chrono::minutes kQuietVersion{1};
/// More rounds than all queues of labels together can need.
constexpr int kMaxForcedRounds = 1000;
/// Records folded under one hold of the state lock.
constexpr size_t kFoldBatch = 256;
constexpr std::chrono::milliseconds kIdlePoll{50};
/// For a store of labels on another machine, when everything is to be written: at a stop, and when somebody waits. The
/// collector waits as well, so that it may not be long.
constexpr std::chrono::seconds kSettleAtStop{2};
constexpr std::chrono::milliseconds kSettle{200};
/// How often it is written that a version is still there.
constexpr std::chrono::minutes kKeepSeen{1};

/// Where to look first for an event's version: names differ in length and at their ends.
size_t NameSlot(const PredictionEvent& event) {
  const std::string_view name = event.model;
  if (name.empty()) return 0;
  const auto first = static_cast<unsigned char>(name.front());
  const auto last = static_cast<unsigned char>(name.back());
  return name.size() * 7 + first * 3 + last + static_cast<size_t>(event.version) * 5;
}

}  // namespace

Monitor::Impl::~Impl() {
  registrations.clear();
  if (collector.joinable()) {
    {
      MutexLock lock(control_mutex);
      stop = true;
    }
    control_changed.NotifyAll();
    collector.join();
  }
}

void Monitor::Impl::Run() {
  Duration wait = options.poll;
  while (true) {
    uint64_t wanted;
    bool stopping;
    {
      MutexLock lock(control_mutex);
      if (flush_wanted == flush_done && !stop) control_changed.WaitFor(control_mutex, wait);
      wanted = flush_wanted;
      stopping = stop;
    }
    bool force = stopping || [&] {
      MutexLock lock(control_mutex);
      return wanted != flush_done;
    }();
    bool flushed = true;
    const Taken taken = Cycle(force, stopping, flushed);
    collector_cpu_ns = ThreadCpuTime().count();
    if (force) {
      MutexLock lock(control_mutex);
      flush_done = wanted;
      flush_ok = flushed;
      control_changed.NotifyAll();
    }
    if (stopping) return;
    wait = NextWait(wait, taken);
  }
}

/// So long that at the present rate an eighth of one ring is filled by all writers together: each look costs the CPU a
/// thread that sleeps and wakes, and an idle server is to use next to none.
Duration Monitor::Impl::NextWait(Duration last, const Taken& taken) const {
  if (!taken.settled) return options.poll;
  const Duration shortest = options.poll, longest = std::max(options.poll, kIdlePoll);
  const size_t wanted = options.ring_bytes / 8;
  if (taken.bytes * 2 <= wanted) return std::min(last * 2, longest);
  return std::clamp<Duration>(
      last * static_cast<int64_t>(wanted) / static_cast<int64_t>(taken.bytes), shortest, longest);
}

Monitor::Impl::Taken Monitor::Impl::Cycle(bool force_flush, bool stopping, bool& flushed) {
  wall_now = clock.Now();
  now = clock.SteadyNow();
  CloseWindows();
  std::vector<VersionKey> gone;  // told before what is drained now: their last events are in it
  {
    MutexLock lock(inbox_mutex);
    gone.swap(to_forget);
    for (auto& [key, stored] : counts_inbox) batch.counts.insert_or_assign(key, std::move(stored));
    counts_inbox.clear();
  }
  Taken taken;
  const SteadyTime until =
      SystemClock().SteadyNow() + (stopping ? Duration(kSettleAtStop) : Duration(kSettle));
  for (int round = 0; !taken.settled && round < (force_flush ? kMaxForcedRounds : 1); ++round) {
    taken.bytes += DrainRings();
    taken.settled = TakeLabels();
    taken.settled = join->Resolve(wall_now, now) && taken.settled;
    FoldJoined();
    if (force_flush && redis && !SettleLabels(until)) break;
  }
  FoldProfiles();
  ForgetVersions(gone);
  if (stopping) CutWindows();
  CollectDrift(stopping);
  flushed = WriteDatabase(force_flush);
  // What Redis has not yet is no matter of `flushed`: logs would be read again for it.
  if (stopping && redis) SettleLabels(until);
  return taken;
}

/// Redis has answered everything and keeps everything; false when it has not by then.
bool Monitor::Impl::SettleLabels(SteadyTime until) {
  return redis->Settle(std::chrono::duration_cast<std::chrono::milliseconds>(
      std::max(until - SystemClock().SteadyNow(), Duration::zero())));
}

size_t Monitor::Impl::DrainRings() {
  size_t bytes = 0;
  size_t records;
  // A bound, for writers may be as fast as this thread for a while and labels wait their turn.
  for (int round = 0; round < 1000; ++round) {
    MutexLock lock(state_mutex);
    records = rings.Drain(
        [this, &bytes](const std::byte* record, size_t size) NO_THREAD_SAFETY_ANALYSIS {
          FoldRecord(record);
          bytes += size;
        },
        kFoldBatch);
    if (records == 0) break;
  }
  return bytes;
}

void Monitor::Impl::FoldRecord(const std::byte* record) {
  DecodeEvent(record, decoded);
  if (redactor != nullptr) Redact(decoded);
  const PredictionEvent& event = decoded.event;
  ++events;
  // Refused here before any version saw it. What a log names no version of was answered all the same.
  if (event.version == 0 && event.version_id == 0 && !event.observed) return;
  VersionState* state = Find(event);
  if (state == nullptr || !state->model.config.enabled) return;
  if (dropped != nullptr && !event.features.empty()) DropInputs(decoded.event, *state);
  if (!std::exchange(state->rows_kept, true)) KeepRows(state->profile.key(), true);
  state->last_used = now;
  state->profile.Fold(event, wall_now, now);
  if (!event.segments.empty()) {
    AdmitSegments(state->model);
    state->detail.AddRequest(state->model.segments, event.segments, ObservedOutcomeOf(event),
                             event.drawn);
  }
  FoldDrift(event, *state);
  FoldSchema(event, *state);
  if (auto closes = state->profile.closes(); closes && *closes < next_window_close) {
    next_window_close = *closes;
  }
  if (event.outcome != StatusCode::kOk || event.predicted.empty()) return;
  if (!event.labels.empty()) {
    JoinAtOnce(event, *state);
  } else if (!event.request_id.empty()) {
    KeepForLabels(event, *state);
  }
}

/// Before anything is counted by it or kept. What was dropped is as if the request had not had it.
void Monitor::Impl::Redact(DecodedEvent& of) {
  PredictionEvent& event = of.event;
  event.request_id = redactor->Apply(RequestText::kRequestId, event.request_id, redacted[0]);
  size_t next = 1;
  bool any = false;
  auto classes = [&](std::span<const std::string_view> given,
                     std::array<std::string_view, PredictionEvent::kMaxPredictions>& texts) {
    for (size_t i = 0; i < given.size(); ++i) {
      texts[i] = redactor->Apply(RequestText::kClass, given[i], redacted[next++]);
      any = any || !texts[i].empty();
    }
  };
  classes(event.predicted, of.predicted);
  if (!any) event.predicted = {};
  classes(event.labels, of.labels);
  for (size_t i = 0; i < event.segments.size(); ++i)
    of.segments[i] = redactor->Apply(RequestText::kSegment, event.segments[i], redacted[next++]);
}

/// Named values that are dropped have not come at all (FeatureNames); of a request without names they are taken out here, before
/// anything is made of them.
void Monitor::Impl::DropInputs(PredictionEvent& event, VersionState& state) {
  if (state.names == nullptr) state.names = names.Of(state.profile.key().first);
  event.features = state.names != nullptr
                       ? state.names->WithoutDropped(event.features, event.observed, kept_inputs)
                       : std::span<const float>();  // too many models: nobody knows their names
  if (std::exchange(inputs_came, true)) return;
  if (const std::vector<std::string> never = names.NeverMet(); !never.empty())
    LOG_WARN("monitor.redact drops inputs that no request and no file has had so far",
             {"inputs", HumanList(never)},
             {"known", HumanList(state.names ? state.names->names() : never)});
}

/// Whether what is kept of a version for drift and schemas stays for good.
void Monitor::Impl::KeepRows(const VersionKey& key, bool keep) {
  if (writer) batch.drift[{key, std::string(DriftRow::kForgotten)}] = keep ? "" : "1";
}

void Monitor::Impl::FoldDrift(const PredictionEvent& event, VersionState& state) {
  if ((!state.drift || state.drift->retired) && now >= state.next_drift_try) {
    state.drift = drifts.Find(state.profile.key(), state.model.config, now);
    state.next_drift_try = now + std::chrono::seconds(1);
  }
  if (state.drift && !state.drift->retired) state.drift->Fold(event, wall_now, now);
}

void Monitor::Impl::FoldSchema(const PredictionEvent& event, VersionState& state) {
  if (event.features.empty()) return;
  if ((!state.schema || state.schema->retired) && now >= state.next_schema_try) {
    state.schema = schemas.Find(state.profile.key(), state.model.config, now);
    state.next_schema_try = now + std::chrono::seconds(1);
  }
  if (state.schema && !state.schema->retired) state.schema->Fold(event, wall_now, now);
}

/// Into the next batch: references and schemas that are new, and now and then the evidence.
void Monitor::Impl::CollectDrift(bool evidence) {
  if (!writer) return;
  evidence = evidence || now >= next_evidence;
  if (!evidence && now - last_write < options.flush) return;
  if (evidence) {
    next_evidence = now + kKeepEvidence;
    purge_forgotten = true;
  }
  // In the same transaction as what goes by them.
  for (auto& name : names.TakeNew()) batch.names[{name.model, name.place}] = std::move(name.name);
  std::vector<DriftRow> rows;
  MutexLock lock(state_mutex);
  if (evidence) {
    // Before the database does: what comes back later is written anew.
    drifts.DropForgotten(now - kKeepForgotten);
    schemas.DropForgotten(now - kKeepForgotten);
  }
  drifts.Collect(evidence, now, rows);
  schemas.Collect(rows);
  for (DriftRow& row : rows) batch.drift[{row.key, row.what}] = std::move(row.bytes);
}

std::optional<IntervalProfile> Monitor::Impl::TakeInterval(VersionState& state) {
  auto interval = state.profile.TakeInterval();
  if (interval) interval->labels = state.detail.TakeInterval();
  return interval;
}

/// One at a time, so that a long one of many versions holds nobody up for long.
void Monitor::Impl::FoldProfiles() {
  if (!edges) return;
  for (EdgeIntake::Message& message : edges->TakeAll()) {
    auto header = ReadProfileMessage(message.bytes, [this](IntervalProfile&& profile) {
      MutexLock lock(state_mutex);
      FoldProfile(std::move(profile));
    });
    CHECK(header.ok());  // as it was when it was taken
    if (database) {
      batch.edges[{message.mark.edge, message.mark.process}] = std::move(message.mark);
    }
  }
}

void Monitor::Impl::FoldProfile(IntervalProfile&& profile) {
  if (redactor != nullptr) {
    for (auto& [name, count] : profile.classes)
      name = redactor->Apply(RequestText::kClass, name, redacted[0]);
    std::erase_if(profile.classes, [](const auto& of) { return of.first.empty(); });
    // What labels tell of classes has their names in many places: rules of the edge are for that.
    if (redactor->Touches(RequestText::kClass)) profile.labels.reset();
  }
  if (dropped != nullptr) {
    // Places of another process: which of its values they are is not known. Rules of the edge are for that.
    profile.content.features.clear();
    profile.content.variety.clear();
  }
  const VersionKey key(profile.model, profile.version);
  VersionState* state = FindByKey(key, false);
  if (state == nullptr) {
    profile_requests_lost += profile.requests.total();
    return;
  }
  if (!state->model.config.enabled) return;
  state->last_used = now;
  state->profile.Merge(profile, wall_now, now);
  next_window_close = std::min(next_window_close, *state->profile.closes());
  if (profile.labels) state->detail.Merge(*profile.labels);
  if (profile.quality.labelled > 0) batch.quality[key] = state->profile.quality();
}

/// In place: what is kept with the prediction is what was counted.
void Monitor::Impl::AdmitSegments(ModelState& model) {
  const size_t count = std::min(decoded.event.segments.size(), model.segments.rules().size());
  for (size_t i = 0; i < count; ++i) {
    decoded.segments[i] = model.segments.Admit(i, decoded.segments[i]);
  }
}

void Monitor::Impl::KeepForLabels(const PredictionEvent& event, VersionState& state) {
  ModelState& model = state.model;
  double weight = model.sampler.Weigh(event.request_id, event.predicted.size(), now);
  if (weight <= 0) return;
  for (size_t row = 0; row < event.predicted.size(); ++row) {
    if (event.predicted[row].empty()) continue;
    KeptPrediction kept = KeptOf(event, row, model, weight);
    const int64_t at_ms = kept.at_ms;
    if (join->AddPrediction(std::move(kept), wall_now, now))
      state.detail.AddKept(at_ms, weight, UnixMillis(wall_now));
  }
}

KeptPrediction Monitor::Impl::KeptOf(const PredictionEvent& event, size_t row,
                                     const ModelState& model, double weight) const {
  int64_t at_ms = event.unix_ms > 0 ? event.unix_ms : UnixMillis(wall_now);
  int64_t timeout_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(model.config.label_timeout).count();
  const bool scored = row < event.row_scores.size();
  const auto classes =
      scored && event.row_scores[row] >= 0 ? event.class_scores.of(row) : std::span<const float>();
  return KeptPrediction{std::string(event.request_id), static_cast<uint32_t>(row),
                        std::string(event.model), event.version, std::string(event.predicted[row]),
                        scored ? double{event.row_scores[row]} : -1.0, at_ms, at_ms + timeout_ms,
                        weight, event.drawn, event.answer,
                        scored ? event.score_of : ScoreOf::kNothing,
                        // Segments are of the first row.
                        row == 0 ? KeptSegments(model.segments, event.segments) : "",
                        std::vector<float>(classes.begin(), classes.end())};
}

void Monitor::Impl::JoinAtOnce(const PredictionEvent& event, VersionState& state) {
  const int64_t at_ms = event.unix_ms > 0 ? event.unix_ms : UnixMillis(wall_now);
  for (size_t row = 0; row < event.predicted.size(); ++row) {
    if (event.predicted[row].empty()) continue;
    state.detail.AddKept(at_ms, 1, UnixMillis(wall_now));
    if (row >= event.labels.size() || event.labels[row].empty()) continue;
    auto joined =
        join->JoinAtOnce(KeptOf(event, row, state.model, 1), std::string(event.labels[row]));
    if (joined) CountJoined(*joined, state);
  }
}

bool Monitor::Impl::IsOf(const VersionState& state, const PredictionEvent& event) {
  const VersionKey& key = state.profile.key();
  return key.second == event.version && key.first == event.model;
}

Monitor::Impl::VersionState* Monitor::Impl::Find(const PredictionEvent& event) {
  const bool has_id = event.version_id != 0;
  if (has_id && event.version_id == last_id) return last_state;
  VersionState*& named = by_name[NameSlot(event) % by_name.size()];
  VersionState* state = nullptr;
  if (has_id) {
    auto it = by_id.find(event.version_id);
    if (it != by_id.end()) state = it->second;
  } else if (named != nullptr && IsOf(*named, event)) {
    return named;
  }
  if (state == nullptr) {
    state = FindByKey({std::string(event.model), event.version}, false);
    if (state == nullptr) {
      ++events_without_profile;
      return nullptr;
    }
    if (has_id) by_id[event.version_id] = state;
  }
  if (!has_id) return named = state;
  last_id = event.version_id;
  last_state = state;
  return state;
}

Monitor::Impl::VersionState* Monitor::Impl::FindByKey(const VersionKey& key, bool restoring) {
  auto it = versions.find(key);
  if (it != versions.end()) return it->second.get();
  if (versions.size() >= kMaxVersions && !MakeRoom()) {
    if (!restoring && !std::exchange(told_of_limit, true)) {
      LOG_WARN("too many model versions to monitor; further ones are not profiled",
               {"limit", kMaxVersions}, {"model", key.first}, {"version", key.second});
    }
    return nullptr;
  }
  ModelState& model = ModelOf(key.first);
  auto state = std::make_unique<VersionState>(key, model);
  if (options.keep_intervals) {
    state->profile.KeepIntervals();
    state->detail.KeepIntervals();
  }
  if (auto gone = quality_of_gone.find(key); gone != quality_of_gone.end()) {
    state->profile.Restore(gone->second.quality);
    state->profile.Restore(gone->second.losses);
    state->detail.Restore(gone->second.detail, model.segments);
    quality_of_gone.erase(gone);
    std::erase(gone_in_order, key);
  }
  return versions.emplace(key, std::move(state)).first->second.get();
}

Monitor::Impl::ModelState& Monitor::Impl::ModelOf(const std::string& name) {
  const auto model = models.find(name);
  if (model != models.end()) return model->second;
  const auto config = configs.find(name);
  return models.try_emplace(name, config != configs.end() ? config->second : MonitorConfig{})
      .first->second;
}

/// Lets the version go that has been quiet for the longest; false when all are busy.
bool Monitor::Impl::MakeRoom() {
  auto quietest = std::min_element(
      versions.begin(), versions.end(),
      [](const auto& a, const auto& b) { return a.second->last_used < b.second->last_used; });
  SteadyTime last_used = quietest->second->last_used;
  if (last_used != SteadyTime::min() && now - last_used < kQuietVersion) return false;
  Drop(quietest);
  return true;
}

/// What its open window holds is written, its quality kept; the rest goes.
void Monitor::Impl::Drop(std::map<VersionKey, std::unique_ptr<VersionState>>::iterator version) {
  VersionState* state = version->second.get();
  if (auto summary = state->profile.CutWindow(now)) {
    batch.windows.emplace_back(version->first, std::move(*summary));
  }
  if (auto interval = TakeInterval(*state)) {
    if (intervals_of_gone.size() < kMaxVersions) {
      intervals_of_gone.push_back(std::move(*interval));
    } else {
      profile_requests_lost += interval->requests.total();
    }
  }
  if (state->detail.Changed(SteadyTime::max())) {
    batch.details[version->first] = state->detail.Take(now);
  }
  quality_of_gone[version->first] = {state->profile.quality(), state->profile.losses(),
                                     state->detail.Take(now)};
  gone_in_order.push_back(version->first);
  if (gone_in_order.size() > kMaxVersions) {
    quality_of_gone[gone_in_order[gone_in_order.size() - kMaxVersions - 1]].detail = {};
  }
  if (gone_in_order.size() > kMaxSeen) {
    // What has had labels is kept: the database has its sum, which goes on when it comes back.
    auto oldest = quality_of_gone.find(gone_in_order.front());
    if (oldest != quality_of_gone.end() && oldest->second.quality.labelled_requests == 0 &&
        oldest->second.quality.labelled == 0)
      quality_of_gone.erase(oldest);
    gone_in_order.pop_front();
  }
  drifts.Forget(version->first);
  schemas.Forget(version->first);
  KeepRows(version->first, false);
  std::erase_if(by_id, [state](const auto& entry) { return entry.second == state; });
  std::replace(by_name.begin(), by_name.end(), state, static_cast<VersionState*>(nullptr));
  if (last_state == state) {
    last_id = 0;
    last_state = nullptr;
  }
  versions.erase(version);
  in_memory_from = WallTime::max();
}

void Monitor::Impl::ForgetVersions(const std::vector<VersionKey>& gone) {
  if (gone.empty()) return;
  MutexLock lock(state_mutex);
  for (const VersionKey& key : gone) {
    auto it = versions.find(key);
    if (it != versions.end()) Drop(it);
  }
}

/// False when some have to wait for the next round.
bool Monitor::Impl::TakeLabels() {
  if (join->full()) return false;
  std::vector<GroundTruth> labels;
  {
    MutexLock lock(inbox_mutex);
    labels.swap(inbox);
  }
  for (GroundTruth& label : labels) {
    if (redactor != nullptr) {
      label.request_id = redactor->Apply(RequestText::kRequestId, label.request_id, redacted[0]);
      label.label = redactor->Apply(RequestText::kClass, label.label, redacted[1]);
    }
    join->AddLabel(std::move(label), wall_now, now);
  }
  return true;
}

void Monitor::Impl::CountJoined(const LabelJoin::Joined& joined, VersionState& state) {
  state.last_used = now;
  state.profile.AddJoined(joined, wall_now, now);
  state.detail.AddJoined(joined, state.model.config.task, state.model.segments);
  if (state.drift && joined.first_of_request()) state.drift->AddLabel(joined.wrong, wall_now, now);
  next_window_close = std::min(next_window_close, *state.profile.closes());
  batch.quality[joined.version()] = state.profile.quality();
  if (!state.model.loss || !joined.first_of_request()) return;
  state.profile.AddLoss(joined, *state.model.loss);
  batch.losses[joined.version()] = state.profile.losses().ToBytes();
}

void Monitor::Impl::FoldJoined() {
  std::vector<LabelJoin::Joined> joined = join->TakeJoined();
  auto append = [](auto& to, auto from) {
    if (to.empty()) {
      to = std::move(from);
    } else {
      std::move(from.begin(), from.end(), std::back_inserter(to));
    }
  };
  if (own_labels) {
    append(batch.predictions, own_labels->TakePredictions());
    append(batch.marks, own_labels->TakeMarks());
  }
  if (labelled) {
    for (const LabelJoin::Joined& j : joined) {
      const KeptPrediction& p = j.prediction;
      labelled({p.model, p.version, p.request_id, p.row, j.label, j.wrong});
    }
  }
  MutexLock lock(state_mutex);
  for (const LabelJoin::Joined& j : joined) {
    VersionState* state = FindByKey(j.version(), false);
    if (state != nullptr) CountJoined(j, *state);
  }
  if (join->counters().mismatched != label_counters.mismatched)
    labels_mismatched = join->Mismatched();
  label_counters = join->counters();
  labels_waiting = join->waiting();
  lookup_errors = own_labels ? own_labels->errors() : 0;
}

void Monitor::Impl::CloseWindows() {
  if (now < next_window_close) return;
  MutexLock lock(state_mutex);
  next_window_close = SteadyTime::max();
  for (auto& [key, state] : versions) {
    if (auto summary = state->profile.CloseWindow(now)) {
      batch.windows.emplace_back(key, std::move(*summary));
    }
    if (auto closes = state->profile.closes()) {
      next_window_close = std::min(next_window_close, *closes);
    }
  }
}

/// The end: what the open windows hold is written too.
void Monitor::Impl::CutWindows() {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    if (auto summary = state->profile.CutWindow(now)) {
      batch.windows.emplace_back(key, std::move(*summary));
    }
  }
}

/// Into the batch that is about to be offered. `force`: all that has changed.
void Monitor::Impl::CollectDetails(bool force) {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    if (state->detail.Changed(force ? SteadyTime::max() : now)) {
      batch.details[key] = state->detail.Take(now);
    }
  }
}

void Monitor::Impl::CollectSeen(bool force) {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    const bool first = state->seen_kept == SteadyTime::min();
    if (state->last_used <= state->seen_kept) continue;
    if (!first && !force && now - state->seen_kept < kKeepSeen) continue;
    state->seen_kept = now;
    auto before = seen_before.find(key);  // a label that comes after a restart makes it no other
    const bool observed = state->profile.observed() != nullptr ||
                          (before != seen_before.end() && before->second.observed);
    batch.seen[key] = {observed, UnixMillis(wall_now - (now - state->last_used))};
  }
}

bool Monitor::Impl::WriteDatabase(bool force) {
  if (!writer) {
    batch = {};
    return true;
  }
  if (!force && now - last_write < options.flush) return true;
  // Nothing new and nothing much to delete: an idle server leaves the disk alone.
  if (!force && batch.empty() && now - last_offer < std::chrono::seconds(10)) return true;
  CollectDetails(force);
  CollectSeen(force);
  Database::Purge purge;
  purge.now_ms = UnixMillis(wall_now);
  purge.max_predictions = 5000;
  purge.predictions_expired_before_ms = UnixMillis(wall_now - LabelStore::kLateGrace);
  purge.windows_before_ms = UnixMillis(wall_now - options.history);
  if (purge_forgotten) purge.forgotten_before_ms = UnixMillis(wall_now - kKeepForgotten);
  purge.edges_before_ms = purge.windows_before_ms;
  // While the disk is slow the present batch grows until the writer is free again.
  if (force) {
    constexpr std::chrono::seconds kPatience{30};
    writer->WaitIdle(kPatience);
    last_write = last_offer = now;
    const bool offered = writer->Offer(batch, purge, now, true);
    purge_forgotten = purge_forgotten && !offered;
    return offered && writer->WaitIdle(kPatience);
  }
  last_write = now;
  if (writer->Offer(batch, purge, now, false)) {
    last_offer = now;
    purge_forgotten = false;
  }
  return true;
}

}  // namespace leadsman
