#include "protocol/prediction_codec.h"

#include <algorithm>

#include "base/strings.h"
#include "protocol/json_writer.h"

namespace leadsman {
namespace {

constexpr size_t kShownName = 64;
constexpr int64_t kLargestEmptyExtent = 65'536;

size_t RequiredInputs(const Signature& signature) {
  size_t count = 0;
  for (const TensorSpec& spec : signature.inputs) count += spec.optional ? 0 : 1;
  return count;
}

bool DecodeRowObject(JsonCursor& json, std::string_view field, const Signature& signature,
                     DecodeBuffers& buffers, size_t row) {
  bool ok = json.Object([&](std::string_view key) {
    int index = FindInputIndex(signature, key);
    if (index < 0) {
      return json.Fail(InvalidArgumentError(
          StrCat(field, "[", row, "] has the key '", CutUtf8(key, kShownName),
                 "', which is not an input of the model; its inputs are ", InputNames(signature))));
    }
    auto i = static_cast<size_t>(index);
    if (buffers.seen[i] == row + 1) {
      return json.Fail(
          InvalidArgumentError(StrCat(field, "[", row, "] has the key '", key, "' twice")));
    }
    if (buffers.seen[i] != row) {
      return json.Fail(
          InvalidArgumentError(StrCat(field, "[", row, "] has the input '", key,
                                      "', which rows before it lack; give it in all or in none")));
    }
    buffers.seen[i] = row + 1;
    if (!buffers.decoders[i].Append(json, 1)) return false;
    buffers.decoders[i].EndRow();
    return true;
  });
  if (!ok) return false;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    bool given_before = row > 0 && buffers.seen[i] == row;
    if (buffers.seen[i] == row + 1 || (signature.inputs[i].optional && !given_before)) continue;
    return json.Fail(InvalidArgumentError(
        StrCat("Missing named input: ", signature.inputs[i].name, " in ", field, "[", row,
               "]; the model's inputs are ", InputNames(signature))));
  }
  return true;
}

/// A tensor without values is as large as its sender says, with no byte to vouch for it: [4000000000,0] would be four
/// thousand million rows to the model. What the model itself declares is not counted; one of unknown rank declares nothing.
Status CheckEmpty(const TensorSpec& spec, const Shape& shape) {
  int64_t extent = 1;
  for (size_t i = 0; i < shape.rank(); ++i) {
    const bool declared = !spec.any_rank && spec.shape[i] >= 0;
    if (declared || shape[i] == 0) continue;
    if (__builtin_mul_overflow(extent, shape[i], &extent) || extent > kLargestEmptyExtent) {
      return InvalidArgumentError(StrCat(
          "input '", spec.name, "': the shape ", shape.ToString(),
          " is too large for a tensor without values; its other free dimensions may multiply to ",
          kLargestEmptyExtent, " at most"));
    }
  }
  return OkStatus();
}

bool Begin(JsonCursor& json, const Signature& signature, DecodeBuffers& buffers) {
  Status status = BeginInputs(signature, {.b64 = true}, buffers);
  return status.ok() || json.Fail(std::move(status));
}

}  // namespace

void AppendErrorBody(std::string& out, std::string_view message) {
  out += "{\"error\": ";
  AppendJsonString(out, message);
  out += '}';
}

void PredictionCodec::AppendError(std::string& out, const Status& status) const {
  AppendErrorBody(out, status.message());
}

int V2HttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 200;
    case StatusCode::kCancelled:
      return 499;
    case StatusCode::kUnknown:
    case StatusCode::kInternal:
    case StatusCode::kDataLoss:
      return 500;
    case StatusCode::kDeadlineExceeded:
      return 504;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kUnavailable:
      return 503;
    case StatusCode::kUnimplemented:
      return 501;
    default:
      return 400;
  }
}

void PrepareInputs(const Signature& signature, PredictionCall& call) {
  call.input_count = signature.inputs.size();
  if (call.inputs.size() < call.input_count) call.inputs.resize(call.input_count);
  for (size_t i = 0; i < call.input_count; ++i) call.inputs[i].Reset("", DataType::kInvalid);
}

