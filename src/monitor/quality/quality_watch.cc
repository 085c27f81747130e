#include "monitor/quality/quality_watch.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/accuracy_watch.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using Measure = QualityObjective::Measure;

constexpr std::chrono::minutes kSlot{10};
constexpr char kByteKind = 'q';
constexpr uint8_t kByteVersion = 1;
constexpr uint64_t kMaxObjectives = 1000;
constexpr uint64_t kMaxVersions = 1024;
/// Slots of 24 hours, and the one that is being left.
constexpr uint64_t kMaxSlots = 146;

std::string_view MeasureName(Measure measure) {
  switch (measure) {
    case Measure::kRecall:
      return "recall";
    case Measure::kPrecision:
      return "precision";
    case Measure::kF1:
      return "f1";
    case Measure::kMeanAbsoluteError:
      break;
  }
  return "mean_absolute_error";
}

}  // namespace

std::string QualityWatch::NameOf(const QualityObjective& objective) {
  std::string text(MeasureName(objective.measure));
  if (!objective.of_class.empty()) text += StrCat(" of ", objective.of_class);
  return text;
}

ObjectiveCounts QualityWatch::SharesOf(const QualityObjective& objective,
                                       const QualityEvidence& evidence) {
  for (const VersionQuality::ClassQuality& of : evidence.classes) {
    if (of.name != objective.of_class) continue;
    uint64_t total = of.actual;
    if (objective.measure == Measure::kPrecision) total = of.predicted;
    if (objective.measure == Measure::kF1) total = of.actual + of.predicted - of.hits;
    return {total, total - of.hits};
  }
  return {};
}

double QualityWatch::MeasureOf(Measure measure, double share) {
  return measure == Measure::kF1 ? 2 * share / (1 + share) : share;
}

void QualityWatch::Count(const QualityObjective& objective,
                         const std::vector<QualityEvidence>& evidence, SteadyTime now, Past& past) {
  ErrorSums more;
  for (const QualityEvidence& of : evidence) {
    const ObjectiveCounts shares = SharesOf(objective, of);
    // A version that is new here may have labels of long ago.
    auto [before, fresh] = past.shares_before.try_emplace(of.version, shares);
    if (shares.total >= before->second.total && shares.bad >= before->second.bad) {
      past.shares.Add(now, {shares.total - before->second.total, shares.bad - before->second.bad});
    }
    before->second = shares;
    const double n = of.errors.count(), root = of.errors.RootMeanSquare();
    const ErrorSums sums{n, of.errors.MeanAbsolute() * n, root * root * n};
    const ErrorSums& sums_before = past.errors_before.try_emplace(of.version, sums).first->second;
    if (sums.count > sums_before.count) {
      more.count += sums.count - sums_before.count;
      more.absolute += sums.absolute - sums_before.absolute;
      more.square += sums.square - sums_before.square;
    }
    past.errors_before[of.version] = sums;
  }
  // One that is gone begins anew when it comes back.
  auto gone = [&](const auto& of) {
    return std::none_of(evidence.begin(), evidence.end(),
                        [&](const QualityEvidence& e) { return e.version == of.first; });
  };
  std::erase_if(past.shares_before, gone);
  std::erase_if(past.errors_before, gone);
  while (!past.errors.empty() && now - past.errors.front().first > kWindow) past.errors.pop_front();
  if (more.count == 0) return;
  ++past.errors_added;
  if (past.errors.empty() || now - past.errors.back().first >= kSlot) {
    past.errors.emplace_back(now, ErrorSums());
  }
  ErrorSums& slot = past.errors.back().second;
  slot.count += more.count;
  slot.absolute += more.absolute;
  slot.square += more.square;
}

void QualityWatch::JudgeShare(const QualityObjective& objective, const Past& past, SteadyTime now,
                              Finding& finding) const {
  const ObjectiveCounts counts = past.shares.Last(now, kWindow);
  finding.threshold = objective.at_least;
  finding.samples = counts.total;
  if (counts.total == 0) {
    finding.evidence = 1;
    finding.unknown = LittleWatched(now);
    finding.summary =
        StrCat("no label of the ", watched_.Words(now, kWindow), " says anything of the ",
               finding.subject.of, " (", finding.subject.model, ")");
    return;
  }
  const uint64_t good = counts.total - counts.bad;
  const auto [low, high] = ExactInterval(good, counts.total, kLevel);
  const double from = MeasureOf(objective.measure, low), to = MeasureOf(objective.measure, high);
  finding.evidence =
      MeasureOf(objective.measure, static_cast<double>(good) / static_cast<double>(counts.total));
  finding.wrong = to < objective.at_least;
  finding.summary =
      StrCat(finding.subject.model, ": ", finding.subject.of, " ", PercentText(finding.evidence),
             " (", PercentText(from), " to ", PercentText(to), ") by ", counts.total,
             " requests labelled in the ", watched_.Words(now, kWindow), "; at least ",
             PercentText(objective.at_least), " is asked for");
  finding.details.emplace_back("interval", StrCat(PercentText(from), " to ", PercentText(to)));
}

