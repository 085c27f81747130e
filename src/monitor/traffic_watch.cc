#include "monitor/traffic_watch.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "monitor/words.h"

namespace leadsman {

using namespace std::chrono_literals;

double ChanceOfSilence(uint64_t requests, size_t busy_minutes, size_t minutes, Duration silence) {
  if (requests == 0 || minutes == 0) return 1;
  const double seconds = ToSeconds(silence);
  const double per_second = static_cast<double>(requests) / (60.0 * static_cast<double>(minutes));
  const double poisson = std::exp(-per_second * seconds);
  const auto empty = static_cast<double>(minutes - std::min(busy_minutes, minutes));
  const double empty_share = (empty + 1) / (static_cast<double>(minutes) + 2);
  return std::max(poisson, std::pow(empty_share, seconds / 60));
}

Finding TrafficWatch::Judge(const std::string& name, const Model& model, SteadyTime now) {
  // Of whole minutes only: the last one with requests was still being filled, and is left out.
  const auto minutes = static_cast<size_t>(
      std::clamp<int64_t>((model.last - model.first) / std::chrono::minutes(1), 0, 60));
  const ObjectiveCounts hour = model.minutes.Last(model.last, 1min * (minutes + 1));
  const size_t busy = model.minutes.BusySlots(model.last, minutes);
  const Duration silence = now - model.last;
  const double chance = ChanceOfSilence(hour.total, busy, minutes, silence);

  Finding finding;
  finding.subject = {.kind = AlarmKind::kTrafficStopped, .model = name, .of = ""};
  finding.severity = AlarmSeverity::kPage;
  finding.samples = hour.total;
  finding.evidence = ToSeconds(silence);
  // Both are of the form exp(-c × seconds): what takes the chance to the bound is a proportion.
  finding.threshold = chance < 1 ? finding.evidence * std::log(kChance) / std::log(chance) : 0;
  finding.wrong = hour.total >= kEnoughRequests && chance <= kChance;
  finding.summary =
      silence <= Duration::zero()
          ? StrCat("requests come: ", hour.total, " in the last ", minutes + 1, " min")
          : StrCat("no request for ", SpanText(finding.evidence), "; in the ", minutes + 1,
                   " min before there were ", hour.total, ", and ",
                   minutes - std::min(busy, minutes),
                   " minutes without any: the chance of such a silence is ", ShortNumber(chance));
  finding.details = {{"chance", ShortNumber(chance)},
                     {"requests_before", std::to_string(hour.total)},
                     {"minutes_before", std::to_string(minutes + 1)},
                     {"silent_seconds_allowed", ShortNumber(finding.threshold)}};
  return finding;
}

std::vector<Finding> TrafficWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  const RequestMeter::Counts& counts = meter_.Look(now);
  std::erase_if(models_, [&](const auto& model) { return !counts.contains(model.first); });
  for (const auto& [name, versions] : counts) {
    if (!objectives_(name).traffic || !expected_(name)) {
      models_.erase(name);
      continue;
    }
    uint64_t requests = 0;
    for (const VersionCounts& version : versions) requests += version.totals.requests;
    auto found = models_.find(name);
    if (found == models_.end()) {
      if (requests == 0) continue;  // it never had any
      found = models_.emplace(name, Model{}).first;
      found->second.first = now;
    }
    Model& model = found->second;
    if (requests > 0) {
      // After a pause what was before it says nothing about now.
      if (now - model.last > 1h) model.first = now;
      model.minutes.Add(now, {requests, 0});
      model.last = now;
    }
    findings.push_back(Judge(name, model, now));
  }
  return findings;
}

}  // namespace leadsman
