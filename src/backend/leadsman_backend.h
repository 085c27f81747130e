/* The backend ABI: what a model runtime has to offer to be loaded by Leadsman. Plain C, no other
 * header of Leadsman's is needed. docs/write-a-backend.md walks through a complete plug-in;
 * plugins/example/ is that plug-in.
 *
 * A plug-in is a shared object called leadsman_backend_<name>.so that exports one symbol,
 * leadsman_backend_entry(). It is loaded with RTLD_LOCAL | RTLD_DEEPBIND, so that what it links
 * never meets what the server links.
 *
 * Rules for every function here:
 *   - No exception leaves a plug-in. Errors are a code (LEADSMAN_OK or another) and a text written
 * with leadsman_error_set(); on an error the out-parameters are left alone and nothing has to be
 * freed.
 *   - Whoever allocates frees: the host never frees what a plug-in gave it, but by the plug-in's
 * own functions.
 *   - Text is UTF-8. Pointers passed to a function are valid for the call only, unless said
 * otherwise.
 *   - A struct with struct_size may grow at its end in later versions of the host: read a field
 * only when struct_size covers it, set struct_size = sizeof in what you hand out. Anything else
 * that changes raises the ABI version.
 *   - Threads: start and stop run once, alone. load, unload, new_context, free_context run on any
 * thread, several at a time. execute runs on any thread, but never twice at once on one context.
 *   - Order: stop comes after every unload, unload after every free_context of the model.
 */
#ifndef LEADSMAN_BACKEND_H_
#define LEADSMAN_BACKEND_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LEADSMAN_BACKEND_ABI_VERSION 1u

/* The codes of gRPC that a backend has use for. */
enum {
  LEADSMAN_OK = 0,
  LEADSMAN_INVALID_ARGUMENT =
      3,                  /* the values, the model file or an option: the caller can mend it */
  LEADSMAN_NOT_FOUND = 5, /* a file that should be there */
  LEADSMAN_RESOURCE_EXHAUSTED = 8, /* memory */
  LEADSMAN_UNIMPLEMENTED = 12,     /* the model is fine, but uses what this backend cannot do */
  LEADSMAN_INTERNAL = 13,          /* the runtime broke */
  LEADSMAN_UNAVAILABLE =
      14 /* start only: the runtime is not on this machine; say which package is missing */
};
typedef int32_t leadsman_code;

/* The host's buffer for the text of an error; always there, empty at the start of a call. */
typedef struct leadsman_error {
  size_t capacity; /* bytes of text, with its final NUL */
  char* text;
} leadsman_error;

/* A function that not every file that includes this calls. */
#if defined(__GNUC__)
#define LEADSMAN_UNUSED __attribute__((unused))
#else
#define LEADSMAN_UNUSED
#endif

/* Copies `text` (cut when too long) and returns `code`: return leadsman_error_set(error,
 * LEADSMAN_INTERNAL, "..."); */
LEADSMAN_UNUSED static inline leadsman_code leadsman_error_set(leadsman_error* error,
                                                               leadsman_code code,
                                                               const char* text) {
  size_t size = strlen(text);
  if (error->capacity == 0) return code;
  if (size >= error->capacity) size = error->capacity - 1;
  memcpy(error->text, text, size);
  error->text[size] = '\0';
  return code;
}

/* Element types; the numbers are those of leadsman::DataType. */
enum {
  LEADSMAN_INVALID = 0,
  LEADSMAN_BOOL = 1,
  LEADSMAN_UINT8 = 2,
  LEADSMAN_UINT16 = 3,
  LEADSMAN_UINT32 = 4,
  LEADSMAN_UINT64 = 5,
  LEADSMAN_INT8 = 6,
  LEADSMAN_INT16 = 7,
  LEADSMAN_INT32 = 8,
  LEADSMAN_INT64 = 9,
  LEADSMAN_FP16 = 10,
  LEADSMAN_FP32 = 11,
  LEADSMAN_FP64 = 12,
  LEADSMAN_BYTES = 13, /* strings: data is an array of leadsman_string */
  LEADSMAN_BF16 = 14
};
typedef int32_t leadsman_dtype;

#define LEADSMAN_MAX_RANK 8
/* In a tensor_spec: the model says nothing of the shape. */
#define LEADSMAN_ANY_RANK 0xffffffffu

/* One element of a LEADSMAN_BYTES tensor. Not NUL-terminated; may hold any byte. */
typedef struct leadsman_string {
  size_t size;
  const char* data;
} leadsman_string;

/* A tensor in memory: row-major, contiguous, little-endian. */
typedef struct leadsman_tensor {
  leadsman_dtype dtype;
  uint32_t rank;         /* at most LEADSMAN_MAX_RANK; 0 is a scalar */
  const int64_t* dims;   /* `rank` of them, none negative */
  const void* data;      /* may be null when element_count is 0 */
  int64_t element_count; /* the product of dims */
} leadsman_tensor;

