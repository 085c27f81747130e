// Compiled where TensorFlow's headers are: api.h declares the same as they do. Pointers are
// compared as pointers, enums as numbers, everything else as it is.
#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tensor.h>
#include <tensorflow/c/tf_tstring.h>

#include <tuple>
#include <type_traits>

#include "api.h"

namespace leadsman_tensorflow {
namespace {

template <typename T>
struct Kind {
  using type = std::conditional_t<std::is_pointer_v<T>, void*,
                                  std::conditional_t<std::is_enum_v<T>, int, T>>;
};
template <>
struct Kind<::TF_Output> {
  using type = TF_Output;
};
template <typename F>
struct Form;
template <typename R, typename... Arguments>
struct Form<R (*)(Arguments...)> {
  using type =
      std::tuple<std::conditional_t<std::is_void_v<R>, std::tuple<>, typename Kind<R>::type>,
                 typename Kind<Arguments>::type...>;
};
template <auto member, typename Theirs>
constexpr bool kSame = std::is_same_v<
    typename Form<std::remove_reference_t<decltype(std::declval<Api>().*member)>>::type,
    typename Form<Theirs>::type>;

static_assert(kSame<&Api::new_status, decltype(&TF_NewStatus)>);
static_assert(kSame<&Api::delete_status, decltype(&TF_DeleteStatus)>);
static_assert(kSame<&Api::get_code, decltype(&TF_GetCode)>);
static_assert(kSame<&Api::message, decltype(&TF_Message)>);
static_assert(kSame<&Api::new_session_options, decltype(&TF_NewSessionOptions)>);
static_assert(kSame<&Api::delete_session_options, decltype(&TF_DeleteSessionOptions)>);
static_assert(kSame<&Api::set_config, decltype(&TF_SetConfig)>);
static_assert(kSame<&Api::new_graph, decltype(&TF_NewGraph)>);
static_assert(kSame<&Api::delete_graph, decltype(&TF_DeleteGraph)>);
static_assert(kSame<&Api::new_buffer, decltype(&TF_NewBuffer)>);
static_assert(kSame<&Api::new_buffer_from_string, decltype(&TF_NewBufferFromString)>);
static_assert(kSame<&Api::delete_buffer, decltype(&TF_DeleteBuffer)>);
static_assert(kSame<&Api::load_session_from_saved_model, decltype(&TF_LoadSessionFromSavedModel)>);
static_assert(kSame<&Api::close_session, decltype(&TF_CloseSession)>);
static_assert(kSame<&Api::delete_session, decltype(&TF_DeleteSession)>);
static_assert(kSame<&Api::session_run, decltype(&TF_SessionRun)>);
static_assert(kSame<&Api::graph_operation_by_name, decltype(&TF_GraphOperationByName)>);
static_assert(kSame<&Api::operation_num_outputs, decltype(&TF_OperationNumOutputs)>);
static_assert(kSame<&Api::allocate_tensor, decltype(&TF_AllocateTensor)>);
static_assert(kSame<&Api::new_tensor, decltype(&TF_NewTensor)>);
static_assert(kSame<&Api::delete_tensor, decltype(&TF_DeleteTensor)>);
static_assert(kSame<&Api::tensor_type, decltype(&TF_TensorType)>);
static_assert(kSame<&Api::num_dims, decltype(&TF_NumDims)>);
static_assert(kSame<&Api::dim, decltype(&TF_Dim)>);
static_assert(kSame<&Api::tensor_data, decltype(&TF_TensorData)>);
static_assert(kSame<&Api::string_init, decltype(&TF_StringInit)>);
static_assert(kSame<&Api::string_copy, decltype(&TF_StringCopy)>);
static_assert(kSame<&Api::string_get_data_pointer, decltype(&TF_StringGetDataPointer)>);
static_assert(kSame<&Api::string_get_size, decltype(&TF_StringGetSize)>);
static_assert(kSame<&Api::string_dealloc, decltype(&TF_StringDealloc)>);

static_assert(sizeof(TF_Buffer) == sizeof(::TF_Buffer));
static_assert(offsetof(TF_Buffer, data) == offsetof(::TF_Buffer, data));
static_assert(offsetof(TF_Buffer, length) == offsetof(::TF_Buffer, length));
static_assert(sizeof(TF_Output) == sizeof(::TF_Output));
static_assert(offsetof(TF_Output, index) == offsetof(::TF_Output, index));
static_assert(sizeof(TF_TString) == sizeof(::TF_TString));
static_assert(alignof(TF_TString) >= alignof(::TF_TString));
static_assert(TF_FLOAT == int{::TF_FLOAT} && TF_DOUBLE == int{::TF_DOUBLE});
static_assert(TF_INT8 == int{::TF_INT8} && TF_INT16 == int{::TF_INT16});
static_assert(TF_INT32 == int{::TF_INT32} && TF_INT64 == int{::TF_INT64});
static_assert(TF_UINT8 == int{::TF_UINT8} && TF_UINT16 == int{::TF_UINT16});
static_assert(TF_UINT32 == int{::TF_UINT32} && TF_UINT64 == int{::TF_UINT64});
static_assert(TF_BOOL == int{::TF_BOOL} && TF_STRING == int{::TF_STRING});
static_assert(TF_HALF == int{::TF_HALF} && TF_BFLOAT16 == int{::TF_BFLOAT16});

}  // namespace
}  // namespace leadsman_tensorflow
