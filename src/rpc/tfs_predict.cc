#include "rpc/tfs_predict.h"

#include <algorithm>

#include "base/strings.h"
#include "rpc/grpc_call.h"

namespace leadsman::rpc {
namespace {

constexpr size_t kShownName = 64;

Status TooMany(std::string_view field) {
  return InvalidArgumentError(StrCat("'", field, "' has more than ", kMaxEntries, " entries"));
}

}  // namespace

Status ModelSpec::Parse(std::string_view bytes, SpecName name) {
  WireReader in(bytes);
  while (in.Next()) {
    if (in.type() != WireReader::kBytes) continue;
    switch (in.field()) {
      case 1:
        selector.model = in.bytes();
        break;
      case 2: {  // Int64Value; an empty one is 0
        uint64_t number = 0;
        WireReader value(in.bytes());
        while (value.Next()) {
          if (value.Is(1, WireReader::kVarint)) number = value.varint();
        }
        if (!value.ok())
          return InvalidArgumentError("malformed protocol buffer message: model_spec.version");
        selector.version = static_cast<int64_t>(number);
        selector.label = {};
        break;
      }
      case 3:
        signature_name = in.bytes();
        break;
      case 4:
        selector.label = in.bytes();
        selector.version.reset();
        break;
      default:
        break;
    }
  }
  if (!in.ok()) return InvalidArgumentError("malformed protocol buffer message: model_spec");
  if (selector.model.empty() && name == SpecName::kRequired)
    return InvalidArgumentError("Missing ModelSpec: 'model_spec.name' says which model is meant");
  return OkStatus();
}

void AppendModelSpec(WireWriter& out, uint32_t field, std::string_view name, int64_t version,
                     std::string_view signature) {
  out.Message(field, [&](WireWriter& spec) {
    spec.Text(1, name);
    spec.Message(
        2, [&](WireWriter& value) { value.NumberOrNothing(1, static_cast<uint64_t>(version)); });
    spec.Text(3, signature);
  });
}

Status PredictCodec::Parse(std::string_view message, SpecName name) {
  spec_ = {};
  inputs_.clear();
  filter_.clear();
  std::string_view spec;
  WireReader in(message);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) spec = in.bytes();
    if (in.Is(3, WireReader::kBytes)) {
      if (filter_.size() == kMaxEntries) return TooMany("output_filter");
      filter_.push_back(in.bytes());
    }
    if (!in.Is(2, WireReader::kBytes)) continue;
    Input input;
    WireReader entry(in.bytes());
    while (entry.Next()) {
      if (entry.Is(1, WireReader::kBytes)) input.name = entry.bytes();
      if (entry.Is(2, WireReader::kBytes)) input.tensor = entry.bytes();
    }
    if (!entry.ok()) return InvalidArgumentError("malformed protocol buffer message: 'inputs'");
    // A map: the last of two entries with one key counts.
    auto same = std::find_if(inputs_.begin(), inputs_.end(),
                             [&](const Input& other) { return other.name == input.name; });
    if (same != inputs_.end()) {
      *same = input;
    } else {
      // So that comparing them with one another stays cheap, too.
      if (inputs_.size() == kMaxEntries) return TooMany("inputs");
      inputs_.push_back(input);
    }
  }
  if (!in.ok())
    return InvalidArgumentError(
        "malformed protocol buffer message: this is no tensorflow.serving.PredictRequest");
  return spec_.Parse(spec, name);
}

Status PredictCodec::Decode(const Signature& signature, std::string_view signature_name,
                            size_t limit, PredictionCall& call) {
  signature_name_.assign(signature_name);
  PrepareInputs(signature, call);
  wanted_.clear();
  for (std::string_view name : filter_) {
    const TensorSpec* spec = signature.FindOutput(name);
    if (spec == nullptr) {
      std::vector<std::string> names;
      for (const TensorSpec& output : signature.outputs) names.push_back(output.name);
      return InvalidArgumentError(
          StrCat("output tensor alias not found in signature: ", CutUtf8(name, kShownName),
                 "; the model's outputs are ", HumanList(names)));
    }
    const auto index = static_cast<size_t>(spec - signature.outputs.data());
    if (std::find(wanted_.begin(), wanted_.end(), index) != wanted_.end()) {
      return InvalidArgumentError(StrCat("duplicate output tensor alias: ", spec->name));
    }
    wanted_.push_back(index);
  }
  for (const Input& input : inputs_) {
    int index = FindInputIndex(signature, input.name);
    if (index < 0) {
      return InvalidArgumentError(
          StrCat("input tensor alias not found in signature: ", CutUtf8(input.name, kShownName),
                 "; the model's inputs are ", InputNames(signature)));
    }
    const auto i = static_cast<size_t>(index);
    RETURN_IF_ERROR(ReadTensorProto(signature.inputs[i], input.tensor, limit, call.inputs[i]));
  }
  dimension_.AddTo(signature, call);
  return CheckInputs(signature, call);
}

Status PredictCodec::Encode(const PredictionCall& call, std::string& out, TensorValues values) {
  const std::span<const TensorView> outputs = dimension_.TakeFrom(call.outputs);
  const size_t count = wanted_.empty() ? outputs.size() : wanted_.size();
  size_t total = 0;
  sizes_.clear();
  for (size_t i = 0; i < count; ++i) {
    const size_t index = wanted_.empty() ? i : wanted_[i];
    if (index >= outputs.size())
      return InternalError("the model gave fewer outputs than its signature says");
    sizes_.push_back(TensorProtoSize(outputs[index], values));
    total += sizes_.back() + outputs[index].name.size() + 32;
  }
  if (total > INT32_MAX)
    return OutOfRangeError(
        "the answer is larger than the 2 GiB that a protocol buffer message may have");
  out.reserve(out.size() + total + 256);
  WireWriter writer(out);
  for (size_t i = 0; i < count; ++i) {
    const TensorView& output = outputs[wanted_.empty() ? i : wanted_[i]];
    writer.Tag(1, WireReader::kBytes);
    writer.Varint(WireWriter::BytesSize(output.name.size()) + WireWriter::BytesSize(sizes_[i]));
    writer.Bytes(1, output.name);
    writer.Tag(2, WireReader::kBytes);
    writer.Varint(sizes_[i]);
    AppendTensorProto(writer, output, values);
  }
  AppendModelSpec(writer, 2, call.model_name, call.version(), signature_name_);
  return OkStatus();
}

}  // namespace leadsman::rpc
