#include "protocol/v2/infer.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "protocol/json_writer.h"
#include "protocol/v2/binary_tensor.h"
#include "protocol/v2/classification.h"

namespace leadsman::v2 {
namespace {

constexpr size_t kShownName = 64;

bool ReadText(JsonCursor& json, std::string_view field, std::string& out, std::string& scratch) {
  if (json.Peek() != JsonCursor::Kind::kString) {
    return json.Fail(InvalidArgumentError(
        StrCat("'", field, "' must be a string; it is ", JsonCursor::KindName(json.Peek()))));
  }
  std::string_view text;
  if (!json.String(text, scratch)) return false;
  out.assign(text);
  return true;
}

/// `error` of a body that was read as nothing but JSON. When binary data seems to be in it, what is
/// wrong is that nobody said where it begins.
Status LengthHint(const Status& error, std::string_view body, bool follows) {
  bool binary = follows || body.find("\"binary_data_size\"") != std::string_view::npos;
  if (!binary || error.message().find(InferCodec::kLengthField) != std::string_view::npos)
    return error;
  return {error.code(), StrCat(error.message(), "; when binary data follows the JSON, send ",
                               InferCodec::kLengthField, " with the length of the JSON")};
}

template <typename Where>
bool ReadShape(JsonCursor& json, Where where, Shape& shape) {
  shape.Clear();
  if (json.Peek() != JsonCursor::Kind::kArray) {
    return json.Fail(
        InvalidArgumentError(StrCat(where(), ": 'shape' must be a list of whole numbers")));
  }
  return json.Array([&](size_t index) {
    JsonCursor::IntegerValue value;
    if (json.Peek() == JsonCursor::Kind::kNumber && !json.Integer(value)) return false;
    if (!value.integer || value.overflow || value.magnitude > INT64_MAX ||
        (value.negative && value.magnitude > 0)) {
      return json.Fail(InvalidArgumentError(
          StrCat(where(), ": 'shape'[", index, "] must be a whole number that is not negative")));
    }
    if (shape.rank() == Shape::kMaxRank) {
      return json.Fail(InvalidArgumentError(
          StrCat(where(), ": 'shape' has more than ", Shape::kMaxRank, " dimensions")));
    }
    shape.Append(static_cast<int64_t>(value.magnitude));
    return true;
  });
}

}  // namespace

/// What is known of the input whose object is being read; its name and type are in name_ and
/// datatype_.
struct InferCodec::InputInHand {
  size_t at = 0;  ///< in the request's list
  Shape shape;
  bool has_name = false, has_type = false, has_shape = false, has_data = false;
  bool decoded = false;
  size_t data_position = 0;
  size_t index = 0;  ///< in the signature, once FindSpec has found it
  std::optional<uint64_t> binary_size;
};

std::string InferCodec::Where(size_t at) const {
  return name_.empty() ? StrCat("inputs[", at, "]")
                       : StrCat("input '", CutUtf8(name_, kShownName), "'");
}

Status InferCodec::SplitBody(std::string_view body, std::string_view& json) {
  json = body;
  binary_ = {};
  has_length_ = !length_field_.empty();
  if (!has_length_) return OkStatus();
  std::optional<int64_t> length = ParseInt64(length_field_);
  bool fits = length && *length >= 0 && static_cast<uint64_t>(*length) <= body.size();
  std::string shown(CutUtf8(length_field_, kShownName));
  length_field_.clear();
  if (!fits) {
    return InvalidArgumentError(StrCat(kLengthField, ": '", shown,
                                       "' is not a length within the body, which has ", body.size(),
                                       " bytes"));
  }
  json = body.substr(0, static_cast<size_t>(*length));
  binary_ = body.substr(json.size());
  return OkStatus();
}

Status InferCodec::DecodeRaw(std::string_view body, const Signature& signature,
                             PredictionCall& call) {
  const int sole = SoleInput(signature);
  if (sole < 0) {
    return InvalidArgumentError(
        StrCat(kLengthField, ": 0: a raw request is for a model with one input, this one has ",
               signature.inputs.size(), ": ", InputNames(signature)));
  }
  const TensorSpec& spec = signature.inputs[static_cast<size_t>(sole)];
  if (body.empty() && spec.type != DataType::kBytes) {
    return InvalidArgumentError(
        StrCat(kLengthField, ": 0: a raw request is the input's bytes, but the body is empty"));
  }
  parameters_.binary_output = true;
  RETURN_IF_ERROR(ReadRaw(spec, body, call.inputs[static_cast<size_t>(sole)]));
  return CheckInputs(signature, call);
}

Status InferCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.signature_called(), call);
}

