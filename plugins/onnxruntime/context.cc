#include "context.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace leadsman_ort {
namespace {

// Up to here a copy into memory that a value stands for already is cheaper than a new value around
// the caller's memory.
constexpr size_t kCopyBytes = 16 * 1024;

// What an empty tensor points to: ONNX Runtime wants an address even where there is nothing to
// read.
int64_t nothing;

}  // namespace

Context::Context(const Model& model) : model_(model), runtime_(model.runtime()) {
  const leadsman_signature& signature = *model.signature();
  auto release = runtime_.api().ReleaseValue;
  for (size_t i = 0; i < signature.input_count; ++i)
    inputs_.push_back({Owned<OrtValue>(nullptr, release)});
  for (size_t i = 0; i < signature.output_count; ++i)
    outputs_.push_back({Owned<OrtValue>(nullptr, release)});
  input_values_.resize(inputs_.size());
  output_values_.resize(outputs_.size());
  tensors_.resize(outputs_.size());
}

const std::vector<leadsman_tensor>& Context::Execute(const leadsman_tensor* inputs, size_t count) {
  if (count != inputs_.size()) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT, "the model takes " + std::to_string(inputs_.size()) +
                                                 " inputs, not " + std::to_string(count)};
  }
  bool same_shapes = true;
  for (size_t i = 0; i < count; ++i) {
    same_shapes &= Bind(inputs[i], inputs_[i]);
    input_values_[i] = inputs_[i].value.get();
  }
  if (!same_shapes || !can_reuse_ || !outputs_fit_) DropOutputs();
  Run();
  return tensors_;
}

bool Context::Bind(const leadsman_tensor& tensor, Input& input) {
  bool same = input.value && input.dtype == tensor.dtype && input.rank == tensor.rank &&
              std::equal(tensor.dims, tensor.dims + tensor.rank, input.dims.begin());
  if (tensor.dtype == LEADSMAN_BYTES) {
    BindStrings(tensor, input);
    return same;
  }
  size_t bytes = static_cast<size_t>(tensor.element_count) * ElementSize(tensor.dtype);
  bool copy = bytes > 0 && bytes <= kCopyBytes;
  if (same && copy) {
    std::memcpy(input.own.data(), tensor.data, bytes);
    return true;
  }
  if (same && input.wrapped == tensor.data) return true;

  if (copy) {
    input.own.assign(static_cast<const char*>(tensor.data),
                     static_cast<const char*>(tensor.data) + bytes);
  }
  const void* memory = copy ? input.own.data() : bytes > 0 ? tensor.data : &nothing;
  OrtValue* value = nullptr;
  input.value.reset();
  runtime_.Check(runtime_.api().CreateTensorWithDataAsOrtValue(
      runtime_.cpu(), const_cast<void*>(memory), bytes, tensor.dims, tensor.rank,
      ToOrt(tensor.dtype), &value));
  input.value.reset(value);
  input.wrapped = tensor.data;
  input.dtype = tensor.dtype;
  input.rank = tensor.rank;
  std::copy(tensor.dims, tensor.dims + tensor.rank, input.dims.begin());
  return same;
}

void Context::BindStrings(const leadsman_tensor& tensor, Input& input) {
  const OrtApi& api = runtime_.api();
  input.value.reset();
  OrtValue* value = nullptr;
  runtime_.Check(api.CreateTensorAsOrtValue(runtime_.allocator(), tensor.dims, tensor.rank,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value));
  Owned<OrtValue> filled(value, api.ReleaseValue);
  const auto* strings = static_cast<const leadsman_string*>(tensor.data);
  for (int64_t i = 0; i < tensor.element_count; ++i) {
    // Not FillStringTensor: that one stops at the first NUL byte.
    char* buffer = nullptr;
    auto at = static_cast<size_t>(i);
    runtime_.Check(api.GetResizedStringTensorElementBuffer(value, at, strings[i].size, &buffer));
    std::memcpy(buffer, strings[i].data, strings[i].size);
  }
  input.value = std::move(filled);
  input.dtype = tensor.dtype;
  input.rank = tensor.rank;
  std::copy(tensor.dims, tensor.dims + tensor.rank, input.dims.begin());
}

void Context::DropOutputs() {
  for (Output& output : outputs_) output.value.reset();
  outputs_fit_ = false;
}

void Context::Run() {
  const OrtApi& api = runtime_.api();
  auto run = [&] {
    // A value that is there already is written into; null asks for a new one.
    for (size_t i = 0; i < outputs_.size(); ++i) output_values_[i] = outputs_[i].value.get();
    return api.Run(model_.session(), nullptr, model_.input_names().data(), input_values_.data(),
                   inputs_.size(), model_.output_names().data(), outputs_.size(),
                   output_values_.data());
  };
  bool reusing = outputs_fit_;
  outputs_fit_ = false;  // until all is read: whatever throws on the way leaves nothing half-done
                         // to the next call
  OrtStatus* status = run();
  if (status != nullptr && reusing) {
    // Outputs whose shape follows from the values (NonZero, Unique) do not fit the ones kept. If
    // new ones do, it was that.
    DropOutputs();
    api.ReleaseStatus(status);
    status = run();
    if (status == nullptr) can_reuse_ = false;
    reusing = false;
  }
  if (status != nullptr) {
    DropOutputs();
    throw runtime_.ToFailure(status);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].value.get() != output_values_[i]) outputs_[i].value.reset(output_values_[i]);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    switch (model_.output_kinds()[i]) {
      case OutputKind::kTensor:
        if (!reusing) ReadTensor(i);
        break;
      case OutputKind::kStrings:
        ReadStrings(i);
        break;
      case OutputKind::kRowMaps:
        ReadRowMaps(i);
        break;
    }
  }
  outputs_fit_ = true;
}

