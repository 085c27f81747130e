#include "protocol/v2/infer.h"

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "protocol/json_writer.h"

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

bool InferCodec::RefuseBinary(JsonCursor& json, std::string_view parameter) {
  return json.Fail(UnimplementedError(StrCat(
      "'", parameter,
      "': the binary tensor data extension is not supported by this server yet; send and ask for "
      "JSON "
      "('data' lists; with tritonclient binary_data=False for inputs and for requested outputs)")));
}

Status InferCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.handle->model->signature(), call);
}

Status InferCodec::Decode(std::string_view body, const Signature& signature, PredictionCall& call) {
  PrepareInputs(signature, call);
  if (buffers_.decoders.size() < signature.inputs.size())
    buffers_.decoders.resize(signature.inputs.size());
  buffers_.seen.assign(signature.inputs.size(), 0);
  wanted_.clear();
  id_.clear();
  has_id_ = false;
  bool inputs_found = false;
  bool outputs_found = false;
  JsonCursor json(body);
  bool ok = json.Object([&](std::string_view key) {
    if (key == "id") {
      has_id_ = true;
      return ReadText(json, "id", id_, buffers_.scratch);
    }
    if (key == "parameters") return DecodeParameters(json, call);
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
  if (!ok || !json.End()) return json.error();
  if (!inputs_found) {
    return InvalidArgumentError(
        StrCat("'inputs' is missing; the model's inputs are ", InputNames(signature)));
  }
  return CheckInputs(signature, call);
}

bool InferCodec::DecodeParameters(JsonCursor& json, PredictionCall& call) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError("'parameters' must be an object"));
  }
  return json.Object([&](std::string_view key) {
    if (key == "binary_data_output") {
      bool wanted = false;
      if (json.Peek() != JsonCursor::Kind::kBool) {
        return json.Fail(
            InvalidArgumentError("'parameters.binary_data_output' must be true or false"));
      }
      if (!json.Bool(wanted)) return false;
      return !wanted || RefuseBinary(json, "parameters.binary_data_output");
    }
    if (key == "timeout") {
      JsonCursor::IntegerValue value;
      if (json.Peek() == JsonCursor::Kind::kNumber && !json.Integer(value)) return false;
      // A day at most: what is longer is no limit, and sums stay far from overflow.
      constexpr uint64_t kDayUs = 86'400'000'000;
      if (!value.integer || value.negative || (value.overflow && !value.integer)) {
        return json.Fail(InvalidArgumentError(
            "'parameters.timeout' must be a whole number of microseconds, 0 for none"));
      }
      uint64_t us = value.overflow ? kDayUs : std::min(value.magnitude, kDayUs);
      if (us > 0) call.deadline = call.received + std::chrono::microseconds(us);
      return true;
    }
    return json.Skip();
  });
}

