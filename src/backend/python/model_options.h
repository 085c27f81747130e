#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "base/schema.h"
#include "base/status.h"

namespace leadsman::python {

/// What a model's runtime_options may say to this runtime. The table behind it makes the list in docs/python-models.md.
struct ModelOptions {
  std::string interpreter;  ///< empty: the server's
  std::chrono::milliseconds load_timeout{300'000};
  std::chrono::milliseconds call_timeout{60'000};
  std::chrono::milliseconds hang_timeout{10'000};
  std::chrono::milliseconds close_timeout{2'000};
  int64_t max_memory = 0;  ///< bytes; 0 = no limit
  int64_t max_requests = 0;
  int64_t max_tensor_bytes = 256 << 20;
  std::string method;                          ///< of a scikit-learn estimator
  std::string pass_env;                        ///< names, separated by commas
  std::map<std::string, std::string> env;      ///< env.NAME
  std::map<std::string, std::string> options;  ///< option.NAME, for a script's load()
};

const schema::Struct<ModelOptions>& ModelOptionsSchema();

/// INVALID_ARGUMENT names the option and what it may be.
Result<ModelOptions> ParseModelOptions(const std::map<std::string, std::string>& options);

}  // namespace leadsman::python
