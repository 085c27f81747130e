#include "lifecycle/triton_parameters.h"

#include <algorithm>
#include <span>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr int64_t kMostThreads = 1024;

enum class As {
  kText,
  kFlag,     ///< "0" and "1", which are "false" and "true" here
  kThreads,  ///< intra_op_threads; 0 = as many as the runtime likes, which is not said here
  kElsewhere
};

/// A parameter of one of Triton's backends.
struct Theirs {
  std::string_view format;
  std::string_view name;
  std::string_view ours;
  As as = As::kText;
};

constexpr Theirs kTheirs[] = {
    {"onnx", "enable_mem_arena", "memory_arena", As::kFlag},
    {"onnx", "enable_mem_pattern", "memory_pattern", As::kFlag},
    {"onnx", "intra_op_thread_count", "", As::kThreads},
    {"tensorflow", "TF_GRAPH_TAG", "tags"},
    {"tensorflow", "TF_NUM_INTER_THREADS", "inter_op_threads"},
    {"tensorflow", "TF_NUM_INTRA_THREADS", "", As::kThreads},
    {"tensorflow", kTritonSignatureParameter, "", As::kElsewhere},
    {"xgboost", "model_type", "", As::kElsewhere},
    {"lightgbm", "model_type", "", As::kElsewhere},
};

/// What our runtimes of Triton's formats know; a name that ends with a dot begins others.
struct Ours {
  std::string_view format;
  std::string_view names[6];
};

constexpr Ours kOurs[] = {
    {"onnx",
     {"graph_optimization", "memory_arena", "memory_pattern", "session.", "optimization.", ""}},
    {"tensorflow", {"tags", "inter_op_threads"}},
    {"xgboost", {"output", "iterations", "missing", "input_name", "output_name"}},
    {"lightgbm", {"output", "iterations", "input_type", "input_name", "output_name"}},
};

bool IsOurs(std::string_view format, std::string_view name) {
  bool listed = false;
  for (const Ours& ours : kOurs) {
    if (ours.format != format) continue;
    listed = true;
    for (std::string_view known : ours.names) {
      if (known.empty()) continue;
      if (known.ends_with('.') ? name.starts_with(known) : name == known) return true;
    }
  }
  return !listed;
}

const Theirs* Find(std::string_view format, std::string_view name) {
  for (const Theirs& theirs : kTheirs) {
    if (theirs.format == format && theirs.name == name) return &theirs;
  }
  return nullptr;
}

/// False when the value means nothing.
bool Take(const Theirs& theirs, const std::string& value, TritonParameters& to) {
  switch (theirs.as) {
    case As::kText:
      to.options.emplace(theirs.ours, value);
      return true;
    case As::kFlag:
      if (value != "0" && value != "1") return false;
      to.options.emplace(theirs.ours, value == "1" ? "true" : "false");
      return true;
    case As::kThreads: {
      std::optional<int64_t> threads = ParseInt64(value);
      if (!threads || *threads < 0) return false;
      if (*threads > 0) to.intra_op_threads = static_cast<int>(std::min(*threads, kMostThreads));
      return true;
    }
    case As::kElsewhere:
      return true;
  }
  return false;
}

}  // namespace

TritonParameters TranslateParameters(const std::map<std::string, std::string>& parameters,
                                     std::string_view format) {
  TritonParameters to;
  for (const auto& [name, value] : parameters) {
    const Theirs* theirs = Find(format, name);
    bool taken = theirs != nullptr && Take(*theirs, value, to);
    if (!taken && theirs == nullptr && IsOurs(format, name)) {
      to.options.insert_or_assign(name, value);
      taken = true;
    }
    if (!taken) to.without_effect.push_back(name);
  }
  return to;
}

}  // namespace leadsman
