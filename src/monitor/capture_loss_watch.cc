#include "monitor/capture_loss_watch.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/words.h"

namespace leadsman {

using namespace std::chrono_literals;

namespace {

constexpr char kByteKind = 'c';
constexpr uint8_t kByteVersion = 1;
constexpr uint64_t kMaxWays = 4096;  ///< logs that are read, and some more
constexpr size_t kMaxWayName = 8192;
constexpr Duration kWindow = 10min;

}  // namespace

std::vector<CaptureCounts> ReadCaptureCounts(const Monitor::Counters& c) {
  const uint64_t labels =
      c.labels_joined + c.labels_unknown + c.labels_duplicate + c.labels_late + c.labels_mismatched;
  std::vector<CaptureCounts> counts = {
      {"events", "events", "give the monitor more CPU, or a larger monitor.ring", c.events,
       c.events_dropped},
      {"labels", "labels", "see the errors that POST /api/v1/labels answers; send smaller batches",
       labels, c.labels_rejected},
      {"database", "database rows", "look at the disk of data_dir", c.events,
       c.database_rows_lost}};
  if (c.predictions_lost)
    counts.push_back({"redis", "predictions for labels", "look at the redis of monitor.labels",
                      c.events, *c.predictions_lost});
  if (c.edge_messages_lost) {
    counts.push_back({"edges", "messages of profiles",
                      "see `leadsman status` for the edge, and its log for why they were given up",
                      c.edge_messages, *c.edge_messages_lost});
  }
  return counts;
}

Finding CaptureLossWatch::Judge(const CaptureCounts& of, const ObjectiveCounts& recent,
                                SteadyTime now) const {
  Finding finding;
  finding.subject = {.kind = AlarmKind::kCaptureLoss, .model = "", .of = of.of};
  const double share =
      recent.total == 0 ? 0 : static_cast<double>(recent.bad) / static_cast<double>(recent.total);
  const bool page = !of.part && share >= options_.page_share;
  finding.severity = page ? AlarmSeverity::kPage : AlarmSeverity::kTicket;
  finding.threshold = page ? options_.page_share : options_.ticket_share;
  finding.evidence = share;
  finding.samples = recent.total;
  finding.wrong = recent.bad >= kEnoughLost && share >= options_.ticket_share;
  finding.unknown = !finding.wrong && watched_.Within(now, kWindow) < kWindow / 2;
  finding.summary = StrCat(recent.bad, " of ", recent.total, " ", of.what, " were lost in the ",
                           watched_.Words(now, kWindow), " (", PercentText(share), ")");
  if (finding.wrong) finding.summary += StrCat("; ", of.hint);
  return finding;
}

std::vector<Finding> CaptureLossWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  std::map<std::string, Way> present;
  for (const CaptureCounts& read : source_()) {
    auto had = ways_.extract(read.of);
    Way way = had ? std::move(had.mapped()) : Way{read.kept, read.lost};
    // What is kept may be a difference of two counters, of which one is a moment ahead.
    const uint64_t kept = std::max(way.kept, read.kept);
    const uint64_t lost = std::max(way.lost, read.lost);
    way.ring.Add(now, {kept - way.kept + lost - way.lost, lost - way.lost});
    way.kept = kept;
    way.lost = lost;
    findings.push_back(Judge(read, way.ring.Last(now, kWindow), now));
    present.insert_or_assign(read.of, std::move(way));
  }
  ways_ = std::move(present);
  return findings;
}

void CaptureLossWatch::Keep(SteadyTime now, std::vector<KeptCounts>& out) const {
  uint64_t stamp = 0;
  for (const auto& [of, way] : ways_) stamp += way.ring.adds();
  if (stamp == 0) return;
  ByteWriter bytes(kByteKind, kByteVersion);
  bytes.Varint(ways_.size());
  for (const auto& [of, way] : ways_) {
    bytes.Text(of);
    way.ring.Write(now, bytes);
  }
  out.push_back({std::string(name()), "", stamp, std::move(bytes).Take()});
}

bool CaptureLossWatch::Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) {
  ByteReader from(kept.bytes, kByteKind, kByteVersion);
  const uint64_t count = from.Varint();
  if (count > kMaxWays) from.Fail();
  std::map<std::string, Way> ways;
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    Way& way = ways[std::string(from.Text(kMaxWayName))];
    way.ring.Read(from, then, now);
  }
  if (!from.Finished()) return false;
  ways_ = std::move(ways);
  return true;
}

}  // namespace leadsman
