// The ABI's edge: opaque handles ↔ classes, exceptions → codes. Nothing else.
#include <exception>
#include <new>

#include "context.h"
#include "leadsman_backend.h"
#include "model.h"
#include "runtime.h"

using leadsman_ort::Context;
using leadsman_ort::Failure;
using leadsman_ort::Model;
using leadsman_ort::Runtime;

struct leadsman_backend {
  Runtime runtime;
};
struct leadsman_model {
  Model model;
};
struct leadsman_context {
  Context context;
};

namespace {

template <typename Body>
leadsman_code Fenced(leadsman_error* error, Body body) {
  try {
    body();
    return LEADSMAN_OK;
  } catch (const Failure& failure) {
    return leadsman_error_set(error, failure.code, failure.text.c_str());
  } catch (const std::bad_alloc&) {
    return leadsman_error_set(error, LEADSMAN_RESOURCE_EXHAUSTED, "out of memory");
  } catch (const std::exception& unexpected) {
    return leadsman_error_set(error, LEADSMAN_INTERNAL, unexpected.what());
  }
}

leadsman_code Start(const leadsman_host* host, const leadsman_option* options, size_t count,
                    leadsman_backend** backend, leadsman_error* error) {
  return Fenced(error, [&] { *backend = new leadsman_backend{Runtime(host, {options, count})}; });
}
void Stop(leadsman_backend* backend) { delete backend; }
const char* RuntimeVersion(const leadsman_backend* backend) {
  return backend->runtime.version().c_str();
}

leadsman_code Load(leadsman_backend* backend, const leadsman_load_spec* spec,
                   leadsman_model** model, leadsman_error* error) {
  return Fenced(error, [&] { *model = new leadsman_model{Model(backend->runtime, *spec)}; });
}
void Unload(leadsman_model* model) { delete model; }
const leadsman_signature* Signature(const leadsman_model* model) {
  return model->model.signature();
}

leadsman_code NewContext(leadsman_model* model, leadsman_context** context, leadsman_error* error) {
  return Fenced(error, [&] { *context = new leadsman_context{Context(model->model)}; });
}
void FreeContext(leadsman_context* context) { delete context; }

leadsman_code Execute(leadsman_context* context, const leadsman_tensor* inputs, size_t input_count,
                      const leadsman_tensor** outputs, size_t* output_count,
                      leadsman_error* error) {
  return Fenced(error, [&] {
    const std::vector<leadsman_tensor>& tensors = context->context.Execute(inputs, input_count);
    *outputs = tensors.data();
    *output_count = tensors.size();
  });
}

const char* const kFormats[] = {"onnx"};
const leadsman_backend_api kApi = {
    .abi_version = LEADSMAN_BACKEND_ABI_VERSION,
    .struct_size = sizeof(leadsman_backend_api),
    .name = "onnxruntime",
    .formats = kFormats,
    .format_count = 1,
    .start = Start,
    .stop = Stop,
    .runtime_version = RuntimeVersion,
    .load = Load,
    .unload = Unload,
    .signature = Signature,
    .new_context = NewContext,
    .free_context = FreeContext,
    .execute = Execute,
};

}  // namespace

const leadsman_backend_api* leadsman_backend_entry(uint32_t) { return &kApi; }
