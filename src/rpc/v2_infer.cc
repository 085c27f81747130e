#include "rpc/v2_infer.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <type_traits>

#include "base/strings.h"
#include "base/wire.h"
#include "protocol/prediction_codec.h"
#include "protocol/v2/binary_tensor.h"
#include "protocol/v2/classification.h"
#include "rpc/grpc_call.h"

namespace leadsman::rpc {
namespace {

constexpr size_t kShownName = 64;
constexpr uint64_t kDayUs =
    86'400'000'000;  // what is longer is no limit, and sums stay far from overflow

Status Malformed(std::string_view what) {
  return InvalidArgumentError(StrCat("malformed protocol buffer message: ", what));
}

/// Before one more is added to `size`.
Status CheckCount(std::string_view field, size_t size) {
  if (size < kMaxEntries) return OkStatus();
  return InvalidArgumentError(StrCat("'", field, "' has more than ", kMaxEntries, " entries"));
}

std::string Where(size_t at, std::string_view name) {
  return StrCat("inputs[", at, "] '", CutUtf8(name, kShownName), "'");
}

/// One value of an InferParameter map entry.
struct Parameter {
  std::string_view key;
  enum class Kind { kNone, kBool, kInt64, kString, kDouble, kUint64 } kind = Kind::kNone;
  uint64_t number = 0;
  std::string_view text;

