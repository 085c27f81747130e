#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "events/prediction_event.h"
#include "events/row_score.h"
#include "tensor/tensor.h"

namespace leadsman {

/// The answer of each row as text, for the monitor: by the rule of
/// MonitorConfig::prediction_output. Holds its own text for numbers and points into the outputs for
/// strings; neither copies nor allocates. For the stack, for one request.
class PredictedClasses {
 public:
  /// `wanted` names the output, empty for the rule: the first integer or string output of one value
  /// a row; otherwise the argmax of the first numeric output with several values a row; otherwise
  /// the first value of the first numeric output.
  void Extract(std::span<const TensorView> outputs, uint32_t rows, std::string_view wanted);

  std::span<const std::string_view> classes() const { return {classes_.data(), count_}; }
  /// The highest value of the first row of the first floating-point output with several values a
  /// row; -1 without one.
  float score() const { return score_; }
  /// A number: of one floating-point value a row. A class: everything else.
  AnswerKind answer() const { return answer_; }
  /// Of the output that score() is of; none for a number.
  const RowScores& row_scores() const { return row_scores_; }

 private:
  void Take(const TensorView& output, size_t per_row, size_t rows);
  void TakeScores(const TensorView& output, size_t per_row);

  size_t count_ = 0;
  float score_ = -1;
  AnswerKind answer_ = AnswerKind::kUnknown;
  RowScores row_scores_;
  std::array<std::string_view, PredictionEvent::kMaxPredictions> classes_;
  std::array<std::array<char, 32>, PredictionEvent::kMaxPredictions> text_;
};

}  // namespace leadsman
