#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "math/loss_measure.h"
#include "math/mean_e_process.h"

namespace leadsman {

struct KeptPrediction;

/// The loss of an answer whose label has come; `wrong`: it is another one. Infinity, or no number, where the answer is so bad. Nothing
/// where it has none: an error of what is no number, a log loss or Brier score without a probability.
///
/// The probability is that of the true class. Of two classes the likelier one is taken to be the answered one; of more than two it is
/// that of the answered class, and the loss says how sure the model was to be right and whether it was. Without scores a number from 0
/// to 1 with a label of 0 or 1 is a probability of 1.
std::optional<double> LossOf(const KeptPrediction& prediction, const std::string& label, bool wrong,
                             LossMetric metric);

/// Losses of one version, as evidence: of requests, each once and never weighted, by their first row. A value.
struct LossTotals {
  LossMeasure measure;
  LossSums all;             ///< of requests whose label has come
  LossSums drawn;           ///< of these, those that a rollout's split has drawn
  uint64_t unmeasured = 0;  ///< drawn and labelled, but their answer has no loss

  /// Begins anew when `by` is another measure than that of what is there.
  void MeasureBy(const LossMeasure& by);
  /// Nothing: it has none.
  void Add(std::optional<double> loss, bool was_drawn);

  std::string ToBytes() const;
  /// Nothing when these are not what ToBytes gave.
  static std::optional<LossTotals> FromBytes(std::string_view bytes);
  friend bool operator==(const LossTotals&, const LossTotals&) = default;
};

}  // namespace leadsman
