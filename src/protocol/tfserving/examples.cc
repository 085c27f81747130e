#include "protocol/tfserving/examples.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/strings.h"
#include "protocol/prediction_codec.h"

namespace leadsman::tfserving {
namespace {

constexpr size_t kShownName = 64;
/// A batch is one tensor: what no client means is refused before memory is asked for.
constexpr int64_t kMaxElements = int64_t{1} << 31;

std::string_view KindName(Feature::Kind kind) {
  switch (kind) {
    case Feature::Kind::kBytes:
      return "strings";
    case Feature::Kind::kFloat:
      return "floats";
    case Feature::Kind::kInt64:
      return "integers";
    case Feature::Kind::kNone:
      return "nothing";
  }
  return "nothing";
}

std::string Where(size_t row, std::string_view feature) {
  return StrCat("examples[", row, "], feature '", CutUtf8(feature, kShownName), "'");
}

const Feature* FindFeature(const ExampleBatch& batch, size_t row, std::string_view name) {
  const Feature* feature = batch.examples[row].Find(name);
  return feature != nullptr ? feature : batch.context.Find(name);
}

bool AnyHas(const ExampleBatch& batch, std::string_view name) {
  if (batch.context.Find(name) != nullptr) return true;
  return std::any_of(batch.examples.begin(), batch.examples.end(),
                     [&](const Example& example) { return example.Find(name) != nullptr; });
}

/// The model parses tf.Examples itself: one list of strings is all it takes, and no feature is
/// called like it.
bool TakesSerialized(const ExampleBatch& batch, const Signature& signature) {
  if (signature.inputs.size() != 1) return false;
  const TensorSpec& spec = signature.inputs[0];
  return spec.type == DataType::kBytes && (spec.any_rank || spec.shape.rank() == 1) &&
         !AnyHas(batch, spec.name);
}

/// The shape of one example's part of the input: what the signature says behind the batch, with
/// the free dimension (one at most) filled in from the number of values.
Result<Shape> RowShape(const TensorSpec& spec, size_t values) {
  Shape shape;
  if (spec.any_rank) {
    if (values != 1) shape.Append(static_cast<int64_t>(values));
    return shape;
  }
  if (spec.shape.rank() == 0) {
    return InvalidArgumentError(
        StrCat("input '", spec.name,
               "' is one value for the whole request; examples fill inputs row by row. Use predict "
               "with 'inputs'"));
  }
  int64_t known = 1;
  int free = -1;
  for (size_t i = 1; i < spec.shape.rank(); ++i) {
    shape.Append(spec.shape[i]);
    if (spec.shape[i] >= 0) {
      if (__builtin_mul_overflow(known, spec.shape[i], &known)) known = kMaxElements;
    } else if (free >= 0) {
      return InvalidArgumentError(
          StrCat("input '", spec.name, "' has the shape ", spec.shape.ToString(),
                 ", with several free dimensions that a flat list of values cannot fill; use "
                 "predict"));
    } else {
      free = static_cast<int>(i) - 1;
    }
  }
  auto count = static_cast<int64_t>(values);
  if (free >= 0 && known > 0 && count % known == 0) {
    shape[static_cast<size_t>(free)] = count / known;
    return shape;
  }
  if (free < 0 && count == known) return shape;
  return InvalidArgumentError(StrCat(
      "expected ", free >= 0 ? "a multiple of " : "", known, known == 1 ? " value" : " values",
      " for the input ", DataTypeName(spec.type), spec.shape.ToString(), ", got ", count));
}

template <typename T>
bool PushIntegers(const Feature& feature, Tensor& tensor) {
  for (int64_t value : feature.ints) {
    if (!std::in_range<T>(value)) return false;
    tensor.Push<T>(static_cast<T>(value));
  }
  return true;
}

template <typename T>
void PushFloats(const Feature& feature, Tensor& tensor) {
  for (double value : feature.floats) tensor.Push<T>(static_cast<T>(value));
  for (int64_t value : feature.ints) tensor.Push<T>(static_cast<T>(value));
}

/// Appends the feature's values. False when the kinds do not go together.
Result<bool> PushValues(const Feature& feature, DataType type, Tensor& tensor) {
  bool ints = feature.kind == Feature::Kind::kInt64;
  bool numbers = ints || feature.kind == Feature::Kind::kFloat;
  auto whole = [&](auto zero) -> Result<bool> {
    using T = decltype(zero);
    if (!ints) return false;
    if (PushIntegers<T>(feature, tensor)) return true;
    return InvalidArgumentError(
        StrCat("a value is out of range of expected type: ", DataTypeName(type)));
  };
  switch (type) {
    case DataType::kBytes:
      if (feature.kind != Feature::Kind::kBytes) return false;
      for (const std::string& value : feature.bytes) tensor.PushString(value);
      return true;
    case DataType::kFp32:
      if (numbers) PushFloats<float>(feature, tensor);
      return numbers;
    case DataType::kFp64:
      if (numbers) PushFloats<double>(feature, tensor);
      return numbers;
    case DataType::kInt64:
      return whole(int64_t{});
    case DataType::kInt32:
      return whole(int32_t{});
    case DataType::kInt16:
      return whole(int16_t{});
    case DataType::kInt8:
      return whole(int8_t{});
    case DataType::kUint64:
      return whole(uint64_t{});
    case DataType::kUint32:
      return whole(uint32_t{});
    case DataType::kUint16:
      return whole(uint16_t{});
    case DataType::kUint8:
      return whole(uint8_t{});
    case DataType::kBool:
      if (!ints) return false;
      for (int64_t value : feature.ints) tensor.Push<uint8_t>(value != 0 ? 1 : 0);
      return true;
    default:
      return InvalidArgumentError(
          StrCat(DataTypeName(type), " has no form in a tf.Example; use predict"));
  }
}

/// In a tensor of `type`; a string lies there as bytes, with where they begin and end.
size_t SizeInTensor(const Feature& feature, DataType type) {
  if (type != DataType::kBytes) return feature.size() * ElementSize(type);
  size_t size = feature.size() * sizeof(std::string_view);
  for (const std::string& text : feature.bytes) size += text.size();
  return size;
}

Status TooLarge(const TensorSpec& spec, size_t limit) {
  return InvalidArgumentError(StrCat(
      "input '", spec.name, "': the examples, each with what the context gives it, take more than ",
      limit, " bytes (server.limits.max_body); send fewer at once"));
}

/// One input from the features of its name.
Status FillInput(const ExampleBatch& batch, const TensorSpec& spec, size_t limit, Tensor& tensor) {
  tensor.Reset(spec.name, spec.type);
  std::optional<Shape> row_shape;
  size_t total = 0;
  for (size_t row = 0; row < batch.examples.size(); ++row) {
    const Feature* feature = FindFeature(batch, row, spec.name);
    if (feature == nullptr) {
      return InvalidArgumentError(StrCat("examples[", row, "] lacks the feature '", spec.name,
                                         "', an input of the model (", DataTypeName(spec.type),
                                         spec.any_rank ? "" : spec.shape.ToString(), ")"));
    }
    Result<Shape> shape = RowShape(spec, feature->size());
    if (!shape.ok()) return Annotate(shape.status(), Where(row, spec.name));
    if (row_shape && !(*row_shape == *shape)) {
      return InvalidArgumentError(StrCat(Where(row, spec.name), ": has ", feature->size(),
                                         " values, the examples before it have another number; "
                                         "one request needs the same number in all"));
    }
    row_shape = *shape;
    total += SizeInTensor(*feature, spec.type);
    if (total > limit) return TooLarge(spec, limit);
    Result<bool> pushed = PushValues(*feature, spec.type, tensor);
    if (!pushed.ok()) return Annotate(pushed.status(), Where(row, spec.name));
    if (!*pushed) {
      return InvalidArgumentError(StrCat(Where(row, spec.name), ": expected values for ",
                                         DataTypeName(spec.type), ", got ",
                                         KindName(feature->kind)));
    }
  }
  tensor.shape() = {static_cast<int64_t>(batch.examples.size())};
  for (int64_t dim : row_shape->dims()) tensor.shape().Append(dim);
  return OkStatus();
}

/// A feature that is no input is a slip of the hand: said, instead of a wrong answer.
Status CheckNames(const Example& example, std::string_view what, const Signature& signature) {
  for (const Feature& feature : example.features) {
    if (FindInputIndex(signature, feature.name) >= 0) continue;
    return InvalidArgumentError(
        StrCat(what, " has the feature '", CutUtf8(feature.name, kShownName),
               "', which is not an input of the model; its inputs are ", InputNames(signature)));
  }
  return OkStatus();
}

const TensorView* FindOutput(std::span<const TensorView> outputs, std::string_view name) {
  for (const TensorView& output : outputs) {
    if (output.name == name) return &output;
  }
  return nullptr;
}

bool IsFloat(const TensorView& tensor) {
  return tensor.type == DataType::kFp32 || tensor.type == DataType::kFp64;
}

/// A number of any type; the caller knows that it is one.
float NumberAt(const TensorView& tensor, size_t i) {
  switch (tensor.type) {
    case DataType::kFp32:
      return tensor.as<float>()[i];
    case DataType::kFp64:
      return static_cast<float>(tensor.as<double>()[i]);
    case DataType::kInt64:
      return static_cast<float>(tensor.as<int64_t>()[i]);
    case DataType::kInt32:
      return static_cast<float>(tensor.as<int32_t>()[i]);
    case DataType::kUint8:
      return tensor.as<uint8_t>()[i];
    default:
      return 0;
  }
}

bool IsNumber(const TensorView& tensor) {
  return IsFloat(tensor) || tensor.type == DataType::kInt64 || tensor.type == DataType::kInt32 ||
         tensor.type == DataType::kUint8;
}

std::string LabelAt(const TensorView& tensor, size_t i) {
  if (tensor.type == DataType::kBytes) return std::string(tensor.as<std::string_view>()[i]);
  if (tensor.type == DataType::kInt64) return StrCat(tensor.as<int64_t>()[i]);
  return StrCat(tensor.as<int32_t>()[i]);
}

bool IsLabel(const TensorView& tensor) {
  return tensor.type == DataType::kBytes || tensor.type == DataType::kInt64 ||
         tensor.type == DataType::kInt32;
}

std::string Describe(const TensorView& tensor) {
  return StrCat(DataTypeName(tensor.type), tensor.shape.ToString());
}

std::string OutputNames(std::span<const TensorView> outputs) {
  std::vector<std::string> names;
  for (const TensorView& output : outputs)
    names.push_back(StrCat(output.name, " (", Describe(output), ")"));
  return HumanList(names);
}

/// As TensorFlow Serving words it.
Status CheckMatrix(std::string_view what, const TensorView& tensor, uint32_t rows) {
  if (tensor.shape.rank() != 2) {
    return InvalidArgumentError(StrCat("Expected Tensor shape: [batch_size num_classes] but got ",
                                       tensor.shape.ToString(), " (output '", tensor.name, "')"));
  }
  if (tensor.shape[0] != rows) {
    return InvalidArgumentError(
        StrCat("Expected ", what, " output batch size of ", rows, ". Got: ", tensor.shape[0]));
  }
  return OkStatus();
}

/// The two outputs that classes are read from; either may be null, but not both.
struct ClassOutputs {
  const TensorView* classes = nullptr;
  const TensorView* scores = nullptr;
};

Result<ClassOutputs> DeclaredOutputs(std::span<const TensorView> outputs, uint32_t rows) {
  ClassOutputs found{FindOutput(outputs, "classes"), FindOutput(outputs, "scores")};
  if (found.classes == nullptr && found.scores == nullptr) {
    return FailedPreconditionError(
        StrCat("Expected classification signature outputs to contain at least one of \"classes\" "
               "or \"scores\". Its outputs are ",
               OutputNames(outputs)));
  }
  if (found.classes != nullptr) {
    RETURN_IF_ERROR(CheckMatrix("classes", *found.classes, rows));
    if (found.classes->type != DataType::kBytes) {
      return InvalidArgumentError(StrCat("Expected classes Tensor of DT_STRING. Got: ",
                                         TensorFlowTypeName(found.classes->type)));
    }
  }
  if (found.scores != nullptr) {
    RETURN_IF_ERROR(CheckMatrix("scores", *found.scores, rows));
    if (found.scores->type != DataType::kFp32) {
      return InvalidArgumentError(StrCat("Expected scores Tensor of DT_FLOAT. Got: ",
                                         TensorFlowTypeName(found.scores->type)));
    }
    if (found.classes != nullptr && found.classes->shape[1] != found.scores->shape[1]) {
      return InvalidArgumentError(
          StrCat("Tensors class and score should match in dim_size(1). Got ",
                 found.classes->shape[1], " vs. ", found.scores->shape[1]));
    }
  }
  return found;
}

/// For signatures that were not made for classify.
Result<ClassOutputs> GuessedOutputs(std::span<const TensorView> outputs, uint32_t rows) {
  auto per_class = [&](const TensorView& t) { return t.shape.rank() == 2 && t.shape[0] == rows; };
  auto per_row = [&](const TensorView& t) { return t.shape.rank() == 1 && t.shape[0] == rows; };
  ClassOutputs found;
  for (std::string_view name : {"scores", "probabilities", "output_probability", "probability"}) {
    const TensorView* output = FindOutput(outputs, name);
    if (found.scores == nullptr && output != nullptr && IsFloat(*output) && per_class(*output))
      found.scores = output;
  }
  if (found.scores == nullptr) {
    for (const TensorView& output : outputs) {
      if (!IsFloat(output) || !per_class(output)) continue;
      if (found.scores != nullptr) {
        return InvalidArgumentError(
            StrCat("classify cannot tell the scores among the outputs ", OutputNames(outputs),
                   ": call one of them scores or probabilities, or use predict"));
      }
      found.scores = &output;
    }
  }
  for (const TensorView& output : outputs) {
    bool fits = found.scores != nullptr
                    ? output.type == DataType::kBytes && output.shape == found.scores->shape
                    : IsLabel(output) && (per_row(output) || per_class(output));
    if (fits && (found.classes == nullptr || output.name == "classes")) found.classes = &output;
  }
  if (found.scores == nullptr && found.classes == nullptr) {
    return InvalidArgumentError(
        StrCat("classify found neither scores ([batch, classes] of FP32 or FP64) nor labels "
               "(strings or integers) among the outputs ",
               OutputNames(outputs), "; use predict"));
  }
  return found;
}

}  // namespace

TfServingApi ApiOf(Method method) {
  switch (method) {
    case Method::kPredict:
      return TfServingApi::kPredict;
    case Method::kClassify:
      return TfServingApi::kClassify;
    case Method::kRegress:
      return TfServingApi::kRegress;
  }
  return TfServingApi::kUncounted;
}

std::string_view MethodName(Method method) {
  switch (method) {
    case Method::kPredict:
      return "tensorflow/serving/predict";
    case Method::kClassify:
      return "tensorflow/serving/classify";
    case Method::kRegress:
      return "tensorflow/serving/regress";
  }
  return "";
}

Result<size_t> SelectSignature(std::span<const NamedSignature> signatures, std::string_view name,
                               Method method) {
  size_t index = 0;
  if (!name.empty()) {
    while (index < signatures.size() && signatures[index].name != name) ++index;
    if (index == signatures.size()) {
      std::vector<std::string> known;
      for (const NamedSignature& signature : signatures) known.push_back(signature.name);
      return InvalidArgumentError(StrCat("Serving signature name: \"", CutUtf8(name, kShownName),
                                         "\" not found in signature def; this model has ",
                                         HumanList(known)));
    }
  }
  const std::string& made_for = signatures[index].method;
  bool any = made_for.empty() || made_for == MethodName(Method::kPredict);
  if (method == Method::kPredict || any || made_for == MethodName(method)) return index;
  std::vector<std::string> fitting;
  for (const NamedSignature& signature : signatures) {
    if (signature.method == MethodName(method)) fitting.push_back(signature.name);
  }
  return InvalidArgumentError(
      StrCat("Expected ", method == Method::kClassify ? "classification" : "regression",
             " signature method_name to be ", MethodName(method), ". Was: ", made_for,
             fitting.empty() ? "" : StrCat("; give signature_name: ", HumanList(fitting))));
}

Status TooMuchMemory(size_t limit) {
  return InvalidArgumentError(StrCat("the examples take more than ", kExampleMemory * limit,
                                     " bytes of memory (", kExampleMemory,
                                     " times server.limits.max_body); send fewer at once"));
}

Status ExamplesToInputs(const ExampleBatch& batch, const Signature& signature, size_t limit,
                        PredictionCall& call) {
  if (batch.examples.empty()) return InvalidArgumentError("Input is empty: there are no examples");
  PrepareInputs(signature, call);
  if (TakesSerialized(batch, signature)) {
    Tensor& tensor = call.inputs[0];
    tensor.Reset(signature.inputs[0].name, DataType::kBytes);
    size_t total = 0;
    for (const Example& example : batch.examples) {
      const std::string serialized = SerializeExample(example, batch.context);
      total += serialized.size() + sizeof(std::string_view);
      if (total > limit) return TooLarge(signature.inputs[0], limit);
      tensor.PushString(serialized);
    }
    tensor.shape() = {static_cast<int64_t>(batch.examples.size())};
    return CheckInputs(signature, call);
  }
  for (size_t row = 0; row < batch.examples.size(); ++row)
    RETURN_IF_ERROR(CheckNames(batch.examples[row], StrCat("examples[", row, "]"), signature));
  RETURN_IF_ERROR(CheckNames(batch.context, "context", signature));
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const TensorSpec& spec = signature.inputs[i];
    if (spec.optional && !AnyHas(batch, spec.name)) continue;
    RETURN_IF_ERROR(FillInput(batch, spec, limit, call.inputs[i]));
  }
  return CheckInputs(signature, call);
}

