#include "monitor/request_meter.h"

#include <utility>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr char kByteKind = 'l';
constexpr uint8_t kByteVersion = 1;
constexpr uint64_t kMaxVersions = 1024;

/// What `now` has more than `before`. Sums that fell have begun anew.
VersionTotals Since(const VersionTotals& before, const VersionTotals& now) {
  VersionTotals more;
  const bool anew = now.requests < before.requests;
  auto grown = [&](uint64_t from, uint64_t to) { return anew || to < from ? to : to - from; };
  more.requests = grown(before.requests, now.requests);
  more.answered = grown(before.answered, now.answered);
  more.server_errors = grown(before.server_errors, now.server_errors);
  more.errors = grown(before.errors, now.errors);
  for (size_t i = 0; i < now.latency.size(); ++i)
    more.latency[i] = grown(before.latency[i], now.latency[i]);
  // Kept in the database: they do not begin anew with the requests.
  auto labels = [](uint64_t from, uint64_t to) { return to < from ? 0 : to - from; };
  more.labelled_requests = labels(before.labelled_requests, now.labelled_requests);
  more.wrong_requests = labels(before.wrong_requests, now.wrong_requests);
  return more;
}

}  // namespace

std::vector<VersionCounts> ReadVersionCounts(const Monitor& monitor) {
  std::vector<VersionCounts> counts;
  // One version at a time: the collector gets its turn between them.
  for (auto& [model, version] : monitor.Versions()) {
    VersionTotals totals = monitor.Totals(model, version);
    counts.push_back({model, version, totals});
  }
  return counts;
}

const RequestMeter::Counts& RequestMeter::Look(SteadyTime now) {
  if (began_ && now == looked_) return counts_;
  looked_ = now;
  counts_.clear();
  std::map<std::pair<std::string, int64_t>, VersionTotals> present;
  for (VersionCounts& read : source_()) {
    const std::pair key(read.model, read.version);
    auto found = before_.find(key);
    VersionTotals start = read.totals;
    if (found != before_.end()) {
      start = found->second;
    } else {
      if (began_) start = {};  // new since the last look, so all its requests are
      // Labels outlive the process: those that it has found are of long ago, and all others are new.
      start.labelled_requests = read.totals.labelled_requests_before;
      start.wrong_requests = read.totals.wrong_requests_before;
    }
    counts_[read.model].push_back({read.model, read.version, Since(start, read.totals)});
    present.emplace(key, read.totals);
  }
  before_ = std::move(present);
  began_ = true;
  return counts_;
}

void RequestMeter::Keep(SteadyTime, std::vector<KeptCounts>& out) const {
  std::map<std::string, std::vector<std::pair<int64_t, const VersionTotals*>>> models;
  for (const auto& [key, totals] : before_) {
    if (totals.labelled_requests > 0) models[key.first].emplace_back(key.second, &totals);
  }
  for (const auto& [model, versions] : models) {
    ByteWriter bytes(kByteKind, kByteVersion);
    uint64_t stamp = 0;
    bytes.Varint(versions.size());
    for (const auto& [version, totals] : versions) {
      bytes.Fixed64(static_cast<uint64_t>(version));
      bytes.Varint(totals->labelled_requests);
      bytes.Varint(totals->wrong_requests);
      stamp += totals->labelled_requests;
    }
    out.push_back({std::string(name()), model, stamp, std::move(bytes).Take()});
  }
}

bool RequestMeter::Restore(const KeptCounts& kept, SteadyTime, SteadyTime) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  const uint64_t count = from.Varint();
  if (count > kMaxVersions) from.Fail();
  std::map<int64_t, VersionTotals> versions;
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    VersionTotals& totals = versions[static_cast<int64_t>(from.Fixed64())];
    totals.labelled_requests = from.Varint();
    totals.wrong_requests = from.Varint();
  }
  if (!from.Finished()) return false;
  for (auto& [version, totals] : versions) before_[{kept.model, version}] = totals;
  return true;
}

}  // namespace leadsman