/* One input or output as the model declares it. */
typedef struct leadsman_tensor_spec {
  const char* name;
  leadsman_dtype dtype;
  uint32_t rank;       /* at most LEADSMAN_MAX_RANK, or LEADSMAN_ANY_RANK */
  const int64_t* dims; /* -1 where any length is taken */
  int32_t optional;    /* inputs only: 1 when the model runs without it */
} leadsman_tensor_spec;

typedef struct leadsman_signature {
  size_t input_count;
  const leadsman_tensor_spec* inputs;
  size_t output_count;
  const leadsman_tensor_spec* outputs;
} leadsman_signature;

/* One of the ways to call a model that has several. */
typedef struct leadsman_named_signature {
  const char* name;   /* "serving_default" */
  const char* method; /* "tensorflow/serving/predict", …/classify or …/regress */
  leadsman_signature signature;
} leadsman_named_signature;

typedef struct leadsman_option {
  const char* key;
  const char* value;
} leadsman_option;

enum {
  LEADSMAN_LOG_DEBUG = 0,
  LEADSMAN_LOG_INFO = 1,
  LEADSMAN_LOG_WARN = 2,
  LEADSMAN_LOG_ERROR = 3
};

/* What the host offers. Valid from start until stop has returned. */
typedef struct leadsman_host {
  size_t struct_size;
  void* self;
  /* One line to the server's log. Any thread. */
  void (*log)(void* self, int32_t level, const char* message);
} leadsman_host;

typedef struct leadsman_load_spec {
  size_t struct_size;
  const char* model_name;
  int64_t version;
  const char* directory;    /* the version's folder */
  const char* model_file;   /* the model's file, relative to `directory` */
  int32_t intra_op_threads; /* threads that one execute may use; 1: the calling thread alone */
  const leadsman_option*
      options; /* runtime settings of this model; refuse keys that you do not know */
  size_t option_count;
} leadsman_load_spec;

typedef struct leadsman_backend leadsman_backend; /* yours: the started runtime */
typedef struct leadsman_model leadsman_model;     /* yours: one loaded version, immutable */
typedef struct leadsman_context leadsman_context; /* yours: buffers of one execution at a time */

typedef struct leadsman_backend_api {
  /* The first two fields keep their place in all versions to come. */
  uint32_t abi_version; /* LEADSMAN_BACKEND_ABI_VERSION of the header this was compiled with */
  uint32_t struct_size;

  const char* name;           /* "onnxruntime" */
  const char* const* formats; /* model formats served, as in the manifest: {"onnx"} */
  size_t format_count;

  /* Options: "runtime_dir" (0..n times, in order of preference: where runtimes are installed),
   * "plugin_dir" (where this plug-in lies), and what the operator configured for this backend.
   * UNAVAILABLE when the runtime is missing. */
  leadsman_code (*start)(const leadsman_host* host, const leadsman_option* options,
                         size_t option_count, leadsman_backend** backend, leadsman_error* error);
  void (*stop)(leadsman_backend* backend);
  const char* (*runtime_version)(const leadsman_backend* backend); /* "1.31.1"; valid until stop */

  leadsman_code (*load)(leadsman_backend* backend, const leadsman_load_spec* spec,
                        leadsman_model** model, leadsman_error* error);
  void (*unload)(leadsman_model* model);
  const leadsman_signature* (*signature)(const leadsman_model* model); /* valid until unload */

  leadsman_code (*new_context)(leadsman_model* model, leadsman_context** context,
                               leadsman_error* error);
  void (*free_context)(leadsman_context* context);

  /* `inputs` has exactly one entry per input of the signature, in its order; an optional one that
   * did not come has dtype LEADSMAN_INVALID. Types, ranks and fixed dimensions agree with the
   * signature. `*outputs` gets one tensor per output of the signature, in its order; they belong to
   * the context and stay valid until its next execute or its end, so nothing has to be copied.
   * After an error the context must be usable again. */
  leadsman_code (*execute)(leadsman_context* context, const leadsman_tensor* inputs,
                           size_t input_count, const leadsman_tensor** outputs,
                           size_t* output_count, leadsman_error* error);

  /* From here on struct_size says what is there.
   *
   * For backends whose models may have several signatures: all three, or null. `signatures` gives
   * at least one, the default one first and equal to what `signature` gives; valid until unload.
   * new_context_for makes a context whose execute calls signatures[index]; the host then uses it in
   * place of new_context. */
  size_t (*signature_count)(const leadsman_model* model);
  const leadsman_named_signature* (*signatures)(const leadsman_model* model);
  leadsman_code (*new_context_for)(leadsman_model* model, size_t index, leadsman_context** context,
                                   leadsman_error* error);
} leadsman_backend_api;

#if defined(__GNUC__)
#define LEADSMAN_BACKEND_EXPORT __attribute__((visibility("default")))
#else
#define LEADSMAN_BACKEND_EXPORT
#endif

/* The one symbol of a plug-in. Returns its table, whatever the host's version is: the host compares
 * and says both. */
LEADSMAN_BACKEND_EXPORT const leadsman_backend_api* leadsman_backend_entry(
    uint32_t host_abi_version);
typedef const leadsman_backend_api* (*leadsman_backend_entry_fn)(uint32_t host_abi_version);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LEADSMAN_BACKEND_H_ */