  bool Parse(std::string_view entry) {
    WireReader in(entry);
    std::string_view value;
    while (in.Next()) {
      if (in.Is(1, WireReader::kBytes)) key = in.bytes();
      if (in.Is(2, WireReader::kBytes)) value = in.bytes();
    }
    if (!in.ok()) return false;
    WireReader choice(value);
    while (choice.Next()) {
      number = choice.varint();
      if (choice.Is(1, WireReader::kVarint)) kind = Kind::kBool;
      if (choice.Is(2, WireReader::kVarint)) kind = Kind::kInt64;
      if (choice.Is(5, WireReader::kVarint)) kind = Kind::kUint64;
      if (choice.Is(4, WireReader::kFixed64)) kind = Kind::kDouble;
      if (choice.Is(3, WireReader::kBytes)) {
        kind = Kind::kString;
        text = choice.bytes();
      }
    }
    return choice.ok();
  }
  /// A whole number that is not negative, as some clients send it: as int64, uint64 or text.
  std::optional<uint64_t> Unsigned() const {
    if (kind == Kind::kUint64) return number;
    if (kind == Kind::kInt64 && static_cast<int64_t>(number) >= 0) return number;
    if (kind == Kind::kString) {
      std::optional<int64_t> value = ParseInt64(text);
      if (value && *value >= 0) return static_cast<uint64_t>(*value);
    }
    return std::nullopt;
  }
  bool True() const { return kind == Kind::kBool && number != 0; }
};

/// The field of InferTensorContents that holds values of a type; 0 for those that only come raw.
uint32_t ContentsField(DataType type) {
  switch (type) {
    case DataType::kBool:
      return 1;
    case DataType::kInt8:
    case DataType::kInt16:
    case DataType::kInt32:
      return 2;
    case DataType::kInt64:
      return 3;
    case DataType::kUint8:
    case DataType::kUint16:
    case DataType::kUint32:
      return 4;
    case DataType::kUint64:
      return 5;
    case DataType::kFp32:
      return 6;
    case DataType::kFp64:
      return 7;
    case DataType::kBytes:
      return 8;
    default:
      return 0;
  }
}
std::string_view ContentsName(uint32_t field) {
  static constexpr std::string_view kNames[] = {
      "raw_input_contents", "bool_contents", "int_contents",  "int64_contents", "uint_contents",
      "uint64_contents",    "fp32_contents", "fp64_contents", "bytes_contents"};
  return kNames[field];
}

/// Packed floats or doubles are what the tensor holds.
template <typename T>
bool AppendFixed(const WireReader& in, Tensor& tensor) {
  if (in.type() != WireReader::kBytes) {
    uint64_t bits = in.fixed();
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    tensor.Push(value);
    return true;
  }
  const size_t count = in.bytes().size() / sizeof(T);
  if (count * sizeof(T) != in.bytes().size()) return false;
  if (count > 0) std::memcpy(tensor.Extend(count), in.bytes().data(), count * sizeof(T));
  return true;
}

/// False when a value is out of the type's range.
template <typename T>
bool PushChecked(uint64_t bits, Tensor& tensor) {
  if constexpr (std::is_signed_v<T>) {
    const auto value = static_cast<int64_t>(bits);
    tensor.Push(static_cast<T>(value));
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
  } else {
    tensor.Push(static_cast<T>(bits));
    return bits <= std::numeric_limits<T>::max();
  }
}

/// Malformed, out of range, or fine.
enum class Read { kOk, kMalformed, kRange };

Read ReadContents(std::string_view contents, uint32_t field, Tensor& tensor,
                  uint32_t* other_field) {
  WireReader in(contents);
  bool in_range = true;
  auto varints = [&](auto push) { return ForEachVarint(in, push); };
  while (in.Next()) {
    if (in.field() != field) {
      if (in.field() >= 1 && in.field() <= 8) *other_field = in.field();
      continue;
    }
    bool good = true;
    switch (tensor.type()) {
      case DataType::kFp32:
        good = in.type() != WireReader::kVarint && in.type() != WireReader::kFixed64 &&
               AppendFixed<float>(in, tensor);
        break;
      case DataType::kFp64:
        good = in.type() != WireReader::kVarint && in.type() != WireReader::kFixed32 &&
               AppendFixed<double>(in, tensor);
        break;
      case DataType::kBytes:
        good = in.type() == WireReader::kBytes;
        if (good) tensor.PushString(in.bytes());
        break;
      default:
        if (in.type() != WireReader::kVarint && in.type() != WireReader::kBytes)
          return Read::kMalformed;
        good = varints([&](uint64_t bits) {
          switch (tensor.type()) {
            case DataType::kBool:
              tensor.Push(static_cast<uint8_t>(bits != 0));
              break;
            case DataType::kInt8:
              in_range = PushChecked<int8_t>(bits, tensor) && in_range;
              break;
            case DataType::kInt16:
              in_range = PushChecked<int16_t>(bits, tensor) && in_range;
              break;
            case DataType::kInt32:
              in_range = PushChecked<int32_t>(bits, tensor) && in_range;
              break;
            case DataType::kUint8:
              in_range = PushChecked<uint8_t>(bits, tensor) && in_range;
              break;
            case DataType::kUint16:
              in_range = PushChecked<uint16_t>(bits, tensor) && in_range;
              break;
            case DataType::kUint32:
              in_range = PushChecked<uint32_t>(bits, tensor) && in_range;
              break;
            default:  // INT64 and UINT64
              tensor.Push(bits);
          }
        });
    }
    if (!good) return Read::kMalformed;
  }
  if (!in.ok()) return Read::kMalformed;
  return in_range ? Read::kOk : Read::kRange;
}

template <typename T>
void AppendVarints(std::string& out, const TensorView& tensor) {
  WireWriter writer(out);
  for (T value : tensor.as<T>()) writer.Varint(static_cast<uint64_t>(value));
}

/// The values of an output as InferTensorContents.
void AppendContents(WireWriter& out, const TensorView& tensor) {
  const uint32_t field = ContentsField(tensor.type);
  switch (tensor.type) {
    case DataType::kBytes:
      for (std::string_view text : tensor.as<std::string_view>()) out.Bytes(field, text);
      return;
    case DataType::kFp32:
    case DataType::kFp64:
      if (tensor.element_count > 0)
        out.Bytes(field, {static_cast<const char*>(tensor.data), tensor.byte_size()});
      return;
    default:
      break;
  }
  if (tensor.element_count == 0) return;
  out.Message(field, [&](WireWriter& packed) {
    std::string& bytes = packed.out();
    switch (tensor.type) {
      case DataType::kBool:
      case DataType::kUint8:
        return AppendVarints<uint8_t>(bytes, tensor);
      case DataType::kUint16:
        return AppendVarints<uint16_t>(bytes, tensor);
      case DataType::kUint32:
        return AppendVarints<uint32_t>(bytes, tensor);
      case DataType::kUint64:
        return AppendVarints<uint64_t>(bytes, tensor);
      case DataType::kInt8:
        return AppendVarints<int8_t>(bytes, tensor);
      case DataType::kInt16:
        return AppendVarints<int16_t>(bytes, tensor);
      case DataType::kInt32:
        return AppendVarints<int32_t>(bytes, tensor);
      default:
        return AppendVarints<int64_t>(bytes, tensor);
    }
  });
}

}  // namespace

Status ModelInferCodec::Parse(std::string_view message) {
  selector_ = {};
  version_ = {};
  id_.clear();
  inputs_.clear();
  outputs_.clear();
  raw_.clear();
  timeout_us_.reset();
  priority_ = 0;
  final_response_flag_ = false;
  WireReader in(message);
  while (in.Next()) {
    if (in.type() != WireReader::kBytes) continue;
    switch (in.field()) {
      case 1:
        selector_.model = in.bytes();
        break;
      case 2:
        version_ = in.bytes();
        break;
      case 3:
        id_.assign(in.bytes());
        break;
      case 4:
        RETURN_IF_ERROR(ParseParameter(in.bytes()));
        break;
      case 5:
        RETURN_IF_ERROR(CheckCount("inputs", inputs_.size()));
        RETURN_IF_ERROR(ParseInput(in.bytes()));
        break;
      case 6:
        RETURN_IF_ERROR(CheckCount("outputs", outputs_.size()));
        RETURN_IF_ERROR(ParseOutput(in.bytes()));
        break;
      case 7:
        RETURN_IF_ERROR(CheckCount("raw_input_contents", raw_.size()));
        raw_.push_back(in.bytes());
        break;
      default:
        break;
    }
  }
  if (!in.ok()) return Malformed("this is no inference.ModelInferRequest");
  if (!IsUtf8(id_)) return Malformed("'id' is not UTF-8");
  if (selector_.model.empty()) return InvalidArgumentError("'model_name' is missing");
  if (!version_.empty()) {
    const bool digits =
        std::all_of(version_.begin(), version_.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (digits) selector_.version = ParseInt64(version_);
    if (!selector_.version) {
      return InvalidArgumentError(StrCat("failed to get model version from '",
                                         CutUtf8(version_, kShownName),
                                         "': 'model_version' is a whole number, or empty"));
    }
  }
  return OkStatus();
}

Status ModelInferCodec::ParseParameter(std::string_view bytes) {
  Parameter parameter;
  if (!parameter.Parse(bytes)) return Malformed("'parameters'");
  if (parameter.key == "timeout") {
    timeout_us_ = parameter.Unsigned();
    if (!timeout_us_) {
      return InvalidArgumentError(
          "'parameters.timeout' must be a whole number of microseconds, 0 for none");
    }
  } else if (parameter.key == "priority") {
    std::optional<uint64_t> priority = parameter.Unsigned();
    if (!priority || *priority > UINT32_MAX) {
      return InvalidArgumentError(
          "'parameters.priority' must be a whole number: 0 for the model's default, 1 for the "
          "highest");
    }
    priority_ = static_cast<uint32_t>(*priority);
  } else if (parameter.key == "triton_enable_empty_final_response") {
    final_response_flag_ = parameter.True();
  }
  return OkStatus();
}

Status ModelInferCodec::ParseInput(std::string_view bytes) {
  Input& input = inputs_.emplace_back();
  const size_t at = inputs_.size() - 1;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.field() == 3 && (in.type() == WireReader::kVarint || in.type() == WireReader::kBytes)) {
      bool fits = true;
      bool good = ForEachVarint(in, [&](uint64_t dim) {
        fits = fits && input.shape.rank() < Shape::kMaxRank;
        if (fits) input.shape.Append(static_cast<int64_t>(dim));
      });
      if (!good) return Malformed(StrCat("inputs[", at, "].shape"));
      if (!fits) {
        return InvalidArgumentError(
            StrCat("inputs[", at, "]: 'shape' has more than ", Shape::kMaxRank, " dimensions"));
      }
      continue;
    }
    if (in.type() != WireReader::kBytes) continue;
    switch (in.field()) {
      case 1:
        input.name = in.bytes();
        break;
      case 2:
        input.datatype = in.bytes();
        break;
      case 4: {
        Parameter parameter;
        if (!parameter.Parse(in.bytes())) return Malformed(StrCat("inputs[", at, "].parameters"));
        if (parameter.key.starts_with("shared_memory_")) {
          return UnimplementedError(
              StrCat("inputs[", at, "].parameters.", CutUtf8(parameter.key, kShownName),
                     " is not supported by this server; send the data in the message"));
        }
        break;
      }
      case 5:
        input.contents = in.bytes();
        input.has_contents = !in.bytes().empty();
        break;
      default:
        break;
    }
  }
  if (!in.ok()) return Malformed(StrCat("inputs[", at, "]"));
  if (input.name.empty())
    return InvalidArgumentError(StrCat("inputs[", at, "]: 'name' is missing"));
  return OkStatus();
}

