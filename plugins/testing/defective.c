/* A plug-in that cannot be used, in the way that its build says. Also shows that the ABI is plain
 * C. */
#include "leadsman_backend.h"

#ifdef NO_ENTRY
LEADSMAN_BACKEND_EXPORT int something_else(void);
int something_else(void) { return 0; }
#else

static leadsman_code start(const leadsman_host* host, const leadsman_option* options, size_t count,
                           leadsman_backend** backend, leadsman_error* error) {
  (void)host, (void)options, (void)count, (void)backend;
  return leadsman_error_set(error, LEADSMAN_UNAVAILABLE,
                            "the package libnowhere is missing; looked in /nowhere");
}
static void stop(leadsman_backend* backend) { (void)backend; }
static const char* runtime_version(const leadsman_backend* backend) { return (void)backend, ""; }
static leadsman_code load(leadsman_backend* b, const leadsman_load_spec* s, leadsman_model** m,
                          leadsman_error* e) {
  (void)b, (void)s, (void)m;
  return leadsman_error_set(e, LEADSMAN_INTERNAL, "never started");
}
static void unload(leadsman_model* model) { (void)model; }
static const leadsman_signature* signature(const leadsman_model* model) {
  return (void)model, NULL;
}
static leadsman_code new_context(leadsman_model* m, leadsman_context** c, leadsman_error* e) {
  (void)m, (void)c;
  return leadsman_error_set(e, LEADSMAN_INTERNAL, "never started");
}
static void free_context(leadsman_context* context) { (void)context; }
#ifndef INCOMPLETE
static leadsman_code execute(leadsman_context* c, const leadsman_tensor* i, size_t n,
                             const leadsman_tensor** o, size_t* m, leadsman_error* e) {
  (void)c, (void)i, (void)n, (void)o, (void)m;
  return leadsman_error_set(e, LEADSMAN_INTERNAL, "never started");
}
#endif

static const char* const formats[] = {"defective"};
static const leadsman_backend_api api = {
#ifdef WRONG_ABI
    LEADSMAN_BACKEND_ABI_VERSION + 41,
#else
    LEADSMAN_BACKEND_ABI_VERSION,
#endif
    sizeof(leadsman_backend_api),
    "defective",
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
#ifdef INCOMPLETE
    NULL,
#else
    execute,
#endif
};
const leadsman_backend_api* leadsman_backend_entry(uint32_t host_abi_version) {
  return (void)host_abi_version, &api;
}
#endif
