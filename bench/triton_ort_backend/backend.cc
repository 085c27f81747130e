// A small Triton backend that runs one ONNX model through ONNX Runtime: one FP32 input "x", one
// FP32 output "y", both [rows, columns]. It exists so that the benchmark compares servers and not
// runtimes: Triton's own front end and scheduler with the same libonnxruntime, the same model and
// one intra-op thread, as Leadsman runs it. It is not NVIDIA's backend.
//
// The wheel that brings tritonserver has no headers, so the part of Triton's stable C ABI that is
// used is declared here.
#include <onnxruntime_c_api.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

extern "C" {
struct TRITONSERVER_Error;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;

TRITONSERVER_Error* TRITONSERVER_ErrorNew(int code, const char* message);
TRITONSERVER_Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model*, int* type,
                                                  const char** location);
TRITONSERVER_Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t* version);
TRITONSERVER_Error* TRITONBACKEND_ModelSetState(TRITONBACKEND_Model*, void* state);
TRITONSERVER_Error* TRITONBACKEND_ModelState(TRITONBACKEND_Model*, void** state);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance*,
                                                     TRITONBACKEND_Model**);
TRITONSERVER_Error* TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request*, uint32_t index,
                                                      TRITONBACKEND_Input**);
TRITONSERVER_Error* TRITONBACKEND_RequestRelease(TRITONBACKEND_Request*, uint32_t flags);
TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input*, const char** name,
                                                  int* datatype, const int64_t** shape,
                                                  uint32_t* rank, uint64_t* byte_size,
                                                  uint32_t* buffer_count);
TRITONSERVER_Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input*, uint32_t index,
                                              const void** buffer, uint64_t* byte_size,
                                              int* memory_type, int64_t* memory_type_id);
TRITONSERVER_Error* TRITONBACKEND_ResponseNew(TRITONBACKEND_Response**, TRITONBACKEND_Request*);
TRITONSERVER_Error* TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response*, TRITONBACKEND_Output**,
                                                 const char* name, int datatype,
                                                 const int64_t* shape, uint32_t rank);
TRITONSERVER_Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output*, void** buffer,
                                               uint64_t byte_size, int* memory_type,
                                               int64_t* memory_type_id);
TRITONSERVER_Error* TRITONBACKEND_ResponseSend(TRITONBACKEND_Response*, uint32_t flags,
                                               TRITONSERVER_Error*);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportStatistics(
    TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request*, bool success, uint64_t exec_start,
    uint64_t compute_start, uint64_t compute_end, uint64_t exec_end);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(
    TRITONBACKEND_ModelInstance*, uint64_t batch_size, uint64_t exec_start, uint64_t compute_start,
    uint64_t compute_end, uint64_t exec_end);
}

namespace {

constexpr int kErrorInternal = 1;       // TRITONSERVER_ERROR_INTERNAL
constexpr int kFp32 = 11;               // TRITONSERVER_TYPE_FP32
constexpr uint32_t kResponseFinal = 1;  // TRITONSERVER_RESPONSE_COMPLETE_FINAL
constexpr uint32_t kReleaseAll = 1;     // TRITONSERVER_REQUEST_RELEASE_ALL
constexpr uint32_t kOrtApiVersion = 16;

#define RETURN_IF_ERROR(expression)                 \
  do {                                              \
    if (auto* error_ = (expression)) return error_; \
  } while (false)

const OrtApi* g_ort = nullptr;
OrtEnv* g_env = nullptr;

TRITONSERVER_Error* FromOrt(OrtStatus* status) {
  if (status == nullptr) return nullptr;
  auto* error = TRITONSERVER_ErrorNew(kErrorInternal, g_ort->GetErrorMessage(status));
  g_ort->ReleaseStatus(status);
  return error;
}

TRITONSERVER_Error* InitializeRuntime() {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  if (g_env != nullptr) return nullptr;
  g_ort = OrtGetApiBase()->GetApi(kOrtApiVersion);
  if (g_ort == nullptr)
    return TRITONSERVER_ErrorNew(kErrorInternal, "this ONNX Runtime is too old");
  return FromOrt(g_ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "triton", &g_env));
}