Status CheckInputs(const Signature& signature, PredictionCall& call) {
  bool rows_known = false;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const TensorSpec& spec = signature.inputs[i];
    if (call.inputs[i].type() == DataType::kInvalid) {
      if (spec.optional) continue;
      return InvalidArgumentError(StrCat("Missing named input: ", spec.name,
                                         "; the model's inputs are ", InputNames(signature)));
    }
    TensorView view;
    view.name = call.inputs[i].name();
    view.type = call.inputs[i].type();
    view.shape = call.inputs[i].shape();
    view.element_count = static_cast<int64_t>(call.inputs[i].element_count());
    RETURN_IF_ERROR(CheckAgainst(spec, view));
    if (view.element_count == 0) RETURN_IF_ERROR(CheckEmpty(spec, view.shape));
    if (!rows_known) {
      call.rows = view.shape.rank() > 0 ? static_cast<uint32_t>(view.shape[0]) : 1;
      rows_known = true;
    }
  }
  return OkStatus();
}

void LeftOutDimension::AddTo(const Signature& signature, PredictionCall& call) {
  left_out_ = false;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const TensorSpec& spec = signature.inputs[i];
    if (call.inputs[i].type() == DataType::kInvalid) continue;
    const size_t rank = spec.shape.rank();
    left_out_ = !spec.any_rank && rank >= 2 && spec.shape[rank - 1] == 1 &&
                call.inputs[i].shape().rank() + 1 == rank;
    if (!left_out_) return;
  }
  if (!left_out_) return;
  for (size_t i = 0; i < signature.inputs.size(); ++i)
    if (call.inputs[i].type() != DataType::kInvalid) call.inputs[i].shape().Append(1);
}

std::span<const TensorView> LeftOutDimension::TakeFrom(std::span<const TensorView> outputs) {
  if (!left_out_) return outputs;
  outputs_.assign(outputs.begin(), outputs.end());
  for (TensorView& output : outputs_) {
    const Shape shape = output.shape;
    if (shape.rank() < 2 || shape[shape.rank() - 1] != 1) continue;
    output.shape.Clear();
    for (size_t i = 0; i + 1 < shape.rank(); ++i) output.shape.Append(shape[i]);
  }
  return outputs_;
}

int SoleInput(const Signature& signature) {
  if (signature.inputs.size() == 1) return 0;
  if (RequiredInputs(signature) != 1) return -1;
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (!signature.inputs[i].optional) return static_cast<int>(i);
  }
  return -1;
}

std::string InputNames(const Signature& signature) {
  std::vector<std::string> names;
  for (const TensorSpec& spec : signature.inputs) {
    names.push_back(spec.optional ? StrCat(spec.name, " (optional)") : spec.name);
  }
  return HumanList(names);
}

int FindInputIndex(const Signature& signature, std::string_view name) {
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (signature.inputs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

Status BeginInputs(const Signature& signature, ArrayDecoder::Options options,
                   DecodeBuffers& buffers) {
  if (buffers.decoders.size() < signature.inputs.size())
    buffers.decoders.resize(signature.inputs.size());
  buffers.seen.assign(signature.inputs.size(), 0);
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    RETURN_IF_ERROR(buffers.decoders[i].Begin(signature.inputs[i], options));
  }
  return OkStatus();
}

void StoreInputs(const Signature& signature, DecodeBuffers& buffers, PredictionCall& call) {
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    if (buffers.seen[i] > 0) buffers.decoders[i].Store(buffers.decoders[i].shape(), call.inputs[i]);
  }
}

bool IsB64Value(JsonCursor& json, const Signature& signature) {
  int sole = SoleInput(signature);
  if (sole < 0 || signature.inputs[static_cast<size_t>(sole)].type != DataType::kBytes)
    return false;
  if (json.Peek() != JsonCursor::Kind::kObject || FindInputIndex(signature, "b64") >= 0)
    return false;
  size_t position = json.position();
  int members = 0;
  bool b64 = false;
  bool ok = json.Object([&](std::string_view key) {
    ++members;
    b64 = key == "b64" && json.Peek() == JsonCursor::Kind::kString;
    return json.Skip();
  });
  json.Seek(position);
  return ok && b64 && members == 1;
}

