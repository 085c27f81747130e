#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/kept_counts.h"
#include "monitor/monitor.h"

namespace leadsman {

/// Sums of one version, as Monitor::Totals has them.
struct VersionCounts {
  std::string model;
  int64_t version = 0;
  VersionTotals totals;
};
/// All of a monitor's.
std::vector<VersionCounts> ReadVersionCounts(const Monitor& monitor);

/// What came in between two looks, for the watches that count: one reading for all of them. Sums that begin anew (a version
/// was forgotten and came back) are not taken for requests that vanished. What is there at the first look is where counting
/// begins, but for labels, whose sums outlive the process: those that came after the counts were kept are counted by the next
/// one, and those of a version that is seen for the first time, unless an earlier process has had them. Externally synchronised.
class RequestMeter final : public Kept {
 public:
  using Source = std::function<std::vector<VersionCounts>()>;
  /// By model, of every version that there is now, those without a request too.
  using Counts = std::map<std::string, std::vector<VersionCounts>>;

  explicit RequestMeter(Source source) : source_(std::move(source)) {}
  /// Since the look before `now`; the same for all who ask at one `now`.
  const Counts& Look(SteadyTime now);

  std::string_view name() const override { return "labels"; }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  Source source_;
  SteadyTime looked_{};
  bool began_ = false;
  std::map<std::pair<std::string, int64_t>, VersionTotals> before_;
  Counts counts_;
};

}  // namespace leadsman