struct ModelState {
  OrtSession* session = nullptr;
  OrtMemoryInfo* memory = nullptr;
  ~ModelState() {
    if (session != nullptr) g_ort->ReleaseSession(session);
    if (memory != nullptr) g_ort->ReleaseMemoryInfo(memory);
  }
};

struct ValueDeleter {
  void operator()(OrtValue* value) const { g_ort->ReleaseValue(value); }
};
using ValuePtr = std::unique_ptr<OrtValue, ValueDeleter>;

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

/// The rows of all requests of one execution, one after the other.
struct Gathered {
  std::vector<float> values;
  std::vector<int64_t> rows;  // per request
  int64_t total_rows = 0;
  int64_t columns = 0;
};

TRITONSERVER_Error* Gather(TRITONBACKEND_Request** requests, uint32_t count, Gathered& gathered) {
  for (uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_Input* input = nullptr;
    RETURN_IF_ERROR(TRITONBACKEND_RequestInputByIndex(requests[i], 0, &input));
    const int64_t* shape = nullptr;
    uint32_t rank = 0;
    uint32_t buffers = 0;
    uint64_t bytes = 0;
    RETURN_IF_ERROR(
        TRITONBACKEND_InputProperties(input, nullptr, nullptr, &shape, &rank, &bytes, &buffers));
    if (rank != 2)
      return TRITONSERVER_ErrorNew(kErrorInternal, "the input must have two dimensions");
    gathered.rows.push_back(shape[0]);
    gathered.total_rows += shape[0];
    gathered.columns = shape[1];
    for (uint32_t b = 0; b < buffers; ++b) {
      const void* data = nullptr;
      uint64_t size = 0;
      int memory_type = 0;
      int64_t memory_id = 0;
      RETURN_IF_ERROR(TRITONBACKEND_InputBuffer(input, b, &data, &size, &memory_type, &memory_id));
      const size_t old_size = gathered.values.size();
      gathered.values.resize(old_size + size / sizeof(float));
      std::memcpy(gathered.values.data() + old_size, data, size);
    }
  }
  return nullptr;
}

struct Computed {
  ValuePtr value;
  const float* data = nullptr;
  int64_t columns = 0;
};

TRITONSERVER_Error* Compute(ModelState& state, Gathered& gathered, Computed& computed) {
  const int64_t shape[2] = {gathered.total_rows, gathered.columns};
  OrtValue* raw = nullptr;
  RETURN_IF_ERROR(FromOrt(g_ort->CreateTensorWithDataAsOrtValue(
      state.memory, gathered.values.data(), gathered.values.size() * sizeof(float), shape, 2,
      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &raw)));
  ValuePtr input(raw);
  const char* input_name = "x";
  const char* output_name = "y";
  const OrtValue* inputs[] = {input.get()};
  OrtValue* output = nullptr;
  RETURN_IF_ERROR(FromOrt(
      g_ort->Run(state.session, nullptr, &input_name, inputs, 1, &output_name, 1, &output)));
  computed.value.reset(output);
  void* data = nullptr;
  RETURN_IF_ERROR(FromOrt(g_ort->GetTensorMutableData(output, &data)));
  OrtTensorTypeAndShapeInfo* info = nullptr;
  RETURN_IF_ERROR(FromOrt(g_ort->GetTensorTypeAndShape(output, &info)));
  int64_t dims[2] = {0, 0};
  auto* error = FromOrt(g_ort->GetDimensions(info, dims, 2));
  g_ort->ReleaseTensorTypeAndShapeInfo(info);
  RETURN_IF_ERROR(error);
  computed.data = static_cast<const float*>(data);
  computed.columns = dims[1];
  return nullptr;
}