bool DecodeRows(JsonCursor& json, std::string_view field, const Signature& signature,
                DecodeBuffers& buffers, PredictionCall& call) {
  if (!Begin(json, signature, buffers)) return false;
  if (json.Peek() != JsonCursor::Kind::kArray) {
    return json.Fail(
        InvalidArgumentError(StrCat("Expecting '", field, "' value to be a list/array; it is ",
                                    JsonCursor::KindName(json.Peek()))));
  }
  size_t start = json.position();
  if (!json.Enter('[', "a list")) return false;
  if (json.Peek() == JsonCursor::Kind::kObject && !IsB64Value(json, signature)) {
    json.Leave();
    json.Seek(start);
    bool ok = json.Array([&](size_t row) {
      if (json.Peek() != JsonCursor::Kind::kObject) {
        return json.Fail(InvalidArgumentError(StrCat("Expecting object but got ",
                                                     JsonCursor::KindName(json.Peek()),
                                                     " at list item: ", row, " of ", field)));
      }
      return DecodeRowObject(json, field, signature, buffers, row);
    });
    if (!ok) return false;
    StoreInputs(signature, buffers, call);
    return true;
  }
  bool empty = json.TryConsume(']');
  json.Leave();
  json.Seek(start);
  if (empty)
    return json.Fail(
        InvalidArgumentError(StrCat("'", field, "' is empty; expecting at least one row")));
  int sole = SoleInput(signature);
  if (sole < 0) {
    return json.Fail(
        InvalidArgumentError(StrCat(field,
                                    " is a plain list, but expecting list of objects as multiple "
                                    "input tensors are required: ",
                                    InputNames(signature))));
  }
  auto i = static_cast<size_t>(sole);
  if (!buffers.decoders[i].Append(json, 0)) return false;
  buffers.seen[i] = 1;
  StoreInputs(signature, buffers, call);
  return true;
}

bool DecodeOneRow(JsonCursor& json, std::string_view field, const Signature& signature,
                  DecodeBuffers& buffers, PredictionCall& call) {
  if (!Begin(json, signature, buffers)) return false;
  if (!DecodeRowObject(json, field, signature, buffers, 0)) return false;
  StoreInputs(signature, buffers, call);
  return true;
}

Status AppendRows(std::string& out, std::span<const TensorView> outputs, bool unnest_single_row) {
  int64_t rows = -1;
  for (const TensorView& output : outputs) {
    RETURN_IF_ERROR(CheckJsonForm(output, FormOfStrings(output.name)));
    if (output.shape.rank() == 0) {
      return InvalidArgumentError(
          StrCat("output '", output.name,
                 "' is one value for the whole request, not one a row; ask by columns"));
    }
    if (rows == -1) rows = output.shape[0];
    if (output.shape[0] != rows) {
      return InvalidArgumentError(StrCat("inconsistent batch size: output '", output.name, "' has ",
                                         output.shape[0], " rows, others have ", rows));
    }
  }
  bool unnest = unnest_single_row && rows == 1;
  if (!unnest) out += '[';
  for (int64_t row = 0; row < rows; ++row) {
    if (row > 0) out += ',';
    if (outputs.size() > 1) out += '{';
    for (size_t i = 0; i < outputs.size(); ++i) {
      const TensorView& output = outputs[i];
      if (i > 0) out += ',';
      if (outputs.size() > 1) {
        AppendJsonString(out, output.name);
        out += ':';
      }
      size_t per_row = static_cast<size_t>(output.element_count / rows);
      AppendNested(out, output, 1, static_cast<size_t>(row) * per_row, FormOfStrings(output.name));
    }
    if (outputs.size() > 1) out += '}';
  }
  if (!unnest) out += ']';
  return OkStatus();
}

}  // namespace leadsman
