#include "monitor/accuracy_watch.h"

#include <chrono>

#include "base/strings.h"
#include "math/byte_form.h"
#include "math/special_functions.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

constexpr char kByteKind = 'a';
constexpr uint8_t kByteVersion = 1;
constexpr uint64_t kMaxVersions = 1024;

/// The share at which `hits` or more of `n` have the chance `level`.
double LowerBound(double hits, double n, double level) {
  double low = 0, high = 1;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (BinomialTail(hits, n, middle) < level ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::pair<double, double> ExactInterval(uint64_t hits, uint64_t n, double level) {
  if (n == 0) return {0, 1};
  const auto all = static_cast<double>(n), good = static_cast<double>(hits);
  return {hits == 0 ? 0 : LowerBound(good, all, level),
          hits == n ? 1 : 1 - LowerBound(all - good, all, level)};
}

Finding AccuracyWatch::Judge(const std::string& name, const std::map<int64_t, Version>& versions,
                             double objective, SteadyTime now) const {
  Finding finding;
  finding.subject = {.kind = AlarmKind::kAccuracy, .model = name, .of = ""};
  finding.severity = AlarmSeverity::kPage;
  finding.threshold = objective;
  ObjectiveCounts labels;
  uint64_t requests = 0;
  for (const auto& [version, of] : versions) {
    const ObjectiveCounts more = of.labels.Last(now, kWindow);
    labels.total += more.total;
    labels.bad += more.bad;
    requests += of.requests.Last(now, kWindow).total;
    if (more.total == 0) continue;
    finding.details.emplace_back(StrCat("version_", version, "_wrong"),
                                 StrCat(more.bad, " of ", more.total));
  }
  finding.samples = labels.total;
  if (labels.total == 0) {
    finding.evidence = 1;
    finding.unknown = watched_.Within(now, kWindow) < kWindow / 2;
    finding.summary = StrCat("no label of ", name, " has come in the ",
                             watched_.Words(now, kWindow), ": nothing is known of the accuracy");
    return finding;
  }
  const uint64_t right = labels.total - labels.bad;
  const auto [low, high] = ExactInterval(right, labels.total, kLevel);
  finding.evidence = static_cast<double>(right) / static_cast<double>(labels.total);
  finding.wrong = high < objective;
  finding.summary =
      StrCat("accuracy of ", name, " ", PercentText(finding.evidence), " (", PercentText(low),
             " to ", PercentText(high), ") by ", labels.total, " labels of the ",
             watched_.Words(now, kWindow), "; ", PercentText(objective), " is asked for");
  finding.details.emplace_back("interval", StrCat(PercentText(low), " to ", PercentText(high)));
  // Labels come later than their predictions, so this may be more than all.
  finding.details.emplace_back("labels_per_request",
                               requests == 0 ? "unknown"
                                             : PercentText(static_cast<double>(labels.total) /
                                                           static_cast<double>(requests)));
  return finding;
}

std::vector<Finding> AccuracyWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  const RequestMeter::Counts& counts = meter_.Look(now);
  std::erase_if(models_, [&](const auto& model) { return !counts.contains(model.first); });
  for (const auto& [name, versions] : counts) {
    const double objective = objectives_(name).accuracy;
    if (!(objective > 0 && objective < 1)) continue;
    std::map<int64_t, Version>& model = models_[name];
    std::erase_if(model, [&](const auto& version) {
      // Its labels may come for a day after the version is gone from the counts.
      return version.second.labels.Last(now, kWindow).total == 0 &&
             version.second.requests.Last(now, kWindow).total == 0;
    });
    for (const VersionCounts& version : versions) {
      const VersionTotals& more = version.totals;
      if (more.requests == 0 && more.labelled_requests == 0) continue;
      Version& to = model[version.version];
      to.labels.Add(now, {more.labelled_requests, more.wrong_requests});
      to.requests.Add(now, {more.requests, 0});
    }
    findings.push_back(Judge(name, model, objective, now));
  }
  return findings;
}

void AccuracyWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  for (const auto& [name, versions] : models_) {
    if (versions.empty()) continue;
    ByteWriter bytes(kByteKind, kByteVersion);
    uint64_t stamp = versions.size();
    bytes.Varint(versions.size());
    for (const auto& [version, of] : versions) {
      bytes.Fixed64(static_cast<uint64_t>(version));
      of.labels.Write(now, bytes);
      of.requests.Write(now, bytes);
      stamp += of.labels.adds() + of.requests.adds();
    }
    out.push_back({std::string(this->name()), name, stamp, std::move(bytes).Take()});
  }
}

bool AccuracyWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  const uint64_t count = from.Varint();
  if (count > kMaxVersions) from.Fail();
  std::map<int64_t, Version> versions;
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    Version& of = versions[static_cast<int64_t>(from.Fixed64())];
    of.labels.Read(from, then, now);
    of.requests.Read(from, then, now);
  }
  if (!from.Finished()) return false;
  models_[kept.model] = std::move(versions);
  return true;
}

}  // namespace leadsman
