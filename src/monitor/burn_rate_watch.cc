#include "monitor/burn_rate_watch.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

/// The chance that is not taken for an incident.
constexpr double kLevel = 0.001;
constexpr char kByteKind = 'b';
constexpr uint8_t kByteVersion = 1;
/// Of one model, in its byte form: more than there are at once.
constexpr uint64_t kMaxVersions = 1024;

/// The bucket of the objective's threshold.
size_t SlowestGood(const Objectives& objectives) {
  return LatencyScheme::Index(
      static_cast<uint64_t>(std::chrono::nanoseconds(objectives.latency->threshold).count()));
}

/// Those that fire go first, the fastest burn before slower ones; of others, whoever is nearest.
bool MoreUrgent(const BurnRateFinding& a, const BurnRateFinding& b) {
  if (a.fires != b.fires) return a.fires;
  if (a.fires && a.rule.factor != b.rule.factor) return a.rule.factor > b.rule.factor;
  return std::min(a.long_burn, a.short_burn) / a.rule.factor >
         std::min(b.long_burn, b.short_burn) / b.rule.factor;
}

}  // namespace

double BurnRateWatch::ObjectiveOf(const Objectives& objectives) const {
  if (of_ == Of::kErrors) return objectives.availability;
  return objectives.latency ? objectives.latency->objective : 0;
}

ObjectiveCounts BurnRateWatch::Count(Of of, const VersionTotals& totals,
                                     const Objectives& objectives) {
  if (of == Of::kErrors) return {totals.answered, totals.server_errors};
  ObjectiveCounts counts;
  if (!objectives.latency) return counts;
  const size_t last_good = SlowestGood(objectives);
  for (size_t i = 0; i < totals.latency.size(); ++i) {
    counts.total += totals.latency[i];
    if (i > last_good) counts.bad += totals.latency[i];
  }
  return counts;
}

Finding BurnRateWatch::Judge(const std::string& name, const Model& model,
                             const Objectives& objectives, SteadyTime now) const {
  const double objective = ObjectiveOf(objectives);
  auto counts_of = [&](double seconds) { return model.history.Last(now, Seconds(seconds)); };
  std::vector<BurnRateFinding> findings =
      CheckBurnRates(objective, counts_of, kBurnRateRules, kLevel);
  const BurnRateFinding& worst = *std::min_element(findings.begin(), findings.end(), MoreUrgent);
  const BurnRateRule& rule = worst.rule;
  const ObjectiveCounts lasting = counts_of(rule.long_seconds);
  const ObjectiveCounts recent = counts_of(rule.short_seconds);
  auto in_the = [&](double seconds) { return watched_.Words(now, Seconds(seconds)); };

  Finding finding;
  finding.subject = {.kind = kind(), .model = name, .of = ""};
  finding.severity = rule.pages ? AlarmSeverity::kPage : AlarmSeverity::kTicket;
  finding.wrong = worst.fires;
  finding.unknown = !worst.fires && std::any_of(findings.begin(), findings.end(), [&](auto& f) {
    const Duration recently = Seconds(f.rule.short_seconds);
    return f.long_burn >= f.rule.factor && f.certain &&
           watched_.Within(now, recently) < recently / 2;
  });
  finding.evidence = std::min(worst.long_burn, worst.short_burn);
  finding.threshold = rule.factor;
  finding.samples = lasting.total;
  const std::string bad = of_ == Of::kErrors ? std::string("failed")
                                             : StrCat("took longer than ",
                                                      objectives.latency->threshold.count(), " ms");
  const std::string long_span = in_the(rule.long_seconds), short_span = in_the(rule.short_seconds);
  // Soon after the start both windows are all that was seen.
  const std::string lately = short_span == long_span ? ""
                                                     : StrCat(", ", recent.bad, " of ",
                                                              recent.total, " in the ", short_span);
  finding.summary = StrCat(name, ": ", lasting.bad, " of ", lasting.total, " answers ", bad,
                           " in the ", long_span, lately, "; ", PercentText(1 - objective),
                           " may: the budget of 30 days is used up ", ShortNumber(finding.evidence),
                           " times as fast as it lasts");
  // Slow rules go on for as long as their windows remember what is over.
  const ObjectiveCounts minutes = counts_of(kBurnRateRules[0].short_seconds);
  if (worst.fires && rule.short_seconds > kBurnRateRules[0].short_seconds && minutes.total > 0 &&
      minutes.bad == 0) {
    finding.summary += StrCat("; well again: 0 of ", minutes.total, " in the ",
                              in_the(kBurnRateRules[0].short_seconds), ", and it stays until the ",
                              short_span, " or the ", long_span, " are, too");
  }
  finding.details = {
      {"objective", PercentText(objective)},
      {"burn_rate_long", ShortNumber(worst.long_burn)},
      {"burn_rate_short", ShortNumber(worst.short_burn)},
      {"e_value_of_burn", StrCat(ShortNumber(worst.e_value), " of ", ShortNumber(1 / kLevel))}};
  for (const auto& [version, ring] : model.versions) {
    const ObjectiveCounts hour = ring.Last(now, 1h);
    if (hour.bad == 0) continue;
    finding.details.emplace_back(StrCat("version_", version, "_last_hour"),
                                 StrCat(hour.bad, " of ", hour.total));
  }
  return finding;
}

