#include "context.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace leadsman_tensorflow {
namespace {

using leadsman_plugin::Failure;

leadsman_code CodeOf(int tensorflow_code) {
  // The kernels say with these what they cannot do with the values.
  constexpr int kInvalidArgument = 3;
  constexpr int kNotFound = 5;
  constexpr int kResourceExhausted = 8;
  constexpr int kFailedPrecondition = 9;
  constexpr int kOutOfRange = 11;
  constexpr int kUnimplemented = 12;
  switch (tensorflow_code) {
    case kInvalidArgument:
    case kOutOfRange:
    case kNotFound:
      return LEADSMAN_INVALID_ARGUMENT;
    case kResourceExhausted:
      return LEADSMAN_RESOURCE_EXHAUSTED;
    case kUnimplemented:
      return LEADSMAN_UNIMPLEMENTED;
    case kFailedPrecondition:  // a variable without a value: the model's fault
    default:
      return LEADSMAN_INTERNAL;
  }
}

/// Called when the last user of the tensor is gone, which may be the graph itself: an output can
/// be the input.
void FreeStrings(void* data, size_t bytes, void* api) {
  auto* strings = static_cast<TF_TString*>(data);
  for (size_t i = 0; i < bytes / sizeof(TF_TString); ++i) {
    static_cast<const Api*>(api)->string_dealloc(&strings[i]);
  }
  std::free(data);
}

}  // namespace

Context::Context(const Model& model, size_t signature)
    : model_(model),
      api_(model.api()),
      signature_(model.signatures()[signature]),
      route_(model.route(signature)),
      inputs_(route_.inputs.size()),
      outputs_(route_.outputs.size()),
      read_(outputs_.size()),
      tensors_(outputs_.size()) {}

Context::~Context() {
  DropInputs();
  DropOutputs();
}

void Context::DropInputs() {
  for (TF_Tensor*& tensor : inputs_) {
    if (tensor != nullptr) api_.delete_tensor(tensor);
    tensor = nullptr;
  }
}

void Context::DropOutputs() {
  for (TF_Tensor*& tensor : outputs_) {
    if (tensor != nullptr) api_.delete_tensor(tensor);
    tensor = nullptr;
  }
}

std::span<const leadsman_tensor> Context::Execute(std::span<const leadsman_tensor> inputs) {
  if (inputs.size() != inputs_.size()) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT, "the signature takes " +
                                                 std::to_string(inputs_.size()) + " inputs, not " +
                                                 std::to_string(inputs.size())};
  }
  DropInputs();  // of a call that failed half-way
  DropOutputs();
  // Copies, always: TensorFlow may keep a tensor beyond the call, in a variable or as an output,
  // and the caller's memory lasts for the call only.
  for (size_t i = 0; i < inputs.size(); ++i) {
    const leadsman_tensor_spec& spec = signature_.signature.inputs[i];
    if (inputs[i].dtype != spec.dtype) {
      throw Failure{LEADSMAN_INVALID_ARGUMENT,
                    std::string("input \"") + spec.name + "\" has another element type"};
    }
    inputs_[i] = inputs[i].dtype == LEADSMAN_BYTES ? CopyStrings(inputs[i]) : Copy(inputs[i]);
    if (inputs_[i] == nullptr) throw std::bad_alloc();
  }
  Status status(api_);
  api_.session_run(model_.session(), model_.run_options(), route_.inputs.data(), inputs_.data(),
                   static_cast<int>(inputs_.size()), route_.outputs.data(), outputs_.data(),
                   static_cast<int>(outputs_.size()), nullptr, 0, nullptr, status.get());
  DropInputs();
  if (!status.ok()) {
    DropOutputs();
    throw Failure{CodeOf(status.code()), status.text()};
  }
  for (size_t i = 0; i < outputs_.size(); ++i) Read(i);
  return tensors_;
}

TF_Tensor* Context::Copy(const leadsman_tensor& tensor) const {
  const size_t bytes = static_cast<size_t>(tensor.element_count) * ElementSize(tensor.dtype);
  TF_Tensor* copy = api_.allocate_tensor(ToTensorFlow(tensor.dtype), tensor.dims,
                                         static_cast<int>(tensor.rank), bytes);
  if (copy != nullptr && bytes > 0) std::memcpy(api_.tensor_data(copy), tensor.data, bytes);
  return copy;
}

TF_Tensor* Context::CopyStrings(const leadsman_tensor& tensor) const {
  const auto count = static_cast<size_t>(tensor.element_count);
  // A multiple of the alignment, as aligned_alloc wants it, and never nothing.
  constexpr size_t kAlignment = 64;
  const size_t bytes = count * sizeof(TF_TString);
  void* memory = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
  if (memory == nullptr) return nullptr;
  auto* strings = static_cast<TF_TString*>(memory);
  const auto* from = static_cast<const leadsman_string*>(tensor.data);
  for (size_t i = 0; i < count; ++i) {
    api_.string_init(&strings[i]);
    api_.string_copy(&strings[i], from[i].data, from[i].size);
  }
  return api_.new_tensor(TF_STRING, tensor.dims, static_cast<int>(tensor.rank), memory, bytes,
                         &FreeStrings, const_cast<Api*>(&api_));
}

void Context::Read(size_t i) {
  const TF_Tensor* tensor = outputs_[i];
  Output& output = read_[i];
  const char* name = signature_.signature.outputs[i].name;
  const int rank = api_.num_dims(tensor);
  const leadsman_dtype dtype = FromTensorFlow(api_.tensor_type(tensor));
  if (rank < 0 || rank > LEADSMAN_MAX_RANK || dtype == LEADSMAN_INVALID) {
    throw Failure{LEADSMAN_UNIMPLEMENTED, std::string("output \"") + name +
                                              "\" came with more than eight dimensions or in a "
                                              "type that has no tensor form here"};
  }
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) {
    output.dims[static_cast<size_t>(d)] = api_.dim(tensor, d);
    count *= output.dims[static_cast<size_t>(d)];
  }
  const void* data = api_.tensor_data(tensor);
  if (dtype == LEADSMAN_BYTES) {
    output.strings.resize(static_cast<size_t>(count));
    const auto* strings = static_cast<const TF_TString*>(data);
    for (size_t s = 0; s < output.strings.size(); ++s) {
      output.strings[s] = {api_.string_get_size(&strings[s]),
                           api_.string_get_data_pointer(&strings[s])};
    }
    data = output.strings.data();
  }
  tensors_[i] = {dtype, static_cast<uint32_t>(rank), output.dims.data(), data, count};
}

}  // namespace leadsman_tensorflow
