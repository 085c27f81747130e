#include "monitor/drift/drift_book.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"
#include "monitor/drift/wide_summary.h"

namespace leadsman {
namespace {

constexpr size_t kLabelReference = 1000;
constexpr std::array kTracks{DriftTrack::Of::kInputs, DriftTrack::Of::kAnswers,
                             DriftTrack::Of::kLabels};
/// Of inputs of which only every so many requests are looked at, so many rows at least.
constexpr size_t kFewestSampledRows = 1000;

size_t RowsFor(size_t requests, size_t width, size_t wide) {
  if (width <= wide) return requests;
  size_t stride = (width + wide - 1) / wide;
  return std::max(kFewestSampledRows, requests / stride);
}

CollectOptions WithRows(CollectOptions collect, size_t rows) {
  collect.rows = rows;
  return collect;
}

/// The number a model without classes answers: one with a fraction. Whole numbers are classes.
float ValueOf(std::string_view predicted) {
  if (predicted.find('.') == std::string_view::npos) return std::numeric_limits<float>::quiet_NaN();
  auto value = ParseDouble(predicted);
  return value ? static_cast<float>(*value) : std::numeric_limits<float>::quiet_NaN();
}

/// When it was, on the clock of `now`; never later.
SteadyTime TimeOf(const PredictionEvent& event, WallTime wall, SteadyTime now) {
  if (!event.observed || event.unix_ms <= 0) return now;
  const auto ago = std::chrono::milliseconds(UnixMillis(wall) - event.unix_ms);
  return ago.count() > 0 ? now - ago : now;
}

AlarmSeverity SeverityOf(DriftTrack::Of of) {
  switch (of) {
    case DriftTrack::Of::kLabels:
      return AlarmSeverity::kPage;
    case DriftTrack::Of::kAnswers:
      return AlarmSeverity::kTicket;
    case DriftTrack::Of::kInputs:
      break;
  }
  return AlarmSeverity::kInfo;
}

/// Mean and spread of a number are one subject.
std::string SubjectOf(const DriftTrack& track, const DriftTrack::Stream& stream) {
  const ReferenceStream& of = track.reference()->streams[stream.of];
  if (track.of() == DriftTrack::Of::kLabels) return "";
  if (of.kind == ReferenceStream::Kind::kSpread) return track.reference()->numbers[of.of].name;
  return track.reference()->StreamName(of);
}

Finding FindingOf(const DriftBook::Key& key, const DriftTrack& track,
                  const DriftTrack::Stream& stream, double threshold) {
  Finding finding;
  finding.subject = {KindOf(track.of()), key.first, key.second, SubjectOf(track, stream)};
  finding.severity = SeverityOf(track.of());
  finding.wrong = stream.firing;
  finding.evidence = stream.firing ? stream.fired_evidence : stream.detector.evidence();
  finding.threshold = threshold;
  finding.budget_spent = stream.firing ? stream.budget_spent : 0;
  finding.guaranteed = stream.detector.guaranteed();
  finding.samples = uint64_t{track.reference()->block_rows} * stream.recent_size();
  finding.reference_samples = track.reference()->rows;
  if (!stream.firing) return finding;
  finding.summary = SummaryOf(key.first, key.second, track, stream);
  finding.details = {
      {"stream", track.reference()->StreamName(track.reference()->streams[stream.of])},
      {"reference", std::string(ReferenceFromName(track.reference()->from))},
      {"block_rows", std::to_string(track.reference()->block_rows)},
  };
  if (!finding.guaranteed) {
    finding.details.emplace_back("not_guaranteed_because",
                                 WhyNotGuaranteed(stream.detector.independence()));
  }
  if (finding.evidence < threshold) {
    finding.details.emplace_back(
        "evidence_below_threshold",
        "it fired with the evidence of other streams, or when fewer of them shared the budget, and "
        "goes on until the latest blocks are back within the tolerance");
  }
  return finding;
}

/// The louder of two findings on one subject.
bool Louder(const Finding& a, const Finding& b) {
  if (a.wrong != b.wrong) return a.wrong;
  return a.evidence > b.evidence;
}

}  // namespace

AlarmKind KindOf(DriftTrack::Of of) {
  switch (of) {
    case DriftTrack::Of::kLabels:
      return AlarmKind::kRiskIncrease;
    case DriftTrack::Of::kAnswers:
      return AlarmKind::kPredictionDrift;
    case DriftTrack::Of::kInputs:
      break;
  }
  return AlarmKind::kFeatureDrift;
}

std::string_view TrackName(DriftTrack::Of of) {
  switch (of) {
    case DriftTrack::Of::kLabels:
      return "labels";
    case DriftTrack::Of::kAnswers:
      return "answers";
    case DriftTrack::Of::kInputs:
      break;
  }
  return "inputs";
}

/// Of inputs with many values some requests are passed over, so that it is at most kValues a request on average.
uint64_t VersionDrift::StrideOf(size_t width) {
  constexpr size_t kValues = 16;
  return std::max<uint64_t>((width + kValues - 1) / kValues, 1);
}

VersionDrift::VersionDrift(const MonitorConfig& config, size_t wide_input,
                           std::shared_ptr<const FeatureNames> names, DriftTrack::Admit admit)
    : options_{config.drift.tolerance, config.drift.share_tolerance, config.drift.window},
      collect_{config.reference.requests, config.reference.period,
               config.reference.from == ReferenceConfig::From::kWindow},
      wide_input_(wide_input),
      names_(std::move(names)),
      admit_(std::move(admit)),
      answers_(DriftTrack::Of::kAnswers, {"score", "value"}, options_, collect_, admit_),
      labels_(DriftTrack::Of::kLabels, {"wrong"}, options_,
              WithRows(collect_, std::min(collect_.rows, kLabelReference)), admit_) {}

std::vector<DriftTrack*> VersionDrift::tracks() {
  std::vector<DriftTrack*> all;
  if (inputs_) all.push_back(inputs_.get());
  all.push_back(&answers_);
  all.push_back(&labels_);
  return all;
}

std::vector<const DriftTrack*> VersionDrift::tracks() const {
  std::vector<const DriftTrack*> all;
  if (inputs_) all.push_back(inputs_.get());
  all.push_back(&answers_);
  all.push_back(&labels_);
  return all;
}

std::vector<std::string> VersionDrift::ValueNames(size_t width) const {
  std::vector<std::string> names;
  if (names_ != nullptr) names = names_->names();
  const size_t size = std::min(width, Reference::kMaxNumbers);
  if (names.size() > size) names.resize(size);
  for (size_t i = names.size(); i < size; ++i) names.push_back(StrCat("f", i));
  return names;
}

void VersionDrift::BeginInputs(size_t width) {
  wide_ = width > wide_input_;
  inputs_ = std::make_unique<DriftTrack>(
      DriftTrack::Of::kInputs, wide_ ? WideNames() : ValueNames(width), options_,
      WithRows(collect_, RowsFor(collect_.rows, width, wide_input_)), admit_);
}

/// A wider request than those before: what is being collected takes its further values in.
void VersionDrift::SeeWidth(size_t width) {
  widest_ = width;
  if (wide_) {
    if (wide_width_ == 0) wide_width_ = width;
  } else if (inputs_->collecting()) {
    inputs_->Widen(ValueNames(std::min(width, wide_input_)));
  }
}

/// A name that the model once had, and no request of now, would leave a summary without a value for
/// good: what has had none yet is no part of the input.
std::span<const float> VersionDrift::WithoutUnmet(std::span<const float> values) {
  if (names_ == nullptr || !names_->named()) return values;
  if (met_.size() < values.size()) met_.resize(values.size());
  filled_.assign(values.begin(), values.end());
  for (size_t i = 0; i < filled_.size(); ++i) {
    if (!std::isnan(filled_[i])) {
      met_[i] = 1;
    } else if (met_[i] == 0) {
      filled_[i] = 0;
    }
  }
  return filled_;
}

void VersionDrift::FoldInputs(const PredictionEvent& event, WallTime wall, SteadyTime now,
                              SteadyTime at) {
  const size_t width = event.features.size();
  if (!inputs_) BeginInputs(width);
  if (width > widest_) SeeWidth(width);
  if (width > (wide_ ? wide_width_ : inputs_->width())) ++wider_requests_;
  if (wide_) {
    inputs_->Add(SummariseWide(WithoutUnmet(event.features)), {}, wall, now, at);
  } else if (requests_++ % StrideOf(width) == 0) {
    inputs_->Add(event.features, {}, wall, now, at);
  }
}

void VersionDrift::Fold(const PredictionEvent& event, WallTime wall, SteadyTime now) {
  last_used = now;
  active = true;
  // What a request held that failed is no example of what the model is asked.
  const bool answered = event.outcome == StatusCode::kOk || !event.outcome_known;
  if (!answered) return;
  const SteadyTime at = TimeOf(event, wall, now);
  if (!event.features.empty() && inputs_problem.empty()) FoldInputs(event, wall, now, at);
  if (event.predicted.empty() && event.score < 0) return;
  const std::array<float, 2> numbers{
      event.score >= 0 ? event.score : std::numeric_limits<float>::quiet_NaN(),
      event.predicted.empty() ? std::numeric_limits<float>::quiet_NaN()
                              : ValueOf(event.predicted[0])};
  answers_.Add(numbers, event.predicted, wall, now, at);
}

std::vector<std::string> VersionDrift::NeverSeen() const {
  std::vector<std::string> names;
  if (!inputs_ || !inputs_->reference() || inputs_->looks() == 0) return names;
  const auto& numbers = inputs_->reference()->numbers;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i].sketch.count() > 0 && !inputs_->Met(i)) names.push_back(numbers[i].name);
  }
  return names;
}