void Context::ReadTensor(size_t i) {
  const OrtApi& api = runtime_.api();
  Output& output = outputs_[i];
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  runtime_.Check(api.GetTensorTypeAndShape(output.value.get(), &raw));
  Owned<OrtTensorTypeAndShapeInfo> info(raw, api.ReleaseTensorTypeAndShapeInfo);
  size_t rank = 0;
  runtime_.Check(api.GetDimensionsCount(raw, &rank));
  if (rank > LEADSMAN_MAX_RANK) {
    throw Failure{LEADSMAN_UNIMPLEMENTED, std::string("output \"") + model_.output_names()[i] +
                                              "\" came with more than eight dimensions"};
  }
  runtime_.Check(api.GetDimensions(raw, output.dims.data(), rank));
  size_t count = 0;
  runtime_.Check(api.GetTensorShapeElementCount(raw, &count));
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  runtime_.Check(api.GetTensorElementType(raw, &type));
  void* data = nullptr;
  if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    runtime_.Check(api.GetTensorMutableData(output.value.get(), &data));
  }
  tensors_[i] = {FromOrt(type), static_cast<uint32_t>(rank), output.dims.data(), data,
                 static_cast<int64_t>(count)};
}

void Context::ReadStrings(size_t i) {
  const OrtApi& api = runtime_.api();
  ReadTensor(i);
  Output& output = outputs_[i];
  auto count = static_cast<size_t>(tensors_[i].element_count);
  size_t bytes = 0;
  runtime_.Check(api.GetStringTensorDataLength(output.value.get(), &bytes));
  output.text.resize(bytes);
  output.offsets.resize(count);
  output.strings.resize(count);
  if (count > 0) {
    runtime_.Check(api.GetStringTensorContent(output.value.get(), output.text.data(), bytes,
                                              output.offsets.data(), count));
  }
  for (size_t s = 0; s < count; ++s) {
    size_t end = s + 1 < count ? output.offsets[s + 1] : bytes;
    output.strings[s] = {end - output.offsets[s], output.text.data() + output.offsets[s]};
  }
  tensors_[i].data = output.strings.data();
}

void Context::ReadRowMaps(size_t i) {
  const OrtApi& api = runtime_.api();
  Output& output = outputs_[i];
  // A sequence is not written into again.
  Owned<OrtValue> sequence = std::move(output.value);
  size_t rows = 0;
  runtime_.Check(api.GetValueCount(sequence.get(), &rows));
  size_t classes = 0;
  output.flat.clear();
  for (size_t row = 0; row < rows; ++row) {
    OrtValue* raw = nullptr;
    runtime_.Check(api.GetValue(sequence.get(), static_cast<int>(row), runtime_.allocator(), &raw));
    Owned<OrtValue> map(raw, api.ReleaseValue);
    // 0 = the keys, 1 = the values, both in ascending order of the keys: it is a std::map inside.
    runtime_.Check(api.GetValue(map.get(), 1, runtime_.allocator(), &raw));
    Owned<OrtValue> values(raw, api.ReleaseValue);
    OrtTensorTypeAndShapeInfo* raw_info = nullptr;
    runtime_.Check(api.GetTensorTypeAndShape(values.get(), &raw_info));
    Owned<OrtTensorTypeAndShapeInfo> info(raw_info, api.ReleaseTensorTypeAndShapeInfo);
    size_t here = 0;
    runtime_.Check(api.GetTensorShapeElementCount(raw_info, &here));
    if (row == 0) classes = here;
    if (here != classes) {
      throw Failure{LEADSMAN_INTERNAL, std::string("output \"") + model_.output_names()[i] +
                                           "\": row " + std::to_string(row) + " has " +
                                           std::to_string(here) + " classes, row 0 has " +
                                           std::to_string(classes)};
    }
    void* data = nullptr;
    runtime_.Check(api.GetTensorMutableData(values.get(), &data));
    const auto* scores = static_cast<const float*>(data);
    output.flat.insert(output.flat.end(), scores, scores + here);
  }
  output.dims[0] = static_cast<int64_t>(rows);
  output.dims[1] = static_cast<int64_t>(classes);
  tensors_[i] = {LEADSMAN_FP32, 2, output.dims.data(), output.flat.data(),
                 static_cast<int64_t>(output.flat.size())};
}

}  // namespace leadsman_ort
