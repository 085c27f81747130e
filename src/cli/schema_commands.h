#pragma once

#include <cstdint>
#include <string>

#include "cli/commands.h"
#include "cli/main.h"
#include "cli/table.h"

namespace leadsman::cli {

struct SchemaInferOptions {
  std::string file;
  std::string output;  ///< empty: standard output
  std::string margin;  ///< "10%" or "0.1"
  bool json = false;
};

// Of files: 0 fine, 1 violations or differences, 2 it cannot be done.
int InferSchema(Environment& env, const AppHooks& hooks, const SchemaInferOptions& options);
int CheckSchema(Environment& env, const Result<std::string>& report, const Paint& paint, bool json);
int DiffSchemas(Environment& env, const Result<std::string>& report, const Paint& paint, bool json);

/// Of a running server. `version` below 0: all of the model.
int ShowSchema(ClientContext& c, const std::string& model, int64_t version);
int RelearnSchema(ClientContext& c, const std::string& model, int64_t version);

}  // namespace leadsman::cli