std::vector<std::string> VersionDrift::NotCompared() const {
  std::vector<std::string> names;
  if (!inputs_ || !inputs_->reference() || wide_) return names;
  const auto& numbers = inputs_->reference()->numbers;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i].sketch.count() == 0 && inputs_->Met(i)) names.push_back(numbers[i].name);
  }
  const std::vector<std::string> all = ValueNames(widest_);
  for (size_t i = numbers.size(); i < all.size(); ++i) names.push_back(all[i]);
  return names;
}

bool VersionDrift::GoesByPlaces() const {
  if (names_ == nullptr || !names_->named() || wide_) return false;
  if (!inputs_ || !inputs_->reference() || inputs_->reference()->from == ReferenceFrom::kFile)
    return false;
  const auto& numbers = inputs_->reference()->numbers;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i].name != StrCat("f", i)) return false;
  }
  return ValueNames(numbers.size()) != inputs_->names();
}

void VersionDrift::AddLabel(bool wrong, WallTime wall, SteadyTime now) {
  last_used = now;
  const float number = wrong ? 1 : 0;
  labels_.Add({&number, 1}, {}, wall, now);
}

DriftTrack* VersionDrift::track(DriftTrack::Of of) {
  for (DriftTrack* track : tracks()) {
    if (track->of() == of) return track;
  }
  return nullptr;
}

