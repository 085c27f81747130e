#include "monitor/schema/schema_watch.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "monitor/accuracy_watch.h"
#include "monitor/words.h"

namespace leadsman {

using namespace std::chrono_literals;

namespace {

constexpr size_t kShown = 5;

/// A sum that fell has begun anew.
uint64_t Grown(uint64_t from, uint64_t to) { return to < from ? to : to - from; }

}  // namespace

Finding SchemaWatch::Judge(const SchemaCounts& counts, const ObjectiveCounts& recent,
                           const Version& version) {
  Finding finding;
  finding.subject = {AlarmKind::kSchemaViolation, counts.model, counts.version, ""};
  // What came first is an example of what is right; a file says it.
  finding.severity = counts.given ? AlarmSeverity::kTicket : AlarmSeverity::kInfo;
  finding.threshold = counts.accepted_share;
  finding.samples = recent.total;
  if (recent.total == 0) {
    finding.summary = "no row has come in the last 10 min";
    return finding;
  }
  finding.evidence = static_cast<double>(recent.bad) / static_cast<double>(recent.total);
  finding.wrong = recent.total >= kEnoughRows && recent.bad >= kEnoughViolating &&
                  ExactInterval(recent.bad, recent.total, kLevel).first > counts.accepted_share;
  finding.summary =
      StrCat(recent.bad, " of ", recent.total, " rows of ", counts.model, ":", counts.version,
             " broke the schema in the last 10 min (", PercentText(finding.evidence), "; ",
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
    const ObjectiveCounts recent = version.ring.Last(now, 10min);
    findings.push_back(Judge(counts, recent, version));
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

}  // namespace leadsman