Result<std::vector<std::vector<ClassScore>>> ReadClasses(const NamedSignature& signature,
                                                         std::span<const TensorView> outputs,
                                                         uint32_t rows) {
  bool declared = signature.method == MethodName(Method::kClassify);
  ASSIGN_OR_RETURN(ClassOutputs found,
                   declared ? DeclaredOutputs(outputs, rows) : GuessedOutputs(outputs, rows));
  const TensorView& sized = found.scores != nullptr ? *found.scores : *found.classes;
  auto classes = static_cast<size_t>(sized.shape.rank() == 2 ? sized.shape[1] : 1);
  std::vector<std::vector<ClassScore>> result(rows);
  for (size_t row = 0; row < rows; ++row) {
    result[row].resize(classes);
    for (size_t c = 0; c < classes; ++c) {
      size_t at = row * classes + c;
      ClassScore& one = result[row][c];
      // A signature for classify without labels has none, as TensorFlow Serving answers it.
      if (found.classes != nullptr) {
        one.label = LabelAt(*found.classes, at);
      } else if (!declared) {
        one.label = StrCat(c);
      }
      if (found.scores != nullptr) {
        one.score = NumberAt(*found.scores, at);
      } else if (!declared) {
        one.score = 1;
      }
    }
  }
  return result;
}