bool InferCodec::DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call,
                             size_t at) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError(StrCat("inputs[", at, "] must be an object")));
  }
  auto where = [&] {
    return name_.empty() ? StrCat("inputs[", at, "]")
                         : StrCat("input '", name_.substr(0, kShownName), "'");
  };
  name_.clear();
  datatype_.clear();
  Shape shape;
  bool has_name = false, has_type = false, has_shape = false, has_data = false, decoded = false;
  size_t data_position = 0;
  int index = -1;
  // Data can be read as soon as name and type are known; when they come after it, it is read in a
  // second visit.
  auto decode = [&] {
    index = FindInputIndex(signature, name_);
    if (index < 0) {
      return json.Fail(
          InvalidArgumentError(StrCat("unexpected inference input '", name_.substr(0, kShownName),
                                      "'; the model's inputs are ", InputNames(signature))));
    }
    const TensorSpec& spec = signature.inputs[static_cast<size_t>(index)];
    std::optional<DataType> type = ParseDataType(datatype_);
    if (!type) {
      return json.Fail(InvalidArgumentError(
          StrCat(where(), ": invalid datatype '", datatype_.substr(0, kShownName),
                 "'; the model takes ", DataTypeName(spec.type))));
    }
    if (*type != spec.type) {
      return json.Fail(InvalidArgumentError(StrCat(where(), " has the datatype ", datatype_,
                                                   ", the model takes ", DataTypeName(spec.type))));
    }
    ArrayDecoder& decoder = buffers_.decoders[static_cast<size_t>(index)];
    Status begun = decoder.Begin(spec, {.b64 = false, .item = "element"});
    if (!begun.ok()) return json.Fail(std::move(begun));
    decoded = true;
    return decoder.Append(json, 0);
  };
  auto once = [&](bool& flag, std::string_view key) {
    if (flag) return json.Fail(InvalidArgumentError(StrCat(where(), " has '", key, "' twice")));
    flag = true;
    return true;
  };
  bool ok = json.Object([&](std::string_view key) {
    if (key == "name")
      return once(has_name, key) && ReadText(json, "inputs[].name", name_, buffers_.scratch);
    if (key == "datatype")
      return once(has_type, key) &&
             ReadText(json, "inputs[].datatype", datatype_, buffers_.scratch);
    if (key == "shape") return once(has_shape, key) && ReadShape(json, where, shape);
    if (key == "data") {
      if (!once(has_data, key)) return false;
      if (has_name && has_type) return decode();
      json.Peek();
      data_position = json.position();
      return json.Skip();
    }
    if (key == "parameters" && json.Peek() == JsonCursor::Kind::kObject) {
      return json.Object([&](std::string_view parameter) {
        if (parameter == "binary_data_size" || parameter.starts_with("shared_memory_"))
          return RefuseBinary(json, parameter);
        return json.Skip();
      });
    }
    return json.Skip();
  });
  if (!ok) return false;
  std::string_view missing = !has_name    ? "name"
                             : !has_shape ? "shape"
                             : !has_type  ? "datatype"
                             : !has_data  ? "data"
                                          : "";
  if (!missing.empty())
    return json.Fail(InvalidArgumentError(StrCat(where(), ": '", missing, "' is missing")));
  if (!decoded) {
    size_t end = json.position();
    json.Seek(data_position);
    if (!decode()) return false;
    json.Seek(end);
  }
  auto i = static_cast<size_t>(index);
  if (buffers_.seen[i]++ > 0)
    return json.Fail(InvalidArgumentError(StrCat(where(), " is given twice")));
  std::optional<int64_t> count = shape.ElementCount();
  if (!count)
    return json.Fail(
        InvalidArgumentError(StrCat(where(), ": the shape ", shape.ToString(), " is too large")));
  ArrayDecoder& decoder = buffers_.decoders[i];
  if (static_cast<uint64_t>(*count) != decoder.element_count()) {
    return json.Fail(
        InvalidArgumentError(StrCat(where(), ": the shape ", shape.ToString(), " holds ", *count,
                                    " values, but 'data' has ", decoder.element_count())));
  }
  decoder.Store(shape, call.inputs[i]);
  return true;
}

bool InferCodec::DecodeOutput(JsonCursor& json, const Signature& signature, size_t at) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError(StrCat("outputs[", at, "] must be an object")));
  }
  name_.clear();
  bool ok = json.Object([&](std::string_view key) {
    if (key == "name") return ReadText(json, "outputs[].name", name_, buffers_.scratch);
    if (key == "parameters" && json.Peek() == JsonCursor::Kind::kObject) {
      return json.Object([&](std::string_view parameter) {
        if (parameter == "binary_data") {
          bool wanted = false;
          if (!json.Bool(wanted)) return false;
          return !wanted || RefuseBinary(json, "binary_data");
        }
        if (parameter == "classification" || parameter.starts_with("shared_memory_")) {
          return json.Fail(UnimplementedError(
              StrCat("outputs[].parameters.", parameter, " is not supported by this server")));
        }
        return json.Skip();
      });
    }
    return json.Skip();
  });
  if (!ok) return false;
  for (size_t i = 0; i < signature.outputs.size(); ++i) {
    if (signature.outputs[i].name != name_) continue;
    if (std::find(wanted_.begin(), wanted_.end(), i) != wanted_.end()) {
      return json.Fail(InvalidArgumentError(StrCat("output '", name_, "' is requested twice")));
    }
    wanted_.push_back(i);
    return true;
  }
  std::vector<std::string> names;
  for (const TensorSpec& spec : signature.outputs) names.push_back(spec.name);
  return json.Fail(
      InvalidArgumentError(StrCat("unexpected inference output '", name_.substr(0, kShownName),
                                  "'; the model's outputs are ", HumanList(names))));
}

Status InferCodec::Encode(const PredictionCall& call, std::string& out) {
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
  size_t count = wanted_.empty() ? call.outputs.size() : wanted_.size();
  for (size_t i = 0; i < count; ++i) {
    size_t index = wanted_.empty() ? i : wanted_[i];
    if (index >= call.outputs.size())
      return InternalError("the model gave fewer outputs than its signature says");
    const TensorView& output = call.outputs[index];
    RETURN_IF_ERROR(CheckJsonForm(output));
    if (i > 0) out += ',';
    out += "{\"name\":";
    AppendJsonString(out, output.name);
    out += ",\"datatype\":\"";
    out += DataTypeName(output.type);
    out += "\",\"shape\":[";
    for (size_t d = 0; d < output.shape.rank(); ++d) {
      if (d > 0) out += ',';
      out += std::to_string(output.shape[d]);
    }
    out += "],\"data\":[";
    AppendFlat(out, output, 0, static_cast<size_t>(output.element_count), BytesForm::kText);
    out += "]}";
  }
  out += "]}";
  return OkStatus();
}

}  // namespace leadsman::v2