Status InferCodec::Decode(std::string_view body, const Signature& signature, PredictionCall& call) {
  PrepareInputs(signature, call);
  if (buffers_.decoders.size() < signature.inputs.size())
    buffers_.decoders.resize(signature.inputs.size());
  buffers_.seen.assign(signature.inputs.size(), 0);
  wanted_.clear();
  id_.clear();
  has_id_ = false;
  parameters_ = {};
  json_size_.reset();
  std::string_view text;
  RETURN_IF_ERROR(SplitBody(body, text));
  if (has_length_ && text.empty()) return DecodeRaw(body, signature, call);
  bool inputs_found = false;
  bool outputs_found = false;
  JsonCursor json(text);
  bool ok = json.Object([&](std::string_view key) {
    if (key == "id") {
      if (!ReadText(json, "id", id_, buffers_.scratch)) return false;
      has_id_ = !id_.empty();  // as for Triton, an empty one is none
      return true;
    }
    if (key == "parameters") return ReadParameters(json, parameters_, buffers_.scratch);
    if (key == "inputs" || key == "outputs") {
      bool& found = key == "inputs" ? inputs_found : outputs_found;
      if (found) return json.Fail(InvalidArgumentError(StrCat("'", key, "' is given twice")));
      found = true;
      if (json.Peek() != JsonCursor::Kind::kArray) {
        return json.Fail(InvalidArgumentError(StrCat("'", key, "' must be a list of objects")));
      }
      bool inputs = key == "inputs";
      return json.Array([&](size_t at) {
        return inputs ? DecodeInput(json, signature, call, at) : DecodeOutput(json, signature, at);
      });
    }
    return json.Skip();
  });
  const bool follows = ok && !json.End();
  if (!json.error().ok())
    return has_length_ ? json.error() : LengthHint(json.error(), text, follows);
  if (!inputs_found) {
    return InvalidArgumentError(
        StrCat("'inputs' is missing; the model's inputs are ", InputNames(signature)));
  }
  if (!binary_.empty()) {
    return InvalidArgumentError(StrCat("the body has ", binary_.size(), " bytes more than ",
                                       kLengthField,
                                       " and the 'binary_data_size' of the inputs add up to"));
  }
  call.priority = parameters_.priority;
  if (parameters_.timeout_us > 0)
    call.AnswerBy(call.received + std::chrono::microseconds(parameters_.timeout_us));
  return CheckInputs(signature, call);
}

bool InferCodec::FindSpec(JsonCursor& json, const Signature& signature, InputInHand& input) {
  int index = FindInputIndex(signature, name_);
  if (index < 0) {
    return json.Fail(
        InvalidArgumentError(StrCat("unexpected inference input '", CutUtf8(name_, kShownName),
                                    "'; the model's inputs are ", InputNames(signature))));
  }
  input.index = static_cast<size_t>(index);
  const TensorSpec& spec = signature.inputs[input.index];
  std::optional<DataType> type = ParseDataType(datatype_);
  if (!type) {
    return json.Fail(InvalidArgumentError(StrCat(Where(input.at), ": invalid datatype '",
                                                 CutUtf8(datatype_, kShownName),
                                                 "'; the model takes ", DataTypeName(spec.type))));
  }
  if (*type == spec.type) return true;
  return json.Fail(InvalidArgumentError(StrCat(Where(input.at), " has the datatype ", datatype_,
                                               ", the model takes ", DataTypeName(spec.type))));
}

bool InferCodec::DecodeData(JsonCursor& json, const Signature& signature, InputInHand& input) {
  if (!FindSpec(json, signature, input)) return false;
  ArrayDecoder& decoder = buffers_.decoders[input.index];
  Status begun = decoder.Begin(signature.inputs[input.index], {.b64 = false, .item = "element"});
  if (!begun.ok()) return json.Fail(std::move(begun));
  input.decoded = true;
  return decoder.Append(json, 0);
}

bool InferCodec::DecodeInputParameters(JsonCursor& json, InputInHand& input) {
  return json.Object([&](std::string_view key) {
    if (key.starts_with("shared_memory_")) {
      return json.Fail(UnimplementedError(
          StrCat("inputs[].parameters.", key,
                 " is not supported by this server; send the data in the body")));
    }
    if (key != "binary_data_size") return json.Skip();
    JsonCursor::IntegerValue value;
    if (json.Peek() == JsonCursor::Kind::kNumber && !json.Integer(value)) return false;
    if (!value.integer || value.overflow || (value.negative && value.magnitude > 0)) {
      return json.Fail(InvalidArgumentError(
          StrCat(Where(input.at),
                 ": 'binary_data_size' must be a whole number of bytes that is not negative")));
    }
    if (input.binary_size) {
      return json.Fail(
          InvalidArgumentError(StrCat(Where(input.at), " has 'binary_data_size' twice")));
    }
    input.binary_size = value.magnitude;
    return true;
  });
}