void QualityWatch::JudgeError(const QualityObjective& objective, const Past& past, SteadyTime now,
                              Finding& finding) const {
  ErrorSums sums;
  for (const auto& [since, more] : past.errors) {
    sums.count += more.count;
    sums.absolute += more.absolute;
    sums.square += more.square;
  }
  finding.threshold = objective.at_most;
  finding.samples = static_cast<uint64_t>(std::llround(sums.count));
  if (finding.samples < 2) {
    finding.unknown = LittleWatched(now);
    finding.summary =
        StrCat(finding.subject.model, ": too few labels of the ", watched_.Words(now, kWindow),
               " to say anything of the mean absolute error");
    return;
  }
  const double mean = sums.absolute / sums.count;
  const double variance = std::max(sums.square / sums.count - mean * mean, 0.0);
  const double margin = kDeviations * std::sqrt(variance / (sums.count - 1));
  finding.evidence = mean;
  finding.wrong = finding.samples >= kLeastErrors && mean - margin > objective.at_most;
  finding.summary = StrCat(finding.subject.model, ": mean absolute error ", ShortNumber(mean), " (",
                           ShortNumber(std::max(mean - margin, 0.0)), " to ",
                           ShortNumber(mean + margin), ", approximately) by ", finding.samples,
                           " requests labelled in the ", watched_.Words(now, kWindow), "; at most ",
                           ShortNumber(objective.at_most), " is asked for");
}

Finding QualityWatch::Judge(const std::string& model, const QualityObjective& objective,
                            const Past& past, SteadyTime now) const {
  Finding finding;
  finding.subject = {.kind = AlarmKind::kQuality, .model = model, .of = NameOf(objective)};
  finding.severity = AlarmSeverity::kPage;
  if (objective.measure == Measure::kMeanAbsoluteError) {
    JudgeError(objective, past, now, finding);
  } else {
    JudgeShare(objective, past, now, finding);
  }
  return finding;
}

std::vector<Finding> QualityWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  for (const auto& [model, objectives] : objectives_) {
    if (objectives.empty()) continue;
    const std::vector<QualityEvidence> evidence = source_(model);
    for (size_t i = 0; i < objectives.size(); ++i) {
      Past& past = past_[{model, i}];
      Count(objectives[i], evidence, now, past);
      findings.push_back(Judge(model, objectives[i], past, now));
    }
  }
  return findings;
}

void QualityWatch::WritePast(const Past& past, SteadyTime now, ByteWriter& to) {
  auto write_sums = [&](const ErrorSums& sums) {
    to.Double(sums.count);
    to.Double(sums.absolute);
    to.Double(sums.square);
  };
  past.shares.Write(now, to);
  to.Varint(past.errors.size());
  for (const auto& [at, sums] : past.errors) {
    to.Varint(static_cast<uint64_t>((now - at).count()));
    write_sums(sums);
  }
  to.Varint(past.shares_before.size());
  for (const auto& [version, counts] : past.shares_before) {
    to.Fixed64(static_cast<uint64_t>(version));
    to.Varint(counts.total);
    to.Varint(counts.bad);
  }
  to.Varint(past.errors_before.size());
  for (const auto& [version, sums] : past.errors_before) {
    to.Fixed64(static_cast<uint64_t>(version));
    write_sums(sums);
  }
}

QualityWatch::Past QualityWatch::ReadPast(ByteReader& from, SteadyTime then, SteadyTime now) {
  Past past;
  auto read_count = [&](uint64_t most) -> uint64_t {
    const uint64_t count = from.Varint();
    if (count > most) from.Fail();
    return from.ok() ? count : 0;
  };
  auto read_sums = [&] {
    const double count = from.Double(), absolute = from.Double(), square = from.Double();
    if (!std::isfinite(count) || !std::isfinite(absolute) || !std::isfinite(square)) from.Fail();
    return ErrorSums{count, absolute, square};
  };
  past.shares.Read(from, then, now);
  constexpr auto kMost = static_cast<uint64_t>(Duration(2 * kWindow).count());
  for (uint64_t n = read_count(kMaxSlots); n > 0 && from.ok(); --n) {
    const uint64_t age = from.Varint();
    if (age > kMost) from.Fail();
    ++past.errors_added;
    past.errors.emplace_back(then - Duration(static_cast<int64_t>(std::min(age, kMost))),
                             read_sums());
  }
  for (uint64_t n = read_count(kMaxVersions); n > 0 && from.ok(); --n) {
    ObjectiveCounts& counts = past.shares_before[static_cast<int64_t>(from.Fixed64())];
    counts.total = from.Varint();
    counts.bad = from.Varint();
  }
  for (uint64_t n = read_count(kMaxVersions); n > 0 && from.ok(); --n) {
    ErrorSums& sums = past.errors_before[static_cast<int64_t>(from.Fixed64())];
    sums = read_sums();
  }
  return past;
}

void QualityWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  for (const auto& [model, objectives] : objectives_) {
    ByteWriter bytes(kByteKind, kByteVersion);
    uint64_t stamp = 0;
    bytes.Varint(objectives.size());
    for (size_t i = 0; i < objectives.size(); ++i) {
      auto past = past_.find({model, i});
      bytes.Text(NameOf(objectives[i]));
      WritePast(past != past_.end() ? past->second : Past(), now, bytes);
      if (past != past_.end()) stamp += past->second.shares.adds() + past->second.errors_added;
    }
    if (stamp > 0) out.push_back({std::string(name()), model, stamp, std::move(bytes).Take()});
  }
}

bool QualityWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  std::map<std::string, Past> pasts;
  const uint64_t count = from.Varint();
  if (count > kMaxObjectives) from.Fail();
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    std::string of(from.Text(1 << 16));
    pasts.insert_or_assign(std::move(of), ReadPast(from, then, now));
  }
  if (!from.Finished()) return false;
  auto objectives = objectives_.find(kept.model);
  if (objectives == objectives_.end()) return true;  // none is asked for any more
  for (size_t i = 0; i < objectives->second.size(); ++i) {
    auto past = pasts.find(NameOf(objectives->second[i]));
    if (past != pasts.end()) past_[{kept.model, i}] = past->second;
  }
  return true;
}

}  // namespace leadsman
