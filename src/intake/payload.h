#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "events/prediction_event.h"

namespace leadsman::intake {

/// What a request's body says of its inputs.
struct PayloadInputs {
  uint32_t rows = 0;
  /// Of the first row, in the body's order, nested values one after the other. What is no number is NaN.
  std::span<const float> features;
  /// A name for each, or none at all.
  std::span<const std::string_view> names;
  bool cut = false;  ///< there were more than kMaxFeatures
};

/// What an answer's body says of its predictions.
struct PayloadOutputs {
  uint32_t rows = 0;
  /// Of each row, at most kMaxPredictions: the class label as text, the index of the highest of several scores, or the value.
  std::span<const std::string_view> predicted;
  std::optional<float> score;  ///< the highest of the first row's several scores
  ScoreOf score_of = ScoreOf::kNothing;
  std::span<const float> row_scores;  ///< as PredictionEvent has them
  ClassScores class_scores;           ///< likewise
};

/// Reads the bodies of predictions without the model's signature, by what they look like:
///
///   TensorFlow Serving, KServe V1   {"instances": […]}, {"inputs": …}  →  {"predictions": […]}, {"outputs": …}
///                                   {"examples": […]}  →  {"results": […]}
///   Open Inference Protocol V2      {"inputs": [{"name", "shape", "datatype", "data"}]}  →  {"outputs": […]}
///                                   also with tensors as bytes behind the JSON
///   MLflow                          dataframe_split, dataframe_records, instances, inputs  →  {"predictions": […]}
///   Seldon                          {"data": {"names", "ndarray"}}, {"data": {"tensor": {"shape", "values"}}}
///   plain                           {"input_data": …}, {"features": …}, an object of numbers, a list  →  {"prediction": …}
///   CSV                             a row a line, with or without a line of names
///
/// Whatever the bytes, it returns. What it returns is valid until the next call of the same kind, and while the body is. Confined to
/// one thread; keeps its buffers.
class PayloadReader {
 public:
  static constexpr size_t kMaxFeatures = 4096;
  static constexpr size_t kMaxPredictions = 16;

  PayloadReader();
  ~PayloadReader();
  PayloadReader(PayloadReader&&) noexcept;
  PayloadReader& operator=(PayloadReader&&) noexcept;

  /// Nothing when the body is none of these. `content_type` may be empty; text/csv tells CSV.
  /// `behind`: what follows the JSON, as Inference-Header-Content-Length says it.
  std::optional<PayloadInputs> ReadInputs(std::string_view body, std::string_view content_type,
                                          std::string_view behind = {});
  std::optional<PayloadOutputs> ReadOutputs(std::string_view body, std::string_view content_type,
                                            std::string_view behind = {});

 private:
  class Inputs;
  class Outputs;
  std::unique_ptr<Inputs> inputs_;
  std::unique_ptr<Outputs> outputs_;
};

}  // namespace leadsman::intake
