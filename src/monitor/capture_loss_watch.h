#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/monitor.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// One way in on which something may get lost: sums that only grow.
struct CaptureCounts {
  std::string of;    ///< "events", "labels", "database", "log /var/log/x.log"
  std::string what;  ///< "events", "labels", "rows", "lines"
  std::string hint;  ///< what to do about it
  uint64_t kept = 0, lost = 0;
  /// What is lost is a part of an event, as its inputs, and the rest counts all the same, or it may come again: a ticket at most.
  bool part = false;
};
/// Those of the monitor itself.
std::vector<CaptureCounts> ReadCaptureCounts(const Monitor::Counters& counters);

/// The monitor misses something: of what came in the last ten minutes a larger share is lost than is accepted. All that the
/// other watches say rests on what is left. Confined to the thread that looks.
class CaptureLossWatch final : public Watch, public Kept {
 public:
  struct Options {
    double ticket_share = 0.001;
    double page_share = 0.05;
  };
  static constexpr uint64_t kEnoughLost = 10;  ///< in ten minutes: a broken line is no incident

  CaptureLossWatch(std::function<std::vector<CaptureCounts>()> source, const WatchedTime& watched,
                   Options options)
      : source_(std::move(source)), watched_(watched), options_(options) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

  std::string_view name() const override { return AlarmKindName(AlarmKind::kCaptureLoss); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  struct Way {
    uint64_t kept = 0, lost = 0;
    CountRing ring{std::chrono::minutes(1), 10};
  };
  Finding Judge(const CaptureCounts& of, const ObjectiveCounts& recent, SteadyTime now) const;

  const std::function<std::vector<CaptureCounts>()> source_;
  const WatchedTime& watched_;
  const Options options_;
  std::map<std::string, Way> ways_;
};

}  // namespace leadsman