Result<std::vector<float>> ReadValues(const NamedSignature& signature,
                                      std::span<const TensorView> outputs, uint32_t rows) {
  bool declared = signature.method == MethodName(Method::kRegress);
  auto fits = [&](const TensorView& t) {
    bool shape =
        (t.shape.rank() == 1 || (t.shape.rank() == 2 && t.shape[1] == 1)) && t.shape[0] == rows;
    return shape && (declared ? t.type == DataType::kFp32 : IsNumber(t));
  };
  const TensorView* found = FindOutput(outputs, "outputs");
  if (declared && found == nullptr) {
    return FailedPreconditionError(
        StrCat("No regression outputs found in SignatureDef: it has ", OutputNames(outputs)));
  }
  if (found != nullptr && !fits(*found)) {
    return InvalidArgumentError(
        StrCat("Expected output Tensor shape to be either [batch_size] or [batch_size, 1] of ",
               declared ? "DT_FLOAT" : "numbers", " with a batch size of ", rows,
               ". Got: ", Describe(*found)));
  }
  for (const TensorView& output : outputs) {
    if (found != nullptr && found->name == "outputs") break;
    if (!fits(output)) continue;
    if (found != nullptr) {
      return InvalidArgumentError(StrCat("regress cannot tell the value among the outputs ",
                                         OutputNames(outputs),
                                         ": call one of them outputs, or use predict"));
    }
    found = &output;
  }
  if (found == nullptr) {
    return InvalidArgumentError(StrCat("regress found no output with one number for each of the ",
                                       rows, " examples among ", OutputNames(outputs),
                                       "; use predict"));
  }
  std::vector<float> values(rows);
  for (size_t row = 0; row < rows; ++row) values[row] = NumberAt(*found, row);
  return values;
}

}  // namespace leadsman::tfserving