const DriftTrack* VersionDrift::track(DriftTrack::Of of) const {
  for (const DriftTrack* track : tracks()) {
    if (track->of() == of) return track;
  }
  return nullptr;
}

bool VersionDrift::worth_keeping() const {
  const auto all = tracks();
  return std::any_of(all.begin(), all.end(),
                     [](const DriftTrack* track) { return track->reference() != nullptr; });
}

void VersionDrift::Follow(const std::vector<std::shared_ptr<VersionDrift>>& older, SteadyTime now,
                          bool anew) {
  for (DriftTrack::Of of : kTracks) {
    if (!anew && track(of) != nullptr && track(of)->reference()) continue;
    for (const auto& version : older) {
      const DriftTrack* from = version->track(of);
      if (from == nullptr || !from->reference()) continue;
      if (of == DriftTrack::Of::kInputs) BeginInputs(*from->reference());
      track(of)->Follow(*from, now);
      break;
    }
  }
}

void VersionDrift::TakeAnew() {
  // What goes by places says nothing of values that are named: it is no use until the next one.
  if (GoesByPlaces()) {
    inputs_.reset();
    widest_ = 0;
  }
  for (DriftTrack* track : tracks()) track->TakeAnew();
  if (inputs_ && widest_ > 0) SeeWidth(widest_);
}

