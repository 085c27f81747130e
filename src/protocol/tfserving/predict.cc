#include "protocol/tfserving/predict.h"

#include "base/strings.h"
#include "protocol/json_writer.h"

namespace leadsman::tfserving {

Status PredictCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.signature_called(), call);
}

Status PredictCodec::Decode(std::string_view body, const Signature& signature,
                            PredictionCall& call) {
  PrepareInputs(signature, call);
  JsonCursor json(body);
  bool found = false;
  bool ok = json.Object([&](std::string_view key) {
    if (key == "instances" || key == "inputs") {
      if (found) {
        return json.Fail(InvalidArgumentError(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys, once"));
      }
      found = true;
      rows_ = key == "instances";
      return rows_ ? DecodeRows(json, "instances", signature, buffers_, call)
                   : DecodeColumns(json, signature, call);
    }
    if (key == "signature_name") {
      if (json.Peek() != JsonCursor::Kind::kString) {
        return json.Fail(InvalidArgumentError("'signature_name' key must be a string value."));
      }
      std::string_view name;
      if (!json.String(name, buffers_.scratch)) return false;
      if (name == "serving_default") return true;
      return json.Fail(InvalidArgumentError(
          StrCat("Serving signature name: \"", name.substr(0, 64),
                 "\" not found in signature def; this model has serving_default only")));
    }
    return json.Skip();
  });
  if (!ok || !json.End()) return json.error();
  if (!found) return InvalidArgumentError("Missing 'inputs' or 'instances' key");
  return CheckInputs(signature, call);
}

bool PredictCodec::DecodeColumns(JsonCursor& json, const Signature& signature,
                                 PredictionCall& call) {
  Status begun = BeginInputs(signature, {.b64 = true}, buffers_);
  if (!begun.ok()) return json.Fail(std::move(begun));
  if (json.Peek() == JsonCursor::Kind::kObject && !IsB64Value(json, signature)) {
    bool ok = json.Object([&](std::string_view key) {
      int index = FindInputIndex(signature, key);
      if (index < 0) {
        return json.Fail(InvalidArgumentError(StrCat(
            "'inputs' has the key '", key.substr(0, 64),
            "', which is not an input of the model; its inputs are ", InputNames(signature))));
      }
      auto i = static_cast<size_t>(index);
      if (buffers_.seen[i]++ > 0)
        return json.Fail(InvalidArgumentError(StrCat("'inputs' has the key '", key, "' twice")));
      return buffers_.decoders[i].Append(json, 0);
    });
    if (!ok) return false;
  } else {
    int sole = -1;
    size_t required = 0;
    for (size_t i = 0; i < signature.inputs.size(); ++i) {
      if (signature.inputs[i].optional && signature.inputs.size() > 1) continue;
      ++required;
      sole = static_cast<int>(i);
    }
    if (required != 1) {
      return json.Fail(InvalidArgumentError(
          StrCat("inputs is a plain value/list, but expecting an object as multiple "
                 "input tensors are required: ",
                 InputNames(signature))));
    }
    auto i = static_cast<size_t>(sole);
    if (!buffers_.decoders[i].Append(json, 0)) return false;
    buffers_.seen[i] = 1;
  }
  StoreInputs(signature, buffers_, call);
  return true;
}

Status PredictCodec::Encode(const PredictionCall& call, std::string& out) {
  if (rows_) {
    out += "{\"predictions\": ";
    RETURN_IF_ERROR(AppendRows(out, call.outputs, false));
    out += '}';
    return OkStatus();
  }
  out += "{\"outputs\": ";
  bool several = call.outputs.size() > 1;
  if (several) out += '{';
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const TensorView& output = call.outputs[i];
    RETURN_IF_ERROR(CheckJsonForm(output));
    if (i > 0) out += ',';
    if (several) {
      AppendJsonString(out, output.name);
      out += ':';
    }
    AppendNested(out, output, 0, 0,
                 output.name.ends_with("_bytes") ? BytesForm::kBase64Object : BytesForm::kText);
  }
  if (several) out += '}';
  out += '}';
  return OkStatus();
}

}  // namespace leadsman::tfserving