Status ModelInferCodec::ParseOutput(std::string_view bytes) {
  WantedOutput& output = outputs_.emplace_back();
  const size_t at = outputs_.size() - 1;
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) output.name = in.bytes();
    if (!in.Is(2, WireReader::kBytes)) continue;
    Parameter parameter;
    if (!parameter.Parse(in.bytes())) return Malformed(StrCat("outputs[", at, "].parameters"));
    if (parameter.key.starts_with("shared_memory_")) {
      return UnimplementedError(
          StrCat("outputs[", at, "].parameters.", CutUtf8(parameter.key, kShownName),
                 " is not supported by this server; take the data from the message"));
    }
    if (parameter.key == "classification") {
      std::optional<uint64_t> classes = parameter.Unsigned();
      if (!classes || *classes > INT32_MAX) {
        return InvalidArgumentError(StrCat(
            "outputs[", at, "].parameters.classification must be a whole number of classes"));
      }
      output.classes = static_cast<uint32_t>(*classes);
    }
  }
  return in.ok() ? OkStatus() : Malformed(StrCat("outputs[", at, "]"));
}

Status ModelInferCodec::FindOutputs(const Signature& signature) {
  for (size_t at = 0; at < outputs_.size(); ++at) {
    WantedOutput& wanted = outputs_[at];
    const TensorSpec* spec = signature.FindOutput(wanted.name);
    if (spec == nullptr) {
      std::vector<std::string> names;
      for (const TensorSpec& output : signature.outputs) names.push_back(output.name);
      return InvalidArgumentError(StrCat("unexpected inference output '",
                                         CutUtf8(wanted.name, kShownName),
                                         "'; the model's outputs are ", HumanList(names)));
    }
    wanted.index = static_cast<size_t>(spec - signature.outputs.data());
    for (size_t before = 0; before < at; ++before) {
      if (outputs_[before].index == wanted.index) {
        return InvalidArgumentError(StrCat("output '", spec->name, "' is requested twice"));
      }
    }
  }
  return OkStatus();
}