void VersionDrift::BeginInputs(const Reference& reference) {
  std::vector<std::string> names;
  for (const ReferenceNumber& n : reference.numbers) names.push_back(n.name);
  wide_ = reference.wide;
  // How wide the requests are is not known here: as many rows as there were then.
  const size_t rows =
      wide_ ? std::min<size_t>(collect_.rows, std::max<size_t>(kFewestSampledRows, reference.rows))
            : collect_.rows;
  inputs_ = std::make_unique<DriftTrack>(DriftTrack::Of::kInputs, std::move(names), options_,
                                         WithRows(collect_, rows), admit_);
}

void VersionDrift::UseForInputs(std::shared_ptr<const Reference> reference, SteadyTime now) {
  BeginInputs(*reference);
  inputs_->Use(std::move(reference), now);
}

void VersionDrift::RestoreReference(const std::string& track, std::string_view bytes,
                                    SteadyTime now) {
  auto reference = Reference::Parse(bytes);
  if (!reference) return;
  auto shared = std::make_shared<const Reference>(std::move(*reference));
  written[track].taken_ms = shared->taken_ms;
  if (track == "inputs") {
    UseForInputs(std::move(shared), now);
  } else if (track == "answers") {
    answers_.Use(std::move(shared), now);
  } else if (track == "labels") {
    labels_.Use(std::move(shared), now);
  }
}

void VersionDrift::RestoreEvidence(const std::string& name, std::string_view bytes,
                                   SteadyTime now) {
  for (DriftTrack* track : tracks()) {
    if (TrackName(track->of()) != name) continue;
    if (track->RestoreEvidence(bytes, now)) written[name].changes = track->changes();
  }
}

void DriftBook::Restore(const std::vector<DriftRow>& rows,
                        const std::map<std::string, MonitorConfig>& configs, SteadyTime now) {
  // References before the evidence that belongs to them.
  for (std::string_view suffix : {".reference", ".evidence"}) {
    for (const DriftRow& row : rows) {
      if (!row.what.ends_with(suffix)) continue;
      auto config = configs.find(row.key.first);
      auto drift = Find(row.key, config != configs.end() ? config->second : MonitorConfig{}, now);
      if (!drift) continue;
      std::string track = row.what.substr(0, row.what.size() - suffix.size());
      // What the file says now goes before what was kept of it.
      const bool of_file = files_.contains(row.key.first) || problems_.contains(row.key.first);
      if (track == "inputs" && of_file && suffix == ".reference") continue;
      if (suffix == ".reference") {
        drift->RestoreReference(track, row.bytes, now);
      } else {
        drift->RestoreEvidence(track, row.bytes, now);
      }
    }
  }
}