std::vector<Finding> BurnRateWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  const RequestMeter::Counts& counts = meter_.Look(now);
  std::erase_if(models_, [&](const auto& model) { return !counts.contains(model.first); });
  for (const auto& [name, versions] : counts) {
    const Objectives objectives = objectives_(name);
    const double objective = ObjectiveOf(objectives);
    if (!(objective > 0 && objective < 1)) continue;
    Model& model = models_[name];
    std::map<int64_t, CountRing> present;
    for (const VersionCounts& version : versions) {
      const ObjectiveCounts more = Count(of_, version.totals, objectives);
      model.history.Add(now, more);
      auto had = model.versions.extract(version.version);
      CountRing ring = had ? std::move(had.mapped()) : CountRing(1min, 60);
      ring.Add(now, more);
      present.emplace(version.version, std::move(ring));
    }
    model.versions = std::move(present);
    findings.push_back(Judge(name, model, objectives, now));
  }
  return findings;
}

uint64_t BurnRateWatch::ThresholdOf(const std::string& model) const {
  const Objectives objectives = objectives_(model);
  if (of_ == Of::kErrors || !objectives.latency) return 0;
  return SlowestGood(objectives);
}

void BurnRateWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  for (const auto& [name, model] : models_) {
    if (model.history.adds() == 0) continue;
    ByteWriter bytes(kByteKind, kByteVersion);
    bytes.Varint(ThresholdOf(name));
    model.history.Write(now, bytes);
    bytes.Varint(model.versions.size());
    for (const auto& [version, ring] : model.versions) {
      bytes.Fixed64(static_cast<uint64_t>(version));
      ring.Write(now, bytes);
    }
    out.push_back({std::string(this->name()), name, model.history.adds(), std::move(bytes).Take()});
  }
}

bool BurnRateWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  const uint64_t threshold = from.Varint();
  Model model;
  model.history.Read(from, then, now);
  const uint64_t versions = from.Varint();
  if (versions > kMaxVersions) from.Fail();
  for (uint64_t i = 0; i < versions && from.ok(); ++i) {
    const auto version = static_cast<int64_t>(from.Fixed64());
    model.versions.emplace(version, CountRing(1min, 60)).first->second.Read(from, then, now);
  }
  if (!from.Finished()) return false;
  if (threshold == ThresholdOf(kept.model)) models_[kept.model] = std::move(model);
  return true;
}

}  // namespace leadsman
