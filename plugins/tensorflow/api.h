#pragma once

#include <cstddef>
#include <cstdint>

namespace leadsman_tensorflow {

// TensorFlow's C interface as far as it is used, under its own names but in a namespace.
// headers_agree.cc compares with TensorFlow's headers where those are.

struct TF_Status;
struct TF_SessionOptions;
struct TF_Session;
struct TF_Graph;
struct TF_Operation;
struct TF_Tensor;

struct TF_Buffer {
  const void* data;
  size_t length;
  void (*data_deallocator)(void* data, size_t length);
};
struct TF_Output {
  TF_Operation* oper;
  int index;
};
/// A string as it lies in a tensor. Only its size matters here; functions do the rest.
struct alignas(8) TF_TString {
  char opaque[24];
};

enum TF_DataType {
  TF_NONE = 0,
  TF_FLOAT = 1,
  TF_DOUBLE = 2,
  TF_INT32 = 3,
  TF_UINT8 = 4,
  TF_INT16 = 5,
  TF_INT8 = 6,
  TF_STRING = 7,
  TF_INT64 = 9,
  TF_BOOL = 10,
  TF_BFLOAT16 = 14,
  TF_UINT16 = 17,
  TF_HALF = 19,
  TF_UINT32 = 22,
  TF_UINT64 = 23,
};

struct Api {
  TF_Status* (*new_status)();
  void (*delete_status)(TF_Status*);
  int (*get_code)(const TF_Status*);
  const char* (*message)(const TF_Status*);
  TF_SessionOptions* (*new_session_options)();
  void (*delete_session_options)(TF_SessionOptions*);
  void (*set_config)(TF_SessionOptions*, const void* proto, size_t size, TF_Status*);
  TF_Graph* (*new_graph)();
  void (*delete_graph)(TF_Graph*);
  TF_Buffer* (*new_buffer)();
  TF_Buffer* (*new_buffer_from_string)(const void* proto, size_t size);
  void (*delete_buffer)(TF_Buffer*);
  TF_Session* (*load_session_from_saved_model)(const TF_SessionOptions*,
                                               const TF_Buffer* run_options, const char* folder,
                                               const char* const* tags, int tag_count, TF_Graph*,
                                               TF_Buffer* meta_graph, TF_Status*);
  void (*close_session)(TF_Session*, TF_Status*);
  void (*delete_session)(TF_Session*, TF_Status*);
  void (*session_run)(TF_Session*, const TF_Buffer* run_options, const TF_Output* inputs,
                      TF_Tensor* const* input_values, int input_count, const TF_Output* outputs,
                      TF_Tensor** output_values, int output_count,
                      const TF_Operation* const* targets, int target_count, TF_Buffer* run_metadata,
                      TF_Status*);
  TF_Operation* (*graph_operation_by_name)(TF_Graph*, const char* name);
  int (*operation_num_outputs)(TF_Operation*);
  TF_Tensor* (*allocate_tensor)(TF_DataType, const int64_t* dims, int rank, size_t bytes);
  TF_Tensor* (*new_tensor)(TF_DataType, const int64_t* dims, int rank, void* data, size_t bytes,
                           void (*deallocator)(void* data, size_t bytes, void* argument),
                           void* argument);
  void (*delete_tensor)(TF_Tensor*);
  TF_DataType (*tensor_type)(const TF_Tensor*);
  int (*num_dims)(const TF_Tensor*);
  int64_t (*dim)(const TF_Tensor*, int index);
  void* (*tensor_data)(const TF_Tensor*);
  void (*string_init)(TF_TString*);
  void (*string_copy)(TF_TString*, const char* text, size_t size);
  const char* (*string_get_data_pointer)(const TF_TString*);
  size_t (*string_get_size)(const TF_TString*);
  void (*string_dealloc)(TF_TString*);
};

}  // namespace leadsman_tensorflow
