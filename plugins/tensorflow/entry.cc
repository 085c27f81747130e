#include "context.h"
#include "leadsman_backend.h"
#include "model.h"
#include "runtime.h"
#include "table.h"

LEADSMAN_PLUGIN_CLASSES(leadsman_tensorflow::Runtime, leadsman_tensorflow::Model,
                        leadsman_tensorflow::Context)

const leadsman_backend_api* leadsman_backend_entry(uint32_t) {
  static const char* const formats[] = {"tensorflow"};
  static const leadsman_backend_api api = leadsman_plugin::Table("tensorflow", formats);
  return &api;
}
