// A Triton backend that answers every input "x…" with an output "y…" of the same type, shape and
// bytes, so that requests of every data type can be sent to a real tritonserver without a runtime:
// what is captured is Triton's own front end. See capture.py.
//
// The wheel that brings tritonserver has no headers, so the part of Triton's stable C ABI that is
// used is declared here.
#include <cstdint>
#include <cstring>
#include <string>

extern "C" {
struct TRITONSERVER_Error;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;

TRITONSERVER_Error* TRITONBACKEND_RequestInputCount(TRITONBACKEND_Request*, uint32_t* count);
TRITONSERVER_Error* TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request*, uint32_t index,
                                                      TRITONBACKEND_Input**);
TRITONSERVER_Error* TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request*, uint32_t* count);
TRITONSERVER_Error* TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request*, uint32_t index,
                                                    const char** name);
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

constexpr uint32_t kResponseFinal = 1;  // TRITONSERVER_RESPONSE_COMPLETE_FINAL
constexpr uint32_t kReleaseAll = 1;     // TRITONSERVER_REQUEST_RELEASE_ALL

#define RETURN_IF_ERROR(expression)                 \
  do {                                              \
    if (auto* error_ = (expression)) return error_; \
  } while (false)

TRITONSERVER_Error* IsWanted(TRITONBACKEND_Request* request, const std::string& name,
                             bool& wanted) {
  uint32_t count = 0;
  RETURN_IF_ERROR(TRITONBACKEND_RequestOutputCount(request, &count));
  wanted = false;
  for (uint32_t i = 0; i < count && !wanted; ++i) {
    const char* one = nullptr;
    RETURN_IF_ERROR(TRITONBACKEND_RequestOutputName(request, i, &one));
    wanted = name == one;
  }
  return nullptr;
}

TRITONSERVER_Error* CopyInput(TRITONBACKEND_Request* request, TRITONBACKEND_Response* response,
                              uint32_t index) {
  TRITONBACKEND_Input* input = nullptr;
  RETURN_IF_ERROR(TRITONBACKEND_RequestInputByIndex(request, index, &input));
  const char* name = nullptr;
  int datatype = 0;
  const int64_t* shape = nullptr;
  uint32_t rank = 0;
  uint32_t buffers = 0;
  uint64_t bytes = 0;
  RETURN_IF_ERROR(
      TRITONBACKEND_InputProperties(input, &name, &datatype, &shape, &rank, &bytes, &buffers));
  const std::string output_name = std::string("y") + (name + 1);
  bool wanted = false;
  RETURN_IF_ERROR(IsWanted(request, output_name, wanted));
  if (!wanted) return nullptr;
  TRITONBACKEND_Output* output = nullptr;
  RETURN_IF_ERROR(
      TRITONBACKEND_ResponseOutput(response, &output, output_name.c_str(), datatype, shape, rank));
  void* to = nullptr;
  int memory_type = 0;
  int64_t memory_id = 0;
  RETURN_IF_ERROR(TRITONBACKEND_OutputBuffer(output, &to, bytes, &memory_type, &memory_id));
  uint64_t done = 0;
  for (uint32_t b = 0; b < buffers; ++b) {
    const void* from = nullptr;
    uint64_t size = 0;
    RETURN_IF_ERROR(TRITONBACKEND_InputBuffer(input, b, &from, &size, &memory_type, &memory_id));
    if (size > 0) std::memcpy(static_cast<char*>(to) + done, from, size);
    done += size;
  }
  return nullptr;
}

TRITONSERVER_Error* Answer(TRITONBACKEND_Request* request) {
  TRITONBACKEND_Response* response = nullptr;
  RETURN_IF_ERROR(TRITONBACKEND_ResponseNew(&response, request));
  uint32_t count = 0;
  TRITONSERVER_Error* error = TRITONBACKEND_RequestInputCount(request, &count);
  for (uint32_t i = 0; i < count && error == nullptr; ++i) error = CopyInput(request, response, i);
  return TRITONBACKEND_ResponseSend(response, kResponseFinal, error);
}

}  // namespace

extern "C" TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests, const uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    TRITONSERVER_Error* failed = Answer(requests[i]);
    TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], failed == nullptr, 1, 2, 3,
                                                4);
    TRITONBACKEND_RequestRelease(requests[i], kReleaseAll);
  }
  TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, 1, 2, 3, 4);
  return nullptr;
}
