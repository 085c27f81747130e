#include "monitor/traffic_watch.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr char kByteKind = 's';
constexpr uint8_t kByteVersion = 1;
/// What was before a longer pause says nothing about now.
constexpr Duration kPause = 1h;

uint64_t Age(SteadyTime now, SteadyTime time) {
  return static_cast<uint64_t>(std::max<Duration>(now - time, Duration::zero()).count());
}

}  // namespace

double ChanceOfSilence(uint64_t requests, size_t busy, size_t periods, Duration period,
                       Duration silence) {
  if (requests == 0 || periods == 0) return 1;
  const double silent = ToSeconds(silence) / ToSeconds(period);
  const double poisson =
      std::exp(-static_cast<double>(requests) / static_cast<double>(periods) * silent);
  const auto empty = static_cast<double>(periods - std::min(busy, periods));
  const double empty_share = (empty + 1) / (static_cast<double>(periods) + 2);
  return std::max(poisson, std::pow(empty_share, silent));
}

Finding TrafficWatch::NothingKnown(const std::string& name) {
  Finding finding;
  finding.subject = {.kind = AlarmKind::kTrafficStopped, .model = name, .of = ""};
  finding.severity = AlarmSeverity::kPage;
  finding.unknown = true;
  finding.summary = StrCat(name, " is not loaded yet: whether its requests come is not known");
  return finding;
}

Finding TrafficWatch::Judge(const std::string& name, const Model& model, SteadyTime now) const {
  const Duration seen = watched_.Within(
      model.last, std::min<Duration>(model.last - model.first, std::chrono::hours(1)));
  const bool young = seen >= kEnoughForHalves && seen < kYoung;
  const Duration period = young ? Duration(30s) : Duration(1min);
  // Whole ones only: the last one with requests was still being filled, and is left out.
  const auto periods = static_cast<size_t>(seen / period);
  const ObjectiveCounts before = model.requests.Last(model.last, 61min);
  const size_t busy =
      model.requests.BusyPeriods(model.last, periods, static_cast<size_t>(period / 30s));
  const SteadyTime quiet_from =
      model.restored ? std::max(model.last, model.restored->expected) : model.last;
  const Duration silence = watched_.Within(now, now - quiet_from);
  const double chance = ChanceOfSilence(before.total, busy, periods, period, silence);

  Finding finding;
  finding.subject = {.kind = AlarmKind::kTrafficStopped, .model = name, .of = ""};
  finding.severity = AlarmSeverity::kPage;
  finding.samples = before.total;
  finding.evidence = ToSeconds(silence);
  // Both are of the form exp(-c × seconds): what takes the chance to the bound is a proportion.
  finding.threshold = chance < 1 ? std::max(finding.evidence * std::log(kChance) / std::log(chance),
                                            ToSeconds(kShortestSilence))
                                 : 0;
  const bool long_ago = model.restored && model.restored->at - model.last > kPause;
  finding.wrong = before.total >= kEnoughRequests && chance <= kChance &&
                  silence >= kShortestSilence && !long_ago;
  finding.unknown = model.restored && !finding.wrong;
  const std::string span = SpanText(ToSeconds(period * static_cast<int64_t>(periods)));
  if (silence <= Duration::zero()) {
    finding.summary = StrCat("requests of ", name, " come: ", before.total, " in the last ", span);
  } else {
    finding.summary =
        StrCat("no request of ", name, " for ", SpanText(finding.evidence),
               model.restored ? " since the start" : "", "; in the ", span, " before there were ",
               before.total, ", and of its ", periods, " parts of ", SpanText(ToSeconds(period)),
               " ", periods - std::min(busy, periods),
               " without any: the chance of such a silence is ", ShortNumber(chance));
  }
  finding.details = {{"chance", ShortNumber(chance)},
                     {"requests_before", std::to_string(before.total)},
                     {"seconds_before", ShortNumber(ToSeconds(seen))},
                     {"silent_seconds_allowed", ShortNumber(finding.threshold)}};
  return finding;
}

bool TrafficWatch::MayComeBack(const Model& model, SteadyTime now) {
  return model.restored && model.restored->expected == SteadyTime{} &&
         now - model.restored->at < kAwaitLoaded;
}

std::vector<Finding> TrafficWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  const RequestMeter::Counts& counts = meter_.Look(now);
  std::erase_if(models_, [&](const auto& model) { return !counts.contains(model.first); });
  for (const auto& [name, versions] : counts) {
    auto found = models_.find(name);
    if (!objectives_(name).traffic || !expected_(name)) {
      if (found == models_.end()) continue;
      if (MayComeBack(found->second, now)) {
        findings.push_back(NothingKnown(name));
      } else {
        models_.erase(found);
      }
      continue;
    }
    uint64_t requests = 0;
    for (const VersionCounts& version : versions) requests += version.totals.requests;
    if (found == models_.end()) {
      if (requests == 0) continue;  // it never had any
      found = models_.emplace(name, Model{}).first;
      found->second.first = now;
    }
    Model& model = found->second;
    if (requests > 0) {
      if (now - model.last > kPause) model.first = now;
      model.requests.Add(now, {requests, 0});
      model.last = now;
      model.restored.reset();
    } else if (model.restored && model.restored->expected == SteadyTime{}) {
      model.restored->expected = now;
    }
    findings.push_back(Judge(name, model, now));
  }
  return findings;
}

void TrafficWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  for (const auto& [name, model] : models_) {
    ByteWriter bytes(kByteKind, kByteVersion);
    bytes.Varint(Age(now, model.first));
    bytes.Varint(Age(now, model.last));
    model.requests.Write(now, bytes);
    out.push_back(
        {std::string(this->name()), name, model.requests.adds(), std::move(bytes).Take()});
  }
}

bool TrafficWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  constexpr auto kMost = static_cast<uint64_t>(Duration(std::chrono::hours(24 * 366)).count());
  const uint64_t first = from.Varint(), last = from.Varint();
  Model model;
  model.first = then - Duration(static_cast<int64_t>(std::min(first, kMost)));
  model.last = then - Duration(static_cast<int64_t>(std::min(last, kMost)));
  model.requests.Read(from, then, now);
  model.restored = Model::Restored{.at = now};
  if (!from.Finished() || first < last) return false;
  models_[kept.model] = std::move(model);
  return true;
}

}  // namespace leadsman