Status ModelInferCodec::DecodeInput(const Signature& signature, PredictionCall& call, size_t at) {
  const Input& input = inputs_[at];
  int index = FindInputIndex(signature, input.name);
  if (index < 0) {
    return InvalidArgumentError(StrCat("unexpected inference input '",
                                       CutUtf8(input.name, kShownName),
                                       "'; the model's inputs are ", InputNames(signature)));
  }
  const TensorSpec& spec = signature.inputs[static_cast<size_t>(index)];
  Tensor& tensor = call.inputs[static_cast<size_t>(index)];
  if (tensor.type() != DataType::kInvalid)
    return InvalidArgumentError(StrCat(Where(at, input.name), " is given twice"));
  if (input.datatype != DataTypeName(spec.type)) {
    return InvalidArgumentError(ParseDataType(input.datatype)
                                    ? StrCat(Where(at, input.name), " has the datatype ",
                                             input.datatype, ", the model takes ",
                                             DataTypeName(spec.type))
                                    : StrCat(Where(at, input.name), ": invalid datatype '",
                                             CutUtf8(input.datatype, kShownName),
                                             "'; the model takes ", DataTypeName(spec.type)));
  }
  for (int64_t dim : input.shape.dims()) {
    if (dim < 0) {
      return InvalidArgumentError(StrCat(Where(at, input.name), ": the shape ",
                                         input.shape.ToString(), " has a negative dimension"));
    }
  }
  std::optional<int64_t> count = input.shape.ElementCount();
  if (!count) {
    return InvalidArgumentError(
        StrCat(Where(at, input.name), ": the shape ", input.shape.ToString(), " is too large"));
  }
  if (!raw_.empty()) return v2::ReadBinary(spec, input.shape, raw_[at], tensor);

  const uint32_t field = ContentsField(spec.type);
  if (field == 0) {
    return InvalidArgumentError(StrCat(Where(at, input.name), ": ", DataTypeName(spec.type),
                                       " has no typed contents; send it in raw_input_contents"));
  }
  tensor.Reset(spec.name, spec.type);
  tensor.shape() = input.shape;
  uint32_t other = 0;
  switch (ReadContents(input.contents, field, tensor, &other)) {
    case Read::kMalformed:
      return Malformed(StrCat(Where(at, input.name), ".contents"));
    case Read::kRange:
      return InvalidArgumentError(
          StrCat(Where(at, input.name), ": a value does not fit into ", DataTypeName(spec.type)));
    case Read::kOk:
      break;
  }
  if (other != 0) {
    return InvalidArgumentError(StrCat(Where(at, input.name), ": ", DataTypeName(spec.type),
                                       " values come in contents.", ContentsName(field),
                                       ", not in contents.", ContentsName(other)));
  }
  if (static_cast<uint64_t>(*count) != tensor.element_count()) {
    return InvalidArgumentError(StrCat(Where(at, input.name), ": the shape ",
                                       input.shape.ToString(), " holds ", *count,
                                       " values, but contents has ", tensor.element_count()));
  }
  return OkStatus();
}

