#include "backend/python/model_options.h"

#include <limits>
#include <vector>

#include "base/strings.h"

namespace leadsman::python {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

const schema::Struct<ModelOptions>& ModelOptionsSchema() {
  static const auto table = [] {
    schema::Struct<ModelOptions> s("PythonModelOptions",
                                   "Options of a model that runs in Python workers.");
    s.Field("python", &ModelOptions::interpreter, schema::Text(),
            "The interpreter: a path, or a name in PATH; empty = backends.python.interpreter.");
    s.Field("load_timeout", &ModelOptions::load_timeout, schema::Time<milliseconds>(1s, 24h),
            "A worker that has not loaded the model after this long is ended, and the load has "
            "failed.");
    s.Field("call_timeout", &ModelOptions::call_timeout, schema::Time<milliseconds>(1ms, 24h),
            "For calls without a deadline: warm-up. Requests have server.request_timeout when they "
            "bring none.");
    s.Field("hang_timeout", &ModelOptions::hang_timeout, schema::Time<milliseconds>(1ms, 24h),
            "A worker that is still busy with a request after this long, and after the request's "
            "deadline, is ended "
            "and replaced.");
    s.Field("close_timeout", &ModelOptions::close_timeout, schema::Time<milliseconds>(0ms, 1h),
            "How long a worker may take to end by itself when it is not needed any more.");
    s.Field("max_memory", &ModelOptions::max_memory, schema::Bytes<int64_t>(0, int64_t{1} << 50),
            "Resident memory of one worker. Above it the worker is replaced between two requests; "
            "a quarter above it, "
            "it is ended at once. 0 = no limit.");
    s.Field("max_requests", &ModelOptions::max_requests,
            schema::Integer<int64_t>(0, std::numeric_limits<int64_t>::max()),
            "A worker that has answered so many is replaced between two requests; 0 = never.");
    s.Field("max_tensor_bytes", &ModelOptions::max_tensor_bytes,
            schema::Bytes<int64_t>(1 << 20, int64_t{1} << 40),
            "All inputs of one request, or all outputs, may take so much.");
    s.Field("method", &ModelOptions::method, schema::Text(),
            "Format sklearn: the estimator's method that answers, as predict_proba or transform; "
            "empty = predict, and "
            "predict_proba where there is one.");
    s.Field("pass_env", &ModelOptions::pass_env, schema::Text(),
            "Names of environment variables, separated by commas, that the worker gets from the "
            "server's environment "
            "besides the harmless ones.");
    return s;
  }();
  return table;
}

Result<ModelOptions> ParseModelOptions(const std::map<std::string, std::string>& options) {
  ModelOptions parsed = ModelOptionsSchema().initial();
  ConfigNode map;
  map.kind = ConfigNode::Kind::kMap;
  for (const auto& [key, value] : options) {
    constexpr std::string_view kEnv = "env.";
    constexpr std::string_view kOption = "option.";
    if (key.starts_with(kEnv) && key.size() > kEnv.size()) {
      parsed.env[key.substr(kEnv.size())] = value;
    } else if (key.starts_with(kOption) && key.size() > kOption.size()) {
      parsed.options[key.substr(kOption.size())] = value;
    } else if (key == "instances") {
      return InvalidArgumentError(
          "runtime_options.instances: the number of workers is the model's own setting; write "
          "`instances` beside runtime_options");
    } else {
      ConfigNode::Entry entry;
      entry.key = key;
      entry.value.kind = ConfigNode::Kind::kScalar;
      entry.value.text = value;
      map.entries.push_back(std::move(entry));
    }
  }
  std::vector<ConfigProblem> problems;
  schema::Reader reader(problems);
  ModelOptionsSchema().Read(map, parsed, reader);
  if (problems.empty()) return parsed;
  std::vector<std::string> texts;
  for (const ConfigProblem& problem : problems) {
    texts.push_back(problem.path.empty()
                        ? problem.message
                        : StrCat("runtime_options.", problem.path, ": ", problem.message));
  }
  return InvalidArgumentError(Join(texts, "; "));
}

}  // namespace leadsman::python
