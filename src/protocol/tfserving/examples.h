#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "protocol/tfserving/example_wire.h"
#include "serving/predictor.h"
#include "tensor/tensor.h"

namespace leadsman::tfserving {

/// Classify, Regress and MultiInference without their wire form: tf.Examples become the inputs of a
/// signature, its outputs become classes or values. REST and gRPC both go through here:
///
///   Admit → SelectSignature → call.signature = … → ExamplesToInputs → Execute → ReadClasses or
///   ReadValues
///
/// Two kinds of signature are taken:
///  - the one of a SavedModel that parses tf.Examples itself: its only input is a list of strings.
///    Each example, with the context merged in, is serialized into it.
///  - any other: each feature goes to the input of its name, one example a row.
/// Everything here is a pure function and thread-safe.

struct ExampleBatch {
  std::vector<Example> examples;
  Example context;  ///< of every example that does not have the feature itself
  void Clear() {
    examples.clear();
    context.features.clear();
  }
};

enum class Method { kPredict, kClassify, kRegress };
TfServingApi ApiOf(Method method);
/// "tensorflow/serving/classify"
std::string_view MethodName(Method method);

/// The index in `signatures` (as of LoadedModel) of the one called `name`; empty: the first, which
/// is the default. INVALID_ARGUMENT when there is none of that name, with those there are; or when
/// it was exported for another method (classify asked of a regression). A signature for predict, or
/// for no method in particular, is taken for every method.
Result<size_t> SelectSignature(std::span<const NamedSignature> signatures, std::string_view name,
                               Method method);

/// Fills call.inputs, input_count and rows for `signature`. INVALID_ARGUMENT names the example, the
/// feature, what was expected and what came. `limit`: bytes that one input may take; a context is written out once an example.
Status ExamplesToInputs(const ExampleBatch& batch, const Signature& signature, size_t limit,
                        PredictionCall& call);

/// What the examples of a request may take in memory while they are read, in times of the limit of an input.
inline constexpr size_t kExampleMemory = 4;
/// INVALID_ARGUMENT: they take more.
Status TooMuchMemory(size_t limit);

/// One class of one example.
struct ClassScore {
  std::string label;
  float score = 0;
};

/// What the model said about each of `rows` examples, class by class. A classify signature has the
/// outputs `classes` (strings) and `scores` (FP32), or one of them, each [rows, classes]. Of any
/// other signature the scores are the output called scores, probabilities, output_probability or
/// probability, else the only floating-point output; the labels are the strings of an output of the
/// same shape, else the classes' numbers "0", "1", …. Without scores the label of each row has the
/// score 1. INVALID_ARGUMENT says what was looked for among the outputs.
Result<std::vector<std::vector<ClassScore>>> ReadClasses(const NamedSignature& signature,
                                                         std::span<const TensorView> outputs,
                                                         uint32_t rows);

/// One value for each of `rows` examples: the output called `outputs`, else the only output with
/// one number a row, [rows] or [rows,1].
Result<std::vector<float>> ReadValues(const NamedSignature& signature,
                                      std::span<const TensorView> outputs, uint32_t rows);

}  // namespace leadsman::tfserving