Status ModelInferCodec::Decode(const Signature& signature, PredictionCall& call) {
  raw_answer_ = !raw_.empty();
  PrepareInputs(signature, call);
  call.priority = priority_;
  if (timeout_us_ && *timeout_us_ > 0) {
    call.AnswerBy(call.received + std::chrono::microseconds(std::min(*timeout_us_, kDayUs)));
  }
  RETURN_IF_ERROR(FindOutputs(signature));
  if (!raw_.empty()) {
    for (size_t at = 0; at < inputs_.size(); ++at) {
      if (inputs_[at].has_contents) {
        return InvalidArgumentError(
            StrCat("contents field must not be specified when using raw_input_contents for '",
                   CutUtf8(inputs_[at].name, kShownName), "'; use one of the two for all inputs"));
      }
    }
    if (raw_.size() != inputs_.size()) {
      return InvalidArgumentError(StrCat("raw_input_contents has ", raw_.size(),
                                         " entries, but there are ", inputs_.size(),
                                         " inputs; send one for each, in their order"));
    }
  }
  for (size_t at = 0; at < inputs_.size(); ++at) RETURN_IF_ERROR(DecodeInput(signature, call, at));
  return CheckInputs(signature, call);
}

/// What is answered, in the order asked for. By name or by order: of a model whose signature and outputs disagree neither
/// reads beyond the end.
Status ModelInferCodec::ChooseOutputs(const PredictionCall& call) {
  shown_.clear();
  if (outputs_.empty()) {
    shown_.assign(call.outputs.begin(), call.outputs.end());
    return OkStatus();
  }
  if (classified_.size() < outputs_.size()) classified_.resize(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const WantedOutput& wanted = outputs_[i];
    if (wanted.index >= call.outputs.size())
      return InternalError("the model gave fewer outputs than its signature says");
    const TensorView& output = call.outputs[wanted.index];
    if (wanted.classes == 0) {
      shown_.push_back(output);
      continue;
    }
    std::span<const std::string> labels;
    bool batched = true;
    if (call.handle) {
      labels = call.handle->ClassLabels(output.name);
      batched = call.handle->HasRows(call.signature_called().outputs[wanted.index]);
    }
    RETURN_IF_ERROR(v2::Classify(output, batched, wanted.classes, labels, classified_[i]));
    shown_.push_back(classified_[i].View());
  }
  return OkStatus();
}

Status ModelInferCodec::Encode(const PredictionCall& call, std::string& out) {
  RETURN_IF_ERROR(ChooseOutputs(call));
  const size_t count = shown_.size();
  bool raw = raw_answer_;
  size_t total = 0;
  sizes_.clear();
  for (size_t i = 0; i < count; ++i) {
    raw = raw || ContentsField(shown_[i].type) == 0;
    Result<uint64_t> size = v2::BinarySize(shown_[i]);
    if (!size.ok()) return size.status();
    sizes_.push_back(*size);
    total += *size + 128;
  }
  if (total > INT32_MAX)
    return OutOfRangeError(
        "the answer is larger than the 2 GiB that a protocol buffer message may have");
  out.reserve(out.size() + total + 256);
  WireWriter writer(out);
  writer.Text(1, call.model_name);
  char version[24];
  const auto end = std::to_chars(version, version + sizeof(version), call.version()).ptr;
  writer.Bytes(2, {version, static_cast<size_t>(end - version)});
  writer.Text(3, id_);
  if (final_response_flag_) {
    writer.Message(4, [](WireWriter& entry) {
      entry.Bytes(1, "triton_final_response");
      entry.Message(2, [](WireWriter& value) { value.Number(1, 1); });
    });
  }
  for (size_t i = 0; i < count; ++i) {
    const TensorView& output = shown_[i];
    writer.Message(5, [&](WireWriter& tensor) {
      tensor.Text(1, output.name);
      tensor.Bytes(2, DataTypeName(output.type));
      if (output.shape.rank() > 0) {
        tensor.Message(3, [&](WireWriter& packed) {
          for (int64_t dim : output.shape.dims()) packed.Varint(static_cast<uint64_t>(dim));
        });
      }
      if (!raw) tensor.Message(5, [&](WireWriter& contents) { AppendContents(contents, output); });
    });
  }
  if (!raw) return OkStatus();
  for (size_t i = 0; i < count; ++i) {
    writer.Tag(6, WireReader::kBytes);
    writer.Varint(sizes_[i]);
    v2::AppendBinary(out, shown_[i]);
  }
  return OkStatus();
}

}  // namespace leadsman::rpc
