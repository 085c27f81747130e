#include "runtime.h"

#include <array>
#include <cstdlib>

#include "library.h"

namespace leadsman_tensorflow {
namespace {

using leadsman_plugin::Failure;
using leadsman_plugin::LibrarySearch;

const LibrarySearch kSearch = {
    "TensorFlow",
    {"tensorflow/lib/libtensorflow_cc.so.2", "libtensorflow_cc.so.2"},
    nullptr,  // the system's loader would load all of it only to say that it is there
    "libtensorflow_cc.so.2 and libtensorflow_framework.so.2 (in PyPI's packages tensorflow-cpu and "
    "tensorflow) are needed. Run tools/fetch_runtimes.sh --only tensorflow, or name the file by "
    "LEADSMAN_TENSORFLOW or its folder by LEADSMAN_RUNTIMES."};

struct TypePair {
  leadsman_dtype ours;
  TF_DataType theirs;
  size_t size;
};
constexpr std::array<TypePair, 14> kTypes{{
    {LEADSMAN_FP32, TF_FLOAT, 4},
    {LEADSMAN_INT64, TF_INT64, 8},
    {LEADSMAN_FP64, TF_DOUBLE, 8},
    {LEADSMAN_INT32, TF_INT32, 4},
    {LEADSMAN_BYTES, TF_STRING, sizeof(TF_TString)},
    {LEADSMAN_BOOL, TF_BOOL, 1},
    {LEADSMAN_UINT8, TF_UINT8, 1},
    {LEADSMAN_INT8, TF_INT8, 1},
    {LEADSMAN_UINT16, TF_UINT16, 2},
    {LEADSMAN_INT16, TF_INT16, 2},
    {LEADSMAN_UINT32, TF_UINT32, 4},
    {LEADSMAN_UINT64, TF_UINT64, 8},
    {LEADSMAN_FP16, TF_HALF, 2},
    {LEADSMAN_BF16, TF_BFLOAT16, 2},
}};

}  // namespace

Runtime::Runtime(const leadsman_host* host, std::span<const leadsman_option> options)
    : host_(host), file_(leadsman_plugin::FindLibrary(kSearch, options)) {
  version_ = leadsman_plugin::VersionBeside(file_, "2");
  // It writes to the standard error how it was compiled and what it optimizes, at every load. Only
  // where the operator has not said otherwise; nothing else runs yet.
  setenv("TF_CPP_MIN_LOG_LEVEL", "2", 0);
}

const Api& Runtime::Load() {
  std::lock_guard lock(mutex_);
  if (loaded_) return api_;
  // Deep: it exports a protobuf, an absl and an OpenSSL of its own, and dies over the process's.
  void* library = leadsman_plugin::OpenLibrary(kSearch, file_, true);
  const leadsman_plugin::SymbolFinder find(library, file_);
  Api api{};
  find(api.new_status, "TF_NewStatus");
  find(api.delete_status, "TF_DeleteStatus");
  find(api.get_code, "TF_GetCode");
  find(api.message, "TF_Message");
  find(api.new_session_options, "TF_NewSessionOptions");
  find(api.delete_session_options, "TF_DeleteSessionOptions");
  find(api.set_config, "TF_SetConfig");
  find(api.new_graph, "TF_NewGraph");
  find(api.delete_graph, "TF_DeleteGraph");
  find(api.new_buffer, "TF_NewBuffer");
  find(api.new_buffer_from_string, "TF_NewBufferFromString");
  find(api.delete_buffer, "TF_DeleteBuffer");
  find(api.load_session_from_saved_model, "TF_LoadSessionFromSavedModel");
  find(api.close_session, "TF_CloseSession");
  find(api.delete_session, "TF_DeleteSession");
  find(api.session_run, "TF_SessionRun");
  find(api.graph_operation_by_name, "TF_GraphOperationByName");
  find(api.operation_num_outputs, "TF_OperationNumOutputs");
  find(api.allocate_tensor, "TF_AllocateTensor");
  find(api.new_tensor, "TF_NewTensor");
  find(api.delete_tensor, "TF_DeleteTensor");
  find(api.tensor_type, "TF_TensorType");
  find(api.num_dims, "TF_NumDims");
  find(api.dim, "TF_Dim");
  find(api.tensor_data, "TF_TensorData");
  find(api.string_init, "TF_StringInit");
  find(api.string_copy, "TF_StringCopy");
  find(api.string_get_data_pointer, "TF_StringGetDataPointer");
  find(api.string_get_size, "TF_StringGetSize");
  find(api.string_dealloc, "TF_StringDealloc");
  api_ = api;
  loaded_ = true;
  return api_;
}

leadsman_dtype FromTensorFlow(int32_t type) {
  for (const TypePair& pair : kTypes) {
    if (pair.theirs == type) return pair.ours;
  }
  return LEADSMAN_INVALID;
}

TF_DataType ToTensorFlow(leadsman_dtype type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.theirs;
  }
  return TF_NONE;
}

size_t ElementSize(leadsman_dtype type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.size;
  }
  return 0;
}

}  // namespace leadsman_tensorflow
