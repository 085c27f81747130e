#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/schema/schema_book.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// Whether a version's inputs break its schema: of the rows of the last ten minutes a larger share than is accepted, and so much
/// larger that chance does not explain it (the whole interval of Clopper and Pearson is above). Confined to the thread that
/// looks.
class SchemaWatch final : public Watch, public Kept {
 public:
  static constexpr uint64_t kEnoughRows = 100;      ///< in ten minutes
  static constexpr uint64_t kEnoughViolating = 10;  ///< likewise: a handful is no incident
  static constexpr double kLevel = 0.001;

  SchemaWatch(std::function<std::vector<SchemaCounts>()> source, const WatchedTime& watched)
      : source_(std::move(source)), watched_(watched) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

  std::string_view name() const override { return AlarmKindName(AlarmKind::kSchemaViolation); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  using Of = std::pair<std::string, SchemaRule>;  ///< feature, rule
  struct Version {
    uint64_t rows = 0, violating = 0;
    CountRing ring{std::chrono::minutes(1), 10};
    std::map<Of, uint64_t> when_well;  ///< what had been broken when last all was well
  };
  Finding Judge(const SchemaCounts& counts, const ObjectiveCounts& recent, const Version& version,
                SteadyTime now) const;

  const std::function<std::vector<SchemaCounts>()> source_;
  const WatchedTime& watched_;
  std::map<std::pair<std::string, int64_t>, Version> versions_;
};

}  // namespace leadsman
