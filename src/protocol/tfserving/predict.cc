#include "protocol/tfserving/predict.h"

#include "base/strings.h"
#include "protocol/json_writer.h"
#include "protocol/tfserving/examples.h"

namespace leadsman::tfserving {

Status PredictCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.handle->model->signatures(), call);
}

Status PredictCodec::Decode(std::string_view body, std::span<const NamedSignature> signatures,
                            PredictionCall& call) {
  // The name may stand behind the values, whose form it decides. Only models that have several
  // pay for looking twice.
  if (signatures.size() > 1) RETURN_IF_ERROR(FindSignatureName(body, signatures, call));
  const Signature& signature = signatures[call.signature].signature;
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
      Result<size_t> known = SelectSignature(signatures, name, Method::kPredict);
      return known.ok() || json.Fail(known.status());
    }
    return json.Skip();
  });
  if (!ok || !json.End()) return json.error();
  if (!found) return InvalidArgumentError("Missing 'inputs' or 'instances' key");
  dimension_.AddTo(signature, call);
  return CheckInputs(signature, call);
}

Status PredictCodec::FindSignatureName(std::string_view body,
                                       std::span<const NamedSignature> signatures,
                                       PredictionCall& call) {
  JsonCursor json(body);
  std::string_view name;
  std::string storage;
  // What is wrong with the document is told by the walk that follows.
  (void)json.Object([&](std::string_view key) {
    bool here = key == "signature_name" && json.Peek() == JsonCursor::Kind::kString;
    return here ? json.String(name, storage) : json.Skip();
  });
  ASSIGN_OR_RETURN(call.signature, SelectSignature(signatures, name, Method::kPredict));
  return OkStatus();
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
            "'inputs' has the key '", CutUtf8(key, 64),
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
  const std::span<const TensorView> outputs = dimension_.TakeFrom(call.outputs);
  if (rows_) {
    out += "{\"predictions\": ";
    RETURN_IF_ERROR(AppendRows(out, outputs, false));
    out += '}';
    return OkStatus();
  }
  out += "{\"outputs\": ";
  bool several = outputs.size() > 1;
  if (several) out += '{';
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorView& output = outputs[i];
    const BytesForm form = FormOfStrings(output.name);
    RETURN_IF_ERROR(CheckJsonForm(output, form));
    if (i > 0) out += ',';
    if (several) {
      AppendJsonString(out, output.name);
      out += ':';
    }
    AppendNested(out, output, 0, 0, form);
  }
  if (several) out += '}';
  out += '}';
  return OkStatus();
}

}  // namespace leadsman::tfserving
