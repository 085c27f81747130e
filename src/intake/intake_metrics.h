#pragma once

#include <string>
#include <vector>

#include "intake/follower_counters.h"
#include "intake/position_journal.h"
#include "intake/source_counters.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// One source's counters, which must outlive the registrations.
struct IntakeMetricSource {
  std::string source;  ///< the label
  const SourceCounters& reader;
  const FollowerCounters& follower;
  const PositionJournal* journal;  ///< null: positions are not kept
};
[[nodiscard]] std::vector<Registry::Registration> AddIntakeMetrics(IntakeMetricSource source,
                                                                   Registry& registry);

}  // namespace leadsman::intake
