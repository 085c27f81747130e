/* A plug-in that starts and loads, and then breaks the contract of execute in the way that the
 * model's file name says. */
#include <stdlib.h>
#include <string.h>

#include "leadsman_backend.h"

struct leadsman_backend {
  int unused;
};
struct leadsman_model {
  char defect[32];
};
struct leadsman_context {
  struct leadsman_model* model;
};

static struct leadsman_backend the_backend;
static const int64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float one = 1;
static const leadsman_tensor_spec spec_in[2] = {{"x", LEADSMAN_FP32, 1, dims, 0},
                                                {"hint", LEADSMAN_FP32, 1, dims, 1}};
static const leadsman_tensor_spec spec_out = {"y", LEADSMAN_FP32, 1, dims, 0};
static const leadsman_tensor_spec spec_bad = {"y", 99, 1, dims, 0};
static const leadsman_signature good_signature = {2, spec_in, 1, &spec_out};
static const leadsman_signature bad_signature = {2, spec_in, 1, &spec_bad};

static leadsman_code start(const leadsman_host* host, const leadsman_option* options, size_t count,
                           leadsman_backend** backend, leadsman_error* error) {
  (void)options, (void)count, (void)error;
  host->log(host->self, LEADSMAN_LOG_DEBUG, "careless has started");
  *backend = &the_backend;
  return LEADSMAN_OK;
}
static void stop(leadsman_backend* backend) { (void)backend; }
static const char* runtime_version(const leadsman_backend* backend) { return (void)backend, "0"; }
static leadsman_code load(leadsman_backend* b, const leadsman_load_spec* s, leadsman_model** m,
                          leadsman_error* e) {
  (void)b;
  if (strcmp(s->model_file, "wordless") == 0) return LEADSMAN_INTERNAL;
  if (strcmp(s->model_file, "strange-code") == 0)
    return leadsman_error_set(e, 4711, "what is this");
  *m = calloc(1, sizeof(struct leadsman_model));
  strncpy((*m)->defect, s->model_file, sizeof(*m)->defect - 1);
  return LEADSMAN_OK;
}
static void unload(leadsman_model* model) { free(model); }
static const leadsman_signature* signature(const leadsman_model* model) {
  if (strcmp(model->defect, "no-signature") == 0) return NULL;
  return strcmp(model->defect, "bad-signature") == 0 ? &bad_signature : &good_signature;
}
static leadsman_code new_context(leadsman_model* m, leadsman_context** c, leadsman_error* e) {
  (void)e;
  *c = malloc(sizeof(struct leadsman_context));
  (*c)->model = m;
  return LEADSMAN_OK;
}
static void free_context(leadsman_context* context) { free(context); }
static leadsman_code execute(leadsman_context* c, const leadsman_tensor* i, size_t n,
                             const leadsman_tensor** o, size_t* m, leadsman_error* e) {
  static const leadsman_tensor good = {LEADSMAN_FP32, 1, dims, &one, 1};
  static const leadsman_tensor with_hint = {LEADSMAN_FP32, 2, dims, &one, 1};
  static const leadsman_tensor bad_type = {99, 1, dims, &one, 1};
  static const leadsman_tensor bad_rank = {LEADSMAN_FP32, 9, dims, &one, 1};
  (void)e, (void)n;
  *m = strcmp(c->model->defect, "too-many") == 0 ? 2 : 1;
  *o = i[1].dtype == LEADSMAN_INVALID ? &good : &with_hint;
  if (strcmp(c->model->defect, "bad-type") == 0) *o = &bad_type;
  if (strcmp(c->model->defect, "bad-rank") == 0) *o = &bad_rank;
  return LEADSMAN_OK;
}

static const char* const formats[] = {"careless"};
static const leadsman_backend_api api = {LEADSMAN_BACKEND_ABI_VERSION,
                                         sizeof(leadsman_backend_api),
                                         "careless",
                                         formats,
                                         1,
                                         start,
                                         stop,
                                         runtime_version,
                                         load,
                                         unload,
                                         signature,
                                         new_context,
                                         free_context,
                                         execute};
const leadsman_backend_api* leadsman_backend_entry(uint32_t host_abi_version) {
  return (void)host_abi_version, &api;
}