TRITONSERVER_Error* FillOutput(TRITONBACKEND_Response* response, const float* data, int64_t rows,
                               int64_t columns) {
  const int64_t shape[2] = {rows, columns};
  TRITONBACKEND_Output* output = nullptr;
  RETURN_IF_ERROR(TRITONBACKEND_ResponseOutput(response, &output, "y", kFp32, shape, 2));
  const auto bytes = static_cast<uint64_t>(rows * columns) * sizeof(float);
  void* buffer = nullptr;
  int memory_type = 0;
  int64_t memory_id = 0;
  RETURN_IF_ERROR(TRITONBACKEND_OutputBuffer(output, &buffer, bytes, &memory_type, &memory_id));
  std::memcpy(buffer, data, bytes);
  return nullptr;
}

}  // namespace

extern "C" {

TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  RETURN_IF_ERROR(InitializeRuntime());
  int type = 0;
  const char* location = nullptr;
  uint64_t version = 0;
  RETURN_IF_ERROR(TRITONBACKEND_ModelRepository(model, &type, &location));
  RETURN_IF_ERROR(TRITONBACKEND_ModelVersion(model, &version));
  const std::string path = std::string(location) + "/" + std::to_string(version) + "/model.onnx";

  auto state = std::make_unique<ModelState>();
  OrtSessionOptions* options = nullptr;
  RETURN_IF_ERROR(FromOrt(g_ort->CreateSessionOptions(&options)));
  auto* error = FromOrt(g_ort->SetIntraOpNumThreads(options, 1));
  if (error == nullptr) error = FromOrt(g_ort->SetInterOpNumThreads(options, 1));
  if (error == nullptr)
    error = FromOrt(g_ort->CreateSession(g_env, path.c_str(), options, &state->session));
  g_ort->ReleaseSessionOptions(options);
  RETURN_IF_ERROR(error);
  RETURN_IF_ERROR(
      FromOrt(g_ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &state->memory)));
  return TRITONBACKEND_ModelSetState(model, state.release());
}

TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  void* state = nullptr;
  RETURN_IF_ERROR(TRITONBACKEND_ModelState(model, &state));
  delete static_cast<ModelState*>(state);
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests,
                                                       const uint32_t count) {
  const uint64_t started = NowNs();
  TRITONBACKEND_Model* model = nullptr;
  void* state = nullptr;
  RETURN_IF_ERROR(TRITONBACKEND_ModelInstanceModel(instance, &model));
  RETURN_IF_ERROR(TRITONBACKEND_ModelState(model, &state));

  Gathered gathered;
  Computed computed;
  // From here on the requests are ours: each gets exactly one response, and an error is told in it.
  auto* failure = Gather(requests, count, gathered);
  const uint64_t compute_started = NowNs();
  if (failure == nullptr) failure = Compute(*static_cast<ModelState*>(state), gathered, computed);
  const uint64_t compute_ended = NowNs();

  int64_t offset = 0;
  for (uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_Response* response = nullptr;
    RETURN_IF_ERROR(TRITONBACKEND_ResponseNew(&response, requests[i]));
    TRITONSERVER_Error* error = nullptr;
    if (failure != nullptr) {
      error = TRITONSERVER_ErrorNew(kErrorInternal, "ONNX Runtime refused the batch");
    } else {
      error = FillOutput(response, computed.data + offset, gathered.rows[i], computed.columns);
      offset += gathered.rows[i] * computed.columns;
    }
    RETURN_IF_ERROR(TRITONBACKEND_ResponseSend(response, kResponseFinal, error));
  }
  const uint64_t ended = NowNs();
  for (uint32_t i = 0; i < count; ++i) {
    TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], failure == nullptr, started,
                                                compute_started, compute_ended, ended);
    TRITONBACKEND_RequestRelease(requests[i], kReleaseAll);
  }
  TRITONBACKEND_ModelInstanceReportBatchStatistics(instance,
                                                   static_cast<uint64_t>(gathered.total_rows),
                                                   started, compute_started, compute_ended, ended);
  return nullptr;
}

}  // extern "C"