std::shared_ptr<VersionDrift> DriftBook::Find(const Key& key, const MonitorConfig& config,
                                              SteadyTime now) {
  if (!config.enabled || !config.drift.enabled || key.first.empty()) return nullptr;
  if (auto known = versions_.Find(key)) return known;
  if (versions_.full() || StreamCount() >= kMaxStreams) {
    bool room = true;
    while (room && (versions_.full() || StreamCount() >= kMaxStreams)) {
      room = versions_.MakeRoom(now);
      Refuse("too many model versions to look for drift in; further ones are not compared", room);
    }
    if (!room) return nullptr;
  }
  auto drift = std::make_shared<VersionDrift>(
      config, wide_input_, names_ != nullptr ? names_->Of(key.first) : nullptr,
      [this](size_t more, SteadyTime at) { return Admit(more, at); });
  versions_.Add(key, drift, now);
  if (config.reference.from == ReferenceConfig::From::kStable) drift->Follow(OlderThan(key), now);
  if (auto file = files_.find(key.first); file != files_.end()) {
    drift->UseForInputs(file->second, now);
  } else if (auto problem = problems_.find(key.first); problem != problems_.end()) {
    drift->inputs_problem = problem->second;
  }
  return drift;
}

std::vector<std::shared_ptr<VersionDrift>> DriftBook::OlderThan(const Key& key) const {
  std::vector<std::shared_ptr<VersionDrift>> older;
  for (int64_t number : versions_.Numbers(key.first)) {
    if (number >= key.second) break;
    older.push_back(versions_.Find({key.first, number}));
  }
  return older;
}

/// `room`: a version lost its place; else what asked for one has none.
void DriftBook::Refuse(const char* what, bool room) {
  ++refused_;
  if (room || told_) return;
  told_ = true;
  LOG_WARN(what, {"detectors", StreamCount()}, {"limit", kMaxStreams});
}

bool DriftBook::Admit(size_t more, SteadyTime now) {
  while (StreamCount() + more > kMaxStreams) {
    const bool room = versions_.MakeRoom(now);
    Refuse("too many detectors of drift; of further references distances alone are told", room);
    if (!room) return false;
  }
  return true;
}

std::vector<int64_t> DriftBook::TakeAnew(const std::string& model, std::optional<int64_t> version,
                                         const MonitorConfig& config, SteadyTime now) {
  std::vector<int64_t> taken;
  for (int64_t number : Versions(model)) {
    if (version && *version != number) continue;
    auto drift = versions_.Find({model, number});
    if (!drift) continue;
    drift->last_used = now;  // it must not make room for its own detectors
    drift->TakeAnew();
    if (auto file = files_.find(model); file != files_.end()) {
      drift->inputs_problem.clear();
      drift->UseForInputs(file->second, now);
    }
    if (config.reference.from == ReferenceConfig::From::kStable)
      drift->Follow(OlderThan({model, number}), now, true);
    taken.push_back(number);
  }
  return taken;
}

size_t DriftBook::StreamCount() const {
  size_t count = 0;
  for (const auto& [key, drift] : versions_) {
    for (const DriftTrack* track : std::as_const(*drift).tracks()) count += track->streams().size();
  }
  return count;
}

void DriftBook::Forget(const Key& key) {
  auto drift = versions_.Forget(key);
  if (!drift) return;
  for (DriftTrack* track : drift->tracks()) track->Quieten();
}

void DriftBook::Collect(bool evidence, SteadyTime now, std::vector<DriftRow>& rows) {
  for (const auto& [key, drift] : versions_) {
    for (const DriftTrack* track : std::as_const(*drift).tracks()) {
      if (!track->reference()) continue;
      std::string name(TrackName(track->of()));
      VersionDrift::Written& written = drift->written[name];
      if (written.taken_ms != track->reference()->taken_ms) {
        written.taken_ms = track->reference()->taken_ms;
        rows.push_back({key, name + ".reference", track->reference()->ToBytes()});
      }
      if (evidence && track->looks() > 0 && written.changes != track->changes()) {
        written.changes = track->changes();
        rows.push_back({key, name + ".evidence", track->EvidenceBytes(now)});
      }
    }
  }
}

BudgetShares DriftBook::Shares() const {
  BudgetShares shares{budget_, {}};
  for (const auto& [key, drift] : versions_) {
    if (!drift->active) continue;
    for (const DriftTrack* track : std::as_const(*drift).tracks()) {
      shares.detectors[static_cast<size_t>(track->harm())] += track->streams().size();
    }
  }
  return shares;
}