bool InferCodec::TakeBinary(JsonCursor& json, const Signature& signature, const InputInHand& input,
                            PredictionCall& call) {
  uint64_t size = *input.binary_size;
  if (size > binary_.size()) {
    return json.Fail(InvalidArgumentError(
        has_length_ ? StrCat(Where(input.at), ": 'binary_data_size' is ", size, ", but only ",
                             binary_.size(), " bytes are left of the body")
                    : StrCat(Where(input.at), " has a 'binary_data_size', but the request has no ",
                             kLengthField, " to say where the binary data begins")));
  }
  Status read = ReadBinary(signature.inputs[input.index], input.shape, binary_.substr(0, size),
                           call.inputs[input.index]);
  if (!read.ok()) return json.Fail(std::move(read));
  binary_.remove_prefix(size);
  return true;
}

bool InferCodec::DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call,
                             size_t at) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError(StrCat("inputs[", at, "] must be an object")));
  }
  name_.clear();
  datatype_.clear();
  InputInHand input;
  input.at = at;
  auto where = [&] { return Where(at); };
  auto once = [&](bool& flag, std::string_view key) {
    if (flag) return json.Fail(InvalidArgumentError(StrCat(where(), " has '", key, "' twice")));
    flag = true;
    return true;
  };
  bool ok = json.Object([&](std::string_view key) {
    if (key == "name")
      return once(input.has_name, key) && ReadText(json, "inputs[].name", name_, buffers_.scratch);
    if (key == "datatype")
      return once(input.has_type, key) &&
             ReadText(json, "inputs[].datatype", datatype_, buffers_.scratch);
    if (key == "shape") return once(input.has_shape, key) && ReadShape(json, where, input.shape);
    if (key == "data") {
      if (!once(input.has_data, key)) return false;
      // Read as soon as name and type are known; when they come later, in a second visit.
      if (input.has_name && input.has_type) return DecodeData(json, signature, input);
      json.Peek();
      input.data_position = json.position();
      return json.Skip();
    }
    if (key == "parameters" && json.Peek() == JsonCursor::Kind::kObject)
      return DecodeInputParameters(json, input);
    return json.Skip();
  });
  if (!ok) return false;
  std::string_view missing = !input.has_name                         ? "name"
                             : !input.has_shape                      ? "shape"
                             : !input.has_type                       ? "datatype"
                             : !input.has_data && !input.binary_size ? "data"
                                                                     : "";
  if (!missing.empty()) {
    std::string_view also =
        has_length_ && missing == "data" ? ", and so is 'parameters.binary_data_size'" : "";
    return json.Fail(InvalidArgumentError(StrCat(where(), ": '", missing, "' is missing", also)));
  }
  if (input.has_data && input.binary_size) {
    return json.Fail(InvalidArgumentError(
        StrCat(where(), " has both 'data' and 'parameters.binary_data_size'; send one of them")));
  }
  if (input.binary_size) {
    if (!FindSpec(json, signature, input)) return false;
  } else if (!input.decoded) {
    size_t end = json.position();
    json.Seek(input.data_position);
    if (!DecodeData(json, signature, input)) return false;
    json.Seek(end);
  }
  if (buffers_.seen[input.index]++ > 0)
    return json.Fail(InvalidArgumentError(StrCat(where(), " is given twice")));
  if (input.binary_size) return TakeBinary(json, signature, input, call);
  std::optional<int64_t> count = input.shape.ElementCount();
  if (!count)
    return json.Fail(InvalidArgumentError(
        StrCat(where(), ": the shape ", input.shape.ToString(), " is too large")));
  ArrayDecoder& decoder = buffers_.decoders[input.index];
  if (static_cast<uint64_t>(*count) != decoder.element_count()) {
    return json.Fail(
        InvalidArgumentError(StrCat(where(), ": the shape ", input.shape.ToString(), " holds ",
                                    *count, " values, but 'data' has ", decoder.element_count())));
  }
  decoder.Store(input.shape, call.inputs[input.index]);
  return true;
}

bool InferCodec::DecodeOutput(JsonCursor& json, const Signature& signature, size_t at) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError(StrCat("outputs[", at, "] must be an object")));
  }
  name_.clear();
  WantedOutput output;
  bool named = false;
  bool ok = json.Object([&](std::string_view key) {
    if (key == "name") {
      named = true;
      return ReadText(json, "outputs[].name", name_, buffers_.scratch);
    }
    if (key == "parameters" && json.Peek() == JsonCursor::Kind::kObject)
      return DecodeOutputParameters(json, output);
    return json.Skip();
  });
  if (!ok) return false;
  if (!named)
    return json.Fail(InvalidArgumentError(StrCat("outputs[", at, "]: 'name' is missing")));
  for (size_t i = 0; i < signature.outputs.size(); ++i) {
    if (signature.outputs[i].name != name_) continue;
    if (std::any_of(wanted_.begin(), wanted_.end(),
                    [&](const WantedOutput& wanted) { return wanted.index == i; })) {
      return json.Fail(InvalidArgumentError(StrCat("output '", name_, "' is requested twice")));
    }
    output.index = i;
    wanted_.push_back(output);
    return true;
  }
  std::vector<std::string> names;
  for (const TensorSpec& spec : signature.outputs) names.push_back(spec.name);
  return json.Fail(
      InvalidArgumentError(StrCat("unexpected inference output '", CutUtf8(name_, kShownName),
                                  "'; the model's outputs are ", HumanList(names))));
}

