#include "monitor/quality/loss_totals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/database.h"

namespace leadsman {
namespace {

constexpr char kKind = 'l';
constexpr uint8_t kVersion = 1;

bool IsProbability(double value) { return value >= 0 && value <= 1; }

/// That the true answer had; NaN where the model gave no number.
std::optional<double> ProbabilityOfTruth(const KeptPrediction& p, const std::string& label,
                                         bool wrong) {
  if (p.score_of != ScoreOf::kNothing) {
    if (std::isnan(p.score)) return p.score;
    if (!IsProbability(p.score)) return std::nullopt;
    const double answered =
        p.score_of == ScoreOf::kSecondClass ? std::max(p.score, 1 - p.score) : p.score;
    return wrong ? 1 - answered : answered;
  }
  const auto of_one = ParseDouble(p.predicted), truth = ParseDouble(label);
  if (!of_one || !truth || (*truth != 0 && *truth != 1)) return std::nullopt;
  // No answer at all is the worst one: LossSums::Add counts it as the highest loss.
  if (!std::isfinite(*of_one)) return std::numeric_limits<double>::quiet_NaN();
  if (!IsProbability(*of_one)) return std::nullopt;
  return *truth == 1 ? *of_one : 1 - *of_one;
}

void WriteSums(const LossSums& sums, ByteWriter& to) {
  to.Varint(sums.count);
  to.Double(sums.sum);
  to.Double(sums.squares);
  to.Varint(sums.clipped);
}

LossSums ReadSums(ByteReader& from) {
  LossSums sums;
  sums.count = from.Varint();
  sums.sum = from.Double();
  sums.squares = from.Double();
  sums.clipped = from.Varint();
  const auto most = static_cast<double>(sums.count);
  const bool fits = sums.sum >= 0 && sums.sum <= most && sums.squares >= 0 &&
                    sums.squares <= sums.sum && sums.clipped <= sums.count;
  if (!fits) from.Fail();
  return sums;
}

}  // namespace

std::optional<double> LossOf(const KeptPrediction& prediction, const std::string& label, bool wrong,
                             LossMetric metric) {
  if (metric == LossMetric::kAbsoluteError || metric == LossMetric::kSquaredError) {
    const auto predicted = ParseDouble(prediction.predicted), truth = ParseDouble(label);
    if (!predicted || !truth) return std::nullopt;
    const double error = std::abs(*predicted - *truth);
    return metric == LossMetric::kAbsoluteError ? error : error * error;
  }
  const auto probability = ProbabilityOfTruth(prediction, label, wrong);
  if (!probability) return std::nullopt;
  if (metric == LossMetric::kLogLoss) return -std::log(*probability);
  return (1 - *probability) * (1 - *probability);
}

void LossTotals::MeasureBy(const LossMeasure& by) {
  if (measure == by) return;
  *this = {};
  measure = by;
}

void LossTotals::Add(std::optional<double> loss, bool was_drawn) {
  if (!loss) {
    if (was_drawn) ++unmeasured;
    return;
  }
  all.Add(*loss, measure.highest);
  if (was_drawn) drawn.Add(*loss, measure.highest);
}

std::string LossTotals::ToBytes() const {
  ByteWriter to(kKind, kVersion);
  to.Text(LossMetricName(measure.metric));
  to.Double(measure.highest);
  WriteSums(all, to);
  WriteSums(drawn, to);
  to.Varint(unmeasured);
  return std::move(to).Take();
}

std::optional<LossTotals> LossTotals::FromBytes(std::string_view bytes) {
  constexpr size_t kLongestName = 32;
  ByteReader from(bytes, kKind, kVersion);
  LossTotals totals;
  const auto metric = ParseLossMetric(from.Text(kLongestName));
  totals.measure.highest = from.Double();
  totals.all = ReadSums(from);
  totals.drawn = ReadSums(from);
  totals.unmeasured = from.Varint();
  const bool highest = totals.measure.highest > 0 && std::isfinite(totals.measure.highest);
  if (!metric || !highest || !from.Finished()) return std::nullopt;
  totals.measure.metric = *metric;
  return totals;
}

}  // namespace leadsman
