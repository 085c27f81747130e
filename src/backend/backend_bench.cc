// What one inference costs through the plug-in ABI, ONNX Runtime's own work included.
//   ninja backend_bench && src/backend_bench
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/plugin_host.h"
#include "backend/testing/test_plugins.h"
#include "backend/testing/test_python.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

struct Bench {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<ExecutionContext> context;
};

Bench Open(benchmark::State& state, const std::string& format, const std::string& file) {
  static const BackendRegistry* registry = [] {
    auto* made = new BackendRegistry;
    LoadBackends(TestPluginOptions(BinaryDir()), *made);
    return made;
  }();
  Bench bench;
  auto backend = registry->ForFormat(format);
  if (!backend.ok()) {
    state.SkipWithError(backend.status().ToString().c_str());
    return bench;
  }
  LoadSpec spec;
  spec.directory = SourceDir() + "/src/backend/testdata";
  spec.model_file = file;
  auto model = (*backend)->Load(spec);
  if (!model.ok()) {
    state.SkipWithError(model.status().ToString().c_str());
    return bench;
  }
  bench.model = std::move(model).value();
  bench.context = std::move(bench.model->NewContext()).value();
  return bench;
}

void Execute(benchmark::State& state, const std::string& format, const std::string& file,
             bool moving) {
  Bench bench = Open(state, format, file);
  if (!bench.context) return;
  const TensorSpec& spec = bench.model->signature().inputs[0];
  int64_t rows = state.range(0);
  // `moving`: every call brings its values in other memory, as calls of different connections do.
  std::vector<Tensor> tensors(moving ? 2 : 1);
  std::vector<TensorView> views;
  for (Tensor& tensor : tensors) {
    tensor.Reset(spec.name, DataType::kFp32);
    tensor.shape() = {rows, spec.shape[1]};
    for (int64_t i = 0; i < rows * spec.shape[1]; ++i)
      tensor.Push(0.01f * static_cast<float>(i % 100));
    views.push_back(tensor.View());
  }
  size_t call = 0;
  for (auto _ : state) {
    auto outputs = bench.context->Execute({&views[call++ % views.size()], 1});
    if (!outputs.ok()) {
      state.SkipWithError("refused");
      break;
    }
    benchmark::DoNotOptimize((*outputs)[0].data);
  }
}

BENCHMARK_CAPTURE(Execute, linear, "linear", "linear.txt", true)->Arg(1);
BENCHMARK_CAPTURE(Execute, iris, "onnx", "iris.onnx", false)->Arg(1);
BENCHMARK_CAPTURE(Execute, iris_moving, "onnx", "iris.onnx", true)->Arg(1)->Arg(16);
BENCHMARK_CAPTURE(Execute, iris_zipmap, "onnx", "iris_zipmap.onnx", true)->Arg(1)->Arg(16);
BENCHMARK_CAPTURE(Execute, iris_words, "onnx", "iris_words.onnx", true)->Arg(1);
BENCHMARK_CAPTURE(Execute, iris_tensorflow, "tensorflow", "tensorflow/flowers/saved_model.pb", true)
    ->Arg(1)
    ->Arg(64);
BENCHMARK_CAPTURE(Execute, iris_xgboost, "xgboost", "xgboost/iris.ubj", true)->Arg(1)->Arg(64);
BENCHMARK_CAPTURE(Execute, iris_lightgbm, "lightgbm", "lightgbm/iris.txt", true)->Arg(1)->Arg(64);
BENCHMARK_CAPTURE(Execute, mlp, "onnx", "mlp.onnx", false)->Arg(1);
BENCHMARK_CAPTURE(Execute, mlp_moving, "onnx", "mlp.onnx", true)->Arg(1)->Arg(16);

/// The way to a Python worker and back: CPU of both processes, beside the time that passes.
void PythonRoundTrip(benchmark::State& state) {
  Result<std::shared_ptr<Backend>> backend = PythonBackendForTest("python");
  LoadSpec spec{.model_name = "identity",
                .version = 1,
                .directory = SourceDir() + "/src/backend/testdata/python",
                .model_file = "identity.py"};
  Result<std::unique_ptr<LoadedModel>> model = (*backend)->Load(spec);
  if (!model.ok()) {
    state.SkipWithError(std::string(model.status().message()).c_str());
    return;
  }
  auto context = std::move((*model)->NewContext()).value();
  Tensor tensor;
  tensor.Reset("x", DataType::kFp32);
  tensor.shape() = {state.range(0), 784};
  for (int64_t i = 0; i < state.range(0) * 784; ++i) tensor.Push(0.5f);
  TensorView view = tensor.View();
  for (auto _ : state) {
    auto outputs = context->Execute({&view, 1});
    if (!outputs.ok()) {
      state.SkipWithError("refused");
      break;
    }
    benchmark::DoNotOptimize((*outputs)[0].data);
  }
  // Children count once they have ended.
  context.reset();
  rusage before{};
  getrusage(RUSAGE_CHILDREN, &before);
  (*model).reset();
  rusage after{};
  getrusage(RUSAGE_CHILDREN, &after);
  auto seconds = [](const rusage& u) {
    return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
  };
  // Starting and loading is in it: what they cost is seen in a run of few iterations.
  state.counters["worker_cpu_s"] = seconds(after) - seconds(before);
}
BENCHMARK(PythonRoundTrip)->Arg(1)->Arg(16)->Iterations(100'000)->UseRealTime();

}  // namespace
}  // namespace leadsman
