// The smallest complete backend: y = W x + b, from a text file. docs/write-a-backend.md walks
// through it.
//
// Model file (format "linear"): the numbers of inputs and outputs, then for each output its weights
// and its bias:
//   2 1
//   0.5 -1.0   3.0
#include <cstdio>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "leadsman_backend.h"

// The three opaque types are ours to define. A backend without a runtime of its own needs nothing
// in the first.
struct leadsman_backend {
  const leadsman_host* host;
};

struct leadsman_model {
  int64_t inputs = 0;
  int64_t outputs = 0;
  std::vector<float> weights;  // outputs × (inputs + 1), the bias last
  int64_t input_dims[2];
  int64_t output_dims[2];
  leadsman_tensor_spec input;
  leadsman_tensor_spec output;
  leadsman_signature signature;
};

struct leadsman_context {
  const leadsman_model* model;
  std::vector<float> result;  // kept from call to call: no allocation once it has grown
  int64_t dims[2];
  leadsman_tensor output;
};

namespace {

// No exception may leave a plug-in; here, only memory can run out.
template <typename Body>
leadsman_code Fenced(leadsman_error* error, Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return leadsman_error_set(error, LEADSMAN_RESOURCE_EXHAUSTED, "out of memory");
  }
}

leadsman_code Start(const leadsman_host* host, const leadsman_option*, size_t,
                    leadsman_backend** backend, leadsman_error* error) {
  return Fenced(error, [&] {
    *backend = new leadsman_backend{host};
    return leadsman_code{LEADSMAN_OK};
  });
}
void Stop(leadsman_backend* backend) { delete backend; }
const char* RuntimeVersion(const leadsman_backend*) { return "1"; }

bool Read(FILE* file, leadsman_model& model) {
  long long inputs = 0;
  long long outputs = 0;
  constexpr long long kMost = 1 << 20;
  if (std::fscanf(file, "%lld %lld", &inputs, &outputs) != 2) return false;
  if (inputs < 1 || outputs < 1 || inputs > kMost || outputs > kMost / inputs) return false;
  model.inputs = inputs;
  model.outputs = outputs;
  model.weights.resize(static_cast<size_t>(outputs * (inputs + 1)));
  for (float& weight : model.weights) {
    if (std::fscanf(file, "%f", &weight) != 1) return false;
  }
  return true;
}

leadsman_code Load(leadsman_backend* backend, const leadsman_load_spec* spec, leadsman_model** out,
                   leadsman_error* error) {
  return Fenced(error, [&] {
    if (spec->option_count > 0) {
      return leadsman_error_set(error, LEADSMAN_INVALID_ARGUMENT, "this backend knows no options");
    }
    std::string path = std::string(spec->directory) + "/" + spec->model_file;
    std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "r"), std::fclose);
    if (!file)
      return leadsman_error_set(error, LEADSMAN_NOT_FOUND, "the model file cannot be opened");
    auto model = std::make_unique<leadsman_model>();
    if (!Read(file.get(), *model)) {
      return leadsman_error_set(
          error, LEADSMAN_INVALID_ARGUMENT,
          "the model file is not two sizes and then inputs+1 numbers per output");
    }
    // -1: any number of rows. What the signature points to has to live as long as the model.
    model->input_dims[0] = model->output_dims[0] = -1;
    model->input_dims[1] = model->inputs;
    model->output_dims[1] = model->outputs;
    model->input = {"x", LEADSMAN_FP32, 2, model->input_dims, 0};
    model->output = {"y", LEADSMAN_FP32, 2, model->output_dims, 0};
    model->signature = {1, &model->input, 1, &model->output};
    backend->host->log(backend->host->self, LEADSMAN_LOG_DEBUG, "linear model read");
    *out = model.release();
    return leadsman_code{LEADSMAN_OK};
  });
}
void Unload(leadsman_model* model) { delete model; }
const leadsman_signature* Signature(const leadsman_model* model) { return &model->signature; }

leadsman_code NewContext(leadsman_model* model, leadsman_context** context, leadsman_error* error) {
  return Fenced(error, [&] {
    *context = new leadsman_context{model};
    return leadsman_code{LEADSMAN_OK};
  });
}
void FreeContext(leadsman_context* context) { delete context; }

void Multiply(const leadsman_model& model, const float* x, int64_t rows,
              std::vector<float>& result) {
  result.clear();
  for (int64_t row = 0; row < rows; ++row, x += model.inputs) {
    const float* weight = model.weights.data();
    for (int64_t o = 0; o < model.outputs; ++o) {
      float sum = 0;
      for (int64_t i = 0; i < model.inputs; ++i) sum += *weight++ * x[i];
      result.push_back(sum + *weight++);
    }
  }
}

leadsman_code Execute(leadsman_context* context, const leadsman_tensor* inputs, size_t,
                      const leadsman_tensor** outputs, size_t* output_count,
                      leadsman_error* error) {
  return Fenced(error, [&] {
    const leadsman_model& model = *context->model;
    const int64_t rows = inputs[0].dims[0];
    Multiply(model, static_cast<const float*>(inputs[0].data), rows, context->result);
    context->dims[0] = rows;
    context->dims[1] = model.outputs;
    // The result stays ours: the server reads it where it is, until the next execute on this
    // context.
    context->output = {LEADSMAN_FP32, 2, context->dims, context->result.data(),
                       rows * model.outputs};
    *outputs = &context->output;
    *output_count = 1;
    return leadsman_code{LEADSMAN_OK};
  });
}

const char* const kFormats[] = {"linear"};
const leadsman_backend_api kApi = {LEADSMAN_BACKEND_ABI_VERSION,
                                   sizeof(leadsman_backend_api),
                                   "linear",
                                   kFormats,
                                   1,
                                   Start,
                                   Stop,
                                   RuntimeVersion,
                                   Load,
                                   Unload,
                                   Signature,
                                   NewContext,
                                   FreeContext,
                                   Execute};

}  // namespace

const leadsman_backend_api* leadsman_backend_entry(uint32_t) { return &kApi; }
