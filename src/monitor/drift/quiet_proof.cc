#include "monitor/drift/quiet_proof.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "monitor/drift/drift_report.h"

namespace leadsman {
namespace {

using Kind = ReferenceStream::Kind;
constexpr double kDay = 86'400;
constexpr size_t kMostDays = 10;
/// The steady time of the replay's first request: later than all that a track takes as "never".
constexpr SteadyTime kBegin{std::chrono::hours(1)};

SteadyTime At(double seconds) {
  return kBegin + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

bool OfShares(Kind kind) { return kind != Kind::kMean && kind != Kind::kSpread; }

const char* UnitOf(Kind kind) {
  if (kind == Kind::kMean) return "σ";
  return kind == Kind::kSpread ? "spread" : "points";
}

/// What a change does to the number of a block.
double MoveOf(const Reference& reference, const ReferenceStream& stream, DriftTrack::Of of,
              double change) {
  if (of == DriftTrack::Of::kLabels || OfShares(stream.kind)) return change;
  if (stream.kind == Kind::kSpread) return std::log1p(change);
  return change * reference.numbers[stream.of].sigma;
}

}  // namespace

bool QuietProof::Collect(Version& version, double seconds) {
  bool closed = false;
  for (DriftTrack* track : version.drift->tracks()) {
    if (!track->reference()) continue;
    Watched& watched = version.tracks[track->of()];
    const std::vector<DriftTrack::Stream>& streams = track->streams();
    // Complete, or a rolling one has been renewed, or there is room for detectors now.
    if (watched.reference != track->reference() || watched.streams.size() != streams.size()) {
      watched.reference = track->reference();
      watched.begun = seconds;
      watched.streams.assign(streams.size(), {});
      watched.firings.resize(streams.size());
      watched.fired_ms.resize(streams.size());
      watched.was_firing.assign(streams.size(), false);
      watched.seen.assign(streams.size(), 0);
    }
    for (size_t i = 0; i < streams.size(); ++i) {
      const DriftTrack::Stream& stream = streams[i];
      if (stream.recent_count == watched.seen[i]) continue;
      watched.seen[i] = stream.recent_count;
      closed = true;
      size_t latest = (stream.recent_count - 1) % DriftTrack::kRecentBlocks;
      watched.streams[i].push_back({seconds, stream.recent[latest]});
    }
  }
  return closed;
}

void QuietProof::CountFirings() {
  for (auto& [key, version] : versions_) {
    for (DriftTrack* track : version.drift->tracks()) {
      auto watched = version.tracks.find(track->of());
      if (watched == version.tracks.end()) continue;
      for (size_t i = 0; i < track->streams().size(); ++i) {
        const bool firing = track->streams()[i].firing;
        const bool began = firing && !watched->second.was_firing[i];
        watched->second.firings[i] += began ? 1 : 0;
        if (began && watched->second.fired_ms[i].size() < kMostTold)
          watched->second.fired_ms[i].push_back(first_ms_ + std::llround(seconds_ * 1000));
        watched->second.was_firing[i] = firing;
      }
    }
  }
}

void QuietProof::Replay(const std::map<VersionKey, RequestHistory>& histories) {
  bool begun = false;
  ReplayInOrder(histories, [&](const VersionKey& key, const PredictionEvent& event) {
    if (!std::exchange(begun, true)) first_ms_ = event.unix_ms;
    seconds_ = static_cast<double>(event.unix_ms - first_ms_) / 1000;
    auto found = versions_.find(key);
    if (found == versions_.end()) return;
    Version& version = found->second;
    const WallTime wall = FromUnixMillis(event.unix_ms);
    version.drift->Fold(event, wall, At(seconds_));
    for (const LabelJoin::Joined& joined : labels_.Join(key, event)) {
      if (!joined.first_of_request()) continue;
      ++version.labels;
      version.drift->AddLabel(joined.wrong, wall, At(seconds_));
    }
    // The live server looks every ten seconds; without a new block there is nothing to see.
    if (!Collect(version, seconds_)) return;
    book_.Look(At(seconds_));
    CountFirings();
  });
}

std::optional<double> QuietProof::Smallest(const DriftTrack& track,
                                           const DriftTrack::Stream& stream,
                                           const std::vector<Block>& blocks,
                                           const Watched& watched) const {
  const Reference& reference = *track.reference();
  const ReferenceStream& of = reference.streams[stream.of];
  const RankEvidence::Side side = stream.detector.sides().side();
  const std::vector<double> days = DaysOfPast(seconds_ - watched.begun, kDay, kMostDays);
  const bool both = side == RankEvidence::Side::kBoth && !OfShares(of.kind);

  const auto& changes = OfShares(of.kind) || track.of() == DriftTrack::Of::kLabels
                            ? kShareChangesTried
                            : kChangesTried;
  std::array<size_t, kChangesTried.size()> found{};
  BlockDetector clean(of.blocks, {stream.tolerance, side});
  size_t next = 0;
  for (double day : days) {
    const double begin = watched.begun + day;
    while (next < blocks.size() && blocks[next].seconds < begin) clean.Look(blocks[next++].value);
    clean.Reset();  // what it had gathered is not the change's
    for (size_t c = 0; c < changes.size(); ++c) {
      bool all_ways = true;
      for (double way : both ? std::vector<double>{1, -1} : std::vector<double>{1}) {
        BlockDetector detector = clean;
        const double move = way * MoveOf(reference, of, track.of(), changes[c]);
        bool alarm = false;
        for (size_t i = next; i < blocks.size() && blocks[i].seconds < begin + kDay && !alarm;
             ++i) {
          detector.Look(blocks[i].value + move);
          alarm = detector.evidence() >= watched.threshold;
        }
        all_ways = all_ways && alarm;
      }
      found[c] += all_ways ? 1 : 0;
    }
  }
  for (size_t c = 0; c < changes.size(); ++c) {
    if (2 * found[c] > days.size()) return changes[c];
  }
  return std::nullopt;
}

QuietVersion QuietProof::Report(const VersionKey& key, Version& version) const {
  QuietVersion report;
  report.key = key;
  report.requests = version.history->size();
  if (seconds_ > 0)
    report.requests_per_day = static_cast<double>(report.requests) / std::max(seconds_, 1.0) * kDay;
  const VersionDrift& drift = *version.drift;
  const DriftTrack& main = drift.inputs() != nullptr ? *drift.inputs() : drift.answers();
  report.reference_rows = main.reference() ? main.reference()->rows : main.collected();
  report.reference_wanted = main.reference() ? main.reference()->rows : main.reference_rows();
  report.blocks = main.looks();
  for (DriftTrack* track : version.drift->tracks()) {
    auto watched = version.tracks.find(track->of());
    if (watched == version.tracks.end()) continue;
    report.days_compared =
        std::max(report.days_compared, (seconds_ - watched->second.begun) / kDay);
    for (size_t i = 0; i < track->streams().size(); ++i)
      report.streams.push_back(StreamReport(*track, i, watched->second));
  }
  report.gaps = GapsOf(version);
  return report;
}

QuietStream QuietProof::StreamReport(const DriftTrack& track, size_t i,
                                     const Watched& watched) const {
  const DriftTrack::Stream& stream = track.streams()[i];
  const ReferenceStream& of = track.reference()->streams[stream.of];
  QuietStream one;
  one.kind = KindOf(track.of());
  one.track = TrackName(track.of());
  one.name = track.reference()->StreamName(of);
  one.unit = track.of() == DriftTrack::Of::kLabels ? "points" : UnitOf(of.kind);
  one.firings = watched.firings[i];
  one.fired_ms = watched.fired_ms[i];
  one.days = (seconds_ - watched.begun) / kDay;
  one.not_guaranteed = WhyNotGuaranteed(stream.detector.independence());
  one.smallest = Smallest(track, stream, watched.streams[i], watched);
  return one;
}

std::vector<QuietGap> QuietProof::GapsOf(const Version& version) {
  std::vector<QuietGap> gaps;
  auto gap = [&](DriftTrack::Of of, const DriftTrack* track, uint64_t rows, const char* none,
                 const char* what, const char* more) {
    if (track != nullptr && track->unwatched()) {
      gaps.push_back({KindOf(of), "there are too many detectors: further ones have no room"});
    } else if (track != nullptr && track->reference()) {
      if (track->streams().empty())
        gaps.push_back({KindOf(of), "its reference has nothing that could be compared"});
    } else if (rows == 0) {
      gaps.push_back({KindOf(of), none});
    } else {
      gaps.push_back({KindOf(of), StrCat("too few ", what, " for a reference: ", rows, " of ",
                                         track != nullptr ? track->reference_rows() : 0, more)});
    }
  };
  const VersionDrift& drift = *version.drift;
  const DriftTrack& answers = drift.answers();
  const DriftTrack* inputs = drift.inputs();
  gap(DriftTrack::Of::kInputs, inputs, inputs != nullptr ? inputs->collected() : 0,
      "the history has no inputs (of logs: --field feature.NAME=WHERE, or features)", "requests",
      "; --reference-requests takes fewer");
  gap(DriftTrack::Of::kAnswers, &answers, answers.collected(),
      "the history has no answers (of logs: --field predicted=WHERE; of a table: --answer-column)",
      "answers", "; --reference-requests takes fewer");
  gap(DriftTrack::Of::kLabels, &drift.labels(), version.labels,
      "the history has no labels (of logs: --field label=WHERE; of a table: --label-column)",
      "labels", "");
  return gaps;
}

QuietReport QuietProof::Run(std::map<VersionKey, RequestHistory>& histories,
                            const std::map<std::string, MonitorConfig>& configs) {
  std::vector<VersionKey> off;
  for (auto& [key, history] : histories) {
    history.Sort();
    auto config = configs.find(key.first);
    Version version;
    version.config = config != configs.end() ? config->second : MonitorConfig{};
    version.history = &history;
    version.drift = book_.Find(key, version.config, At(0));
    if (version.drift) {
      versions_.emplace(key, std::move(version));
    } else {
      off.push_back(key);
    }
  }
  Replay(histories);
  QuietReport report;
  report.alarms = book_.alarms();
  const BudgetShares shares = book_.Shares();
  for (auto& [key, version] : versions_) {
    for (DriftTrack* track : version.drift->tracks()) {
      auto watched = version.tracks.find(track->of());
      if (watched == version.tracks.end()) continue;
      // Of a whole reference without a look there is no rate, and nothing to find.
      watched->second.threshold = track->looks() > 0 ? shares.ThresholdOf(*track, At(seconds_))
                                                     : std::numeric_limits<double>::infinity();
    }
    report.versions.push_back(Report(key, version));
    report.days = std::max(report.days, report.versions.back().days_compared);
  }
  for (const VersionKey& key : off) {
    QuietVersion& version = report.versions.emplace_back();
    version.key = key;
    version.requests = histories.at(key).size();
    for (AlarmKind kind :
         {AlarmKind::kFeatureDrift, AlarmKind::kPredictionDrift, AlarmKind::kRiskIncrease})
      version.gaps.push_back({kind, "monitoring.drift.enabled of the model is false"});
  }
  report.allowed = budget_.false_alarms * report.days * kDay / budget_.period_seconds;
  return report;
}

}  // namespace leadsman