namespace {

/// Once, when there are requests to say it of.
void TellOfNames(const DriftBook::Key& key, VersionDrift& drift) {
  const DriftTrack* inputs = std::as_const(drift).inputs();
  if (drift.told || inputs == nullptr || inputs->looks() == 0) return;
  drift.told = true;
  if (drift.GoesByPlaces())
    LOG_WARN(
        "the reference of the inputs goes by places, and requests name their values now: "
        "leadsman drift reset takes one that goes by names",
        {"model", key.first}, {"version", key.second});
  if (inputs->reference()->from != ReferenceFrom::kFile) return;
  const std::vector<std::string> never = drift.NeverSeen(), others = drift.NotCompared();
  if (never.empty() && others.empty()) return;
  LOG_WARN("the columns of the reference file are not the values of the model's requests",
           {"model", key.first}, {"version", key.second},
           {"columns_without_requests", HumanList(never)},
           {"values_without_column", HumanList(others)});
}

}  // namespace

std::vector<Finding> DriftBook::Look(SteadyTime now) {
  BudgetShares shares = Shares();
  std::vector<EvidenceStream> evidence;
  std::vector<std::pair<DriftTrack*, DriftTrack::Stream*>> streams;
  uint64_t looks = 0;
  for (const auto& [key, drift] : versions_) {
    if (!drift->active) continue;
    TellOfNames(key, *drift);
    for (DriftTrack* track : drift->tracks()) {
      looks += track->looks();
      double share = shares.ShareOf(track->harm());
      double rate = track->LooksPerSecond(now);
      for (DriftTrack::Stream& stream : track->streams()) {
        if (stream.firing) continue;
        evidence.push_back({share, rate, stream.detector.evidence()});
        streams.emplace_back(track, &stream);
      }
    }
  }
  AlarmDecision decision = DecideAlarm(budget_, evidence);
  level_ = decision.level;
  // Time alone is no evidence: without a new block nothing fires.
  if (looks != looks_at_last_) {
    // Each alarm takes its part of the evidence; what is left may be enough for another one.
    while (!decision.strongest.empty()) {
      ++alarms_;
      for (size_t i : decision.strongest) {
        auto [track, stream] = streams[i];
        track->Fire(*stream,
                    1 / budget_.false_alarms / static_cast<double>(decision.strongest.size()));
        evidence[i].evidence = 0;
      }
      decision = DecideAlarm(budget_, evidence);
    }
  }
  looks_at_last_ = looks;

  std::map<AlarmSubject, Finding> findings;
  for (const auto& [key, drift] : versions_) {
    for (const DriftTrack* track : std::as_const(*drift).tracks()) {
      if (!track->reference()) continue;
      double threshold = shares.ThresholdOf(*track, now);
      for (const DriftTrack::Stream& stream : track->streams()) {
        Finding finding = FindingOf(key, *track, stream, threshold);
        auto [at, first] = findings.try_emplace(finding.subject, finding);
        if (!first && Louder(finding, at->second)) at->second = std::move(finding);
      }
    }
  }
  std::vector<Finding> all;
  for (auto& [subject, finding] : findings) all.push_back(std::move(finding));
  return all;
}

namespace {

void AddInputNotes(const VersionDrift& drift, nlohmann::ordered_json& version) {
  if (!drift.inputs_problem.empty()) {
    version["inputs"] = {{"reference", {{"state", "failed"}, {"reason", drift.inputs_problem}}}};
  }
  if (drift.inputs() == nullptr) return;
  nlohmann::ordered_json& inputs = version["inputs"];
  if (auto names = drift.NeverSeen(); !names.empty()) inputs["never_seen"] = std::move(names);
  if (auto names = drift.NotCompared(); !names.empty()) inputs["not_compared"] = std::move(names);
  if (drift.GoesByPlaces()) inputs["by_places"] = true;
  if (drift.wider_requests() > 0) inputs["wider_requests"] = drift.wider_requests();
}

}  // namespace

