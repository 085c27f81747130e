#include "monitor/schema/schema_watch.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/accuracy_watch.h"
#include "monitor/words.h"

namespace leadsman {

using namespace std::chrono_literals;

namespace {

constexpr size_t kShown = 5;
constexpr Duration kWindow = 10min;
constexpr char kByteKind = 'v';
constexpr uint8_t kByteVersion = 1;
constexpr uint64_t kMaxVersions = 1024;

/// A sum that fell has begun anew.
uint64_t Grown(uint64_t from, uint64_t to) { return to < from ? to : to - from; }

}  // namespace

Finding SchemaWatch::Judge(const SchemaCounts& counts, const ObjectiveCounts& recent,
                           const Version& version, SteadyTime now) const {
  Finding finding;
  finding.subject = {AlarmKind::kSchemaViolation, counts.model, counts.version, ""};
  // What came first is an example of what is right; a file says it.
  finding.severity = counts.given ? AlarmSeverity::kTicket : AlarmSeverity::kInfo;
  finding.threshold = counts.accepted_share;
  finding.samples = recent.total;
  // With half the window watched, or rows enough, it is known how it is.
  const bool little = watched_.Within(now, kWindow) < kWindow / 2 && recent.total < kEnoughRows;
  if (recent.total == 0) {
    finding.unknown = little;
    finding.summary = StrCat("no row of ", counts.model, ":", counts.version, " has come in the ",
                             watched_.Words(now, kWindow));
    return finding;
  }
  finding.evidence = static_cast<double>(recent.bad) / static_cast<double>(recent.total);
  finding.wrong = recent.total >= kEnoughRows && recent.bad >= kEnoughViolating &&
                  ExactInterval(recent.bad, recent.total, kLevel).first > counts.accepted_share;
  finding.unknown = !finding.wrong && little;
  finding.summary = StrCat(recent.bad, " of ", recent.total, " rows of ", counts.model, ":",
                           counts.version, " broke the schema in the ",
                           watched_.Words(now, kWindow), " (", PercentText(finding.evidence), "; ",
                           PercentText(counts.accepted_share), " is accepted)");
  std::vector<std::pair<uint64_t, const RowCheck::Violation*>> broken;
  for (const RowCheck::Violation& v : counts.violations) {
    auto before = version.when_well.find({v.feature, v.rule});
    const uint64_t had = before != version.when_well.end() ? before->second : 0;
    if (const uint64_t more = Grown(had, v.tally.count); more > 0) broken.emplace_back(more, &v);
  }
  std::stable_sort(broken.begin(), broken.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (!broken.empty()) {
    const RowCheck::Violation& most = *broken[0].second;
    finding.summary += StrCat("; most: ", most.feature, " ", most.expected);
  }
  for (size_t i = 0; i < std::min(kShown, broken.size()); ++i) {
    const RowCheck::Violation& v = *broken[i].second;
    finding.details.emplace_back(StrCat(v.feature, " ", SchemaRuleName(v.rule)),
                                 StrCat(broken[i].first, " rows: ", v.expected));
  }
  return finding;
}

std::vector<Finding> SchemaWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  std::map<std::pair<std::string, int64_t>, Version> present;
  for (const SchemaCounts& counts : source_()) {
    const std::pair key{counts.model, counts.version};
    auto had = versions_.extract(key);
    Version version = had ? std::move(had.mapped()) : Version();
    version.ring.Add(
        now, {Grown(version.rows, counts.rows), Grown(version.violating, counts.violating)});
    version.rows = counts.rows;
    version.violating = counts.violating;
    const ObjectiveCounts recent = version.ring.Last(now, kWindow);
    findings.push_back(Judge(counts, recent, version, now));
    if (2 * findings.back().evidence <= counts.accepted_share) {
      version.when_well.clear();
      for (const RowCheck::Violation& v : counts.violations)
        version.when_well[{v.feature, v.rule}] = v.tally.count;
    }
    present.emplace(key, std::move(version));
  }
  versions_ = std::move(present);
  return findings;
}

/// What was broken when all was well is not kept: after a restart the details tell of all since then.
void SchemaWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  std::map<std::string, std::vector<std::pair<int64_t, const CountRing*>>> models;
  for (const auto& [key, version] : versions_) {
    if (version.ring.adds() > 0) models[key.first].emplace_back(key.second, &version.ring);
  }
  for (const auto& [model, rings] : models) {
    ByteWriter bytes(kByteKind, kByteVersion);
    uint64_t stamp = 0;
    bytes.Varint(rings.size());
    for (const auto& [version, ring] : rings) {
      bytes.Fixed64(static_cast<uint64_t>(version));
      ring->Write(now, bytes);
      stamp += ring->adds();
    }
    out.push_back({std::string(name()), model, stamp, std::move(bytes).Take()});
  }
}

bool SchemaWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  const uint64_t count = from.Varint();
  if (count > kMaxVersions) from.Fail();
  std::map<int64_t, Version> versions;
  for (uint64_t i = 0; i < count && from.ok(); ++i)
    versions[static_cast<int64_t>(from.Fixed64())].ring.Read(from, then, now);
  if (!from.Finished()) return false;
  for (auto& [version, of] : versions) versions_[{kept.model, version}] = std::move(of);
  return true;
}

}  // namespace leadsman
