#include "protocol/plain/predict.h"

#include "base/strings.h"

namespace leadsman::plain {

Status PredictCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.signature_called(), call);
}

Status PredictCodec::Decode(std::string_view body, const Signature& signature,
                            PredictionCall& call) {
  PrepareInputs(signature, call);
  single_row_ = false;
  JsonCursor json(body);
  bool found = false;
  bool ok = json.Object([&](std::string_view key) {
    if (key != options_->input_field) return json.Skip();
    if (found) return json.Fail(InvalidArgumentError(StrCat("'", key, "' is given twice")));
    found = true;
    return DecodeInput(json, signature, call);
  });
  if (!ok || !json.End()) return json.error();
  if (!found) {
    return InvalidArgumentError(StrCat("'", options_->input_field, "' is missing; send {\"",
                                       options_->input_field, "\": [[…values of a row…], …]}"));
  }
  return CheckInputs(signature, call);
}

bool PredictCodec::DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call) {
  if (json.Peek() == JsonCursor::Kind::kObject && !IsB64Value(json, signature)) {
    single_row_ = true;
    return DecodeOneRow(json, options_->input_field, signature, buffers_, call);
  }
  if (json.Peek() != JsonCursor::Kind::kArray) {
    // A model of one value a row may be asked with the bare value.
    Status begun = BeginInputs(signature, {.b64 = true}, buffers_);
    if (!begun.ok()) return json.Fail(std::move(begun));
    if (signature.inputs.size() != 1) {
      return json.Fail(InvalidArgumentError(StrCat("'", options_->input_field,
                                                   "' must be a list or an object; the model's "
                                                   "inputs are ",
                                                   InputNames(signature))));
    }
    if (!buffers_.decoders[0].Append(json, 0)) return false;
    buffers_.seen[0] = 1;
    StoreInputs(signature, buffers_, call);
  } else if (!DecodeRows(json, options_->input_field, signature, buffers_, call)) {
    return false;
  }
  // One row without its list.
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    Tensor& input = call.inputs[i];
    if (input.type() == DataType::kInvalid ||
        input.shape().rank() + 1 != signature.inputs[i].shape.rank())
      continue;
    Shape shape{1};
    for (int64_t dim : input.shape().dims()) shape.Append(dim);
    input.shape() = shape;
    single_row_ = true;
  }
  return true;
}

Status PredictCodec::Encode(const PredictionCall& call, std::string& out) {
  const TensorView* chosen = nullptr;
  for (const TensorView& output : call.outputs) {
    if (options_->output.empty() || output.name == options_->output) {
      chosen = &output;
      break;
    }
  }
  if (chosen == nullptr) {
    return InternalError(
        StrCat("the configured output '", options_->output, "' is not one of the model's"));
  }
  out += '{';
  AppendJsonString(out, options_->prediction_field);
  out += ": ";
  RETURN_IF_ERROR(AppendRows(out, std::span<const TensorView>(chosen, 1), single_row_));
  out += '}';
  return OkStatus();
}

}  // namespace leadsman::plain