bool InferCodec::DecodeOutputParameters(JsonCursor& json, WantedOutput& output) {
  return json.Object([&](std::string_view key) {
    if (key == "binary_data") {
      if (json.Peek() == JsonCursor::Kind::kBool) return json.Bool(output.binary.emplace());
      return json.Fail(
          InvalidArgumentError("'outputs[].parameters.binary_data' must be true or false"));
    }
    if (key == "classification") {
      uint64_t classes = 0;
      if (!ReadCount(json, "outputs[].parameters.classification",
                     "how many classes to answer, 0 for the values", classes))
        return false;
      output.classes = static_cast<uint32_t>(std::min<uint64_t>(classes, UINT32_MAX));
      return true;
    }
    if (key.starts_with("shared_memory_")) {
      return json.Fail(UnimplementedError(StrCat("outputs[].parameters.", key,
                                                 " is not supported by this server; "
                                                 "the answer is in the body")));
    }
    return json.Skip();
  });
}

bool InferCodec::IsBinary(size_t at) const {
  return wanted_.empty() ? parameters_.binary_output
                         : wanted_[at].binary.value_or(parameters_.binary_output);
}

Status InferCodec::ChooseOutputs(const PredictionCall& call) {
  shown_.clear();
  if (wanted_.empty()) {
    shown_.assign(call.outputs.begin(), call.outputs.end());
    return OkStatus();
  }
  if (classified_.size() < wanted_.size()) classified_.resize(wanted_.size());
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i].index >= call.outputs.size())
      return InternalError("the model gave fewer outputs than its signature says");
    const TensorView& output = call.outputs[wanted_[i].index];
    if (wanted_[i].classes == 0) {
      shown_.push_back(output);
      continue;
    }
    std::span<const std::string> labels;
    bool batched = true;
    if (call.handle) {
      labels = call.handle->ClassLabels(output.name);
      batched = call.handle->HasRows(call.signature_called().outputs[wanted_[i].index]);
    }
    RETURN_IF_ERROR(Classify(output, batched, wanted_[i].classes, labels, classified_[i]));
    shown_.push_back(classified_[i].View());
  }
  return OkStatus();
}

void InferCodec::AppendOutput(std::string& out, const TensorView& output) {
  out += "{\"name\":";
  AppendJsonString(out, output.name);
  out += ",\"datatype\":\"";
  out += DataTypeName(output.type);
  out += "\",\"shape\":[";
  for (size_t d = 0; d < output.shape.rank(); ++d) {
    if (d > 0) out += ',';
    out += std::to_string(output.shape[d]);
  }
  out += ']';
}

Status InferCodec::Encode(const PredictionCall& call, std::string& out) {
  json_size_.reset();
  RETURN_IF_ERROR(ChooseOutputs(call));
  size_t begin = out.size();
  out += '{';
  if (has_id_) {
    out += "\"id\":";
    AppendJsonString(out, id_);
    out += ',';
  }
  out += "\"model_name\":";
  AppendJsonString(out, call.model_name);
  out += ",\"model_version\":\"";
  out += std::to_string(call.version());
  out += "\",\"outputs\":[";
  uint64_t binary_bytes = 0;
  bool any_binary = false;
  for (size_t i = 0; i < shown_.size(); ++i) {
    const TensorView& output = shown_[i];
    if (i > 0) out += ',';
    AppendOutput(out, output);
    if (IsBinary(i)) {
      Result<uint64_t> size = BinarySize(output);
      if (!size.ok()) return size.status();
      out += ",\"parameters\":{\"binary_data_size\":";
      out += std::to_string(*size);
      out += "}}";
      binary_bytes += *size;
      any_binary = true;
      continue;
    }
    RETURN_IF_ERROR(CheckJsonForm(output, BytesForm::kText));
    out += ",\"data\":[";
    AppendFlat(out, output, 0, static_cast<size_t>(output.element_count), BytesForm::kText);
    out += "]}";
  }
  out += "]}";
  if (!any_binary) return OkStatus();
  json_size_ = out.size() - begin;
  out.reserve(out.size() + binary_bytes);
  for (size_t i = 0; i < shown_.size(); ++i) {
    if (IsBinary(i)) AppendBinary(out, shown_[i]);
  }
  return OkStatus();
}

}  // namespace leadsman::v2