Result<std::string> DriftBook::Json(const std::string& model, int64_t version,
                                    SteadyTime now) const {
  const auto found = versions_.Find({model, version});
  if (!found) {
    return NotFoundError(StrCat("drift of model ", model, " version ", version,
                                " is not looked for: it has served no request yet, or "
                                "monitoring.drift.enabled of the model is false"));
  }
  BudgetShares shares = Shares();
  nlohmann::ordered_json json = {{"version", version}};
  for (const DriftTrack* track : std::as_const(*found).tracks()) {
    json[std::string(TrackName(track->of()))] = TrackJson(*track, shares, now);
  }
  AddInputNotes(*found, json);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

namespace {

void AddDistances(std::vector<std::string> labels, const DriftTrack& track, bool noise,
                  std::vector<MetricSample>& samples) {
  for (size_t i = 0; i < track.reference()->numbers.size(); ++i) {
    const ReferenceNumber& number = track.reference()->numbers[i];
    if (number.sketch.count() == 0) continue;
    NumberDistances d = DistancesOf(track, i);
    for (auto& [name, distance] :
         {std::pair{"psi", d.psi}, std::pair{"kolmogorov_smirnov", d.kolmogorov_smirnov},
          std::pair{"jensen_shannon", d.jensen_shannon}, std::pair{"wasserstein", d.wasserstein}}) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = labels;
      sample.label_values.push_back(number.name);
      sample.label_values.emplace_back(name);
      sample.value = noise ? distance.noise_p99 : distance.value;
    }
  }
}

}  // namespace

std::vector<MetricSample> DriftBook::Samples(Metric metric, SteadyTime now) const {
  std::vector<MetricSample> samples;
  BudgetShares shares = Shares();
  for (const auto& [key, drift] : versions_) {
    if (!drift->active) continue;
    if (metric == Metric::kWiderRequests) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = {key.first, std::to_string(key.second)};
      sample.value = static_cast<double>(drift->wider_requests());
      continue;
    }
    for (const DriftTrack* track : std::as_const(*drift).tracks()) {
      std::vector<std::string> labels{key.first, std::to_string(key.second),
                                      std::string(TrackName(track->of()))};
      auto add = [&](double value) {
        MetricSample& sample = samples.emplace_back();
        sample.label_values = labels;
        sample.value = value;
      };
      if (metric == Metric::kReferenceReady) add(track->reference() ? 1 : 0);
      if (metric == Metric::kReferenceRows) {
        add(static_cast<double>(track->reference() ? track->reference()->rows
                                                   : track->collected()));
      }
      if (!track->reference()) continue;
      if (metric == Metric::kNotGuaranteed) {
        for (std::string_view reason : kNotGuaranteedReasons) {
          labels.emplace_back(reason);
          add(static_cast<double>(std::count_if(
              track->streams().begin(), track->streams().end(), [&](const auto& stream) {
                return NotGuaranteedReason(stream.detector.independence()) == reason;
              })));
          labels.pop_back();
        }
      }
      if (metric == Metric::kEvidence) {
        double threshold = shares.ThresholdOf(*track, now);
        for (const DriftTrack::Stream& stream : track->streams()) {
          labels.push_back(track->reference()->StreamName(track->reference()->streams[stream.of]));
          double evidence = stream.firing ? stream.fired_evidence : stream.detector.evidence();
          add(threshold > 0 ? evidence / threshold : 0);
          labels.pop_back();
        }
      }
      if (track->window() != nullptr && track->of() != DriftTrack::Of::kLabels &&
          (metric == Metric::kDistance || metric == Metric::kNoise)) {
        AddDistances(labels, *track, metric == Metric::kNoise, samples);
      }
    }
  }
  return samples;
}

}  // namespace leadsman
