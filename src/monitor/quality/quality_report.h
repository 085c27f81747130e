#pragma once

#include <functional>
#include <string>

#include "monitor/database.h"
#include "monitor/quality/quality_detail.h"

namespace leadsman {

/// What labels tell of one version, as JSON (docs/quality.md). A measure that has nothing to be of is
/// absent; a share of nothing is null. Pure but for the ageing of the coverage.
///
/// The figures are taken at once; the function that is returned works out the intervals, which takes
/// long with many classes, and needs no lock.
std::function<std::string()> QualityReport(int64_t version, const QualityTotals& totals,
                                           QualityDetail& detail, int64_t now_ms);

}  // namespace leadsman
