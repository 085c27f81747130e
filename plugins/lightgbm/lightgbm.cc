// LightGBM's text models, by the C interface of lib_lightgbm.so. A row at a time, by the interface
// made for that: it parses no parameters, starts no threads and allocates nothing.
//
// One thread on purpose. The number of threads is one variable for the whole of LightGBM; every
// call that names another number changes it under calls that have sized their buffers by it
// already. So it is told once that one is the most; loading models keeps to that too.
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "failure.h"
#include "leadsman_backend.h"
#include "library.h"
#include "options.h"
#include "signatures.h"
#include "table.h"

namespace leadsman_lightgbm {
namespace {

using leadsman_plugin::Failure;
using leadsman_plugin::LibrarySearch;
using leadsman_plugin::Options;
using leadsman_plugin::Signatures;

using Booster = void*;
using FastConfig = void*;
constexpr int kFloat32 = 0;
constexpr int kFloat64 = 1;
constexpr int kLeafIndex = 2;
constexpr const char* kParameters = "num_threads=1 verbosity=-1 predict_disable_shape_check=false";

/// The part of LightGBM's C interface that is used; stable since its version 4.3.
struct Api {
  const char* (*get_last_error)();
  int (*set_max_threads)(int);
  int (*register_log_callback)(void (*)(const char*));
  int (*booster_create_from_model_file)(const char* file, int* iterations, Booster* out);
  int (*booster_free)(Booster);
  int (*booster_get_num_feature)(Booster, int* out);
  int (*booster_calc_num_predict)(Booster, int rows, int predict_type, int start_iteration,
                                  int num_iteration, int64_t* out);
  int (*single_row_fast_init)(Booster, int predict_type, int start_iteration, int num_iteration,
                              int data_type, int32_t columns, const char* parameters,
                              FastConfig* out);
  int (*single_row_fast)(FastConfig, const void* data, int64_t* out_count, double* out);
  int (*fast_config_free)(FastConfig);
};

const LibrarySearch kSearch = {
    "LightGBM",
    {"lightgbm/lib/lib_lightgbm.so", "lib_lightgbm.so"},
    "lib_lightgbm.so",
    "lib_lightgbm.so (in PyPI's package lightgbm; it needs Debian's libgomp1) is needed. Run "
    "tools/fetch_runtimes.sh --only lightgbm, or name the file by LEADSMAN_LIGHTGBM or its folder "
    "by LEADSMAN_RUNTIMES."};

/// LightGBM reads a cut file up to the cut, and may read behind its end: a text model begins with
/// "tree" and has "end of trees" near its end.
bool LooksWhole(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string line;
  if (!std::getline(in, line) || (line != "tree" && line != "tree\r")) return false;
  while (std::getline(in, line)) {
    if (line.starts_with("end of trees")) return true;
  }
  return false;
}

}  // namespace

/// lib_lightgbm.so, loaded when the first model needs it. Thread-safe.
class Runtime {
 public:
  Runtime(const leadsman_host* host, std::span<const leadsman_option> options)
      : host_(host), file_(leadsman_plugin::FindLibrary(kSearch, options)) {
    version_ = leadsman_plugin::VersionBeside(file_, "unknown");
  }

  /// Before all others that need the library. Throws Failure, UNAVAILABLE.
  void Load() {
    std::lock_guard lock(mutex_);
    if (loaded_) return;
    void* library = leadsman_plugin::OpenLibrary(kSearch, file_, false);
    const leadsman_plugin::SymbolFinder find(library, file_);
    find(api_.get_last_error, "LGBM_GetLastError");
    find(api_.register_log_callback, "LGBM_RegisterLogCallback");
    find(api_.booster_create_from_model_file, "LGBM_BoosterCreateFromModelfile");
    find(api_.booster_free, "LGBM_BoosterFree");
    find(api_.booster_get_num_feature, "LGBM_BoosterGetNumFeature");
    find(api_.booster_calc_num_predict, "LGBM_BoosterCalcNumPredict");
    find(api_.single_row_fast_init, "LGBM_BoosterPredictForMatSingleRowFastInit");
    find(api_.single_row_fast, "LGBM_BoosterPredictForMatSingleRowFast");
    find(api_.fast_config_free, "LGBM_FastConfigFree");
    find(api_.set_max_threads, "LGBM_SetMaxThreads");
    api_.set_max_threads(1);
    loaded_ = true;
  }

  const Api& api() const { return api_; }
  const std::string& version() const { return version_; }
  const leadsman_host* host() const { return host_; }
  /// LightGBM keeps one callback per thread; without one it writes to the standard output.
  void BeQuiet() const {
    api_.register_log_callback([](const char*) {});
  }
  std::string Error() const {
    const char* text = api_.get_last_error();
    return text != nullptr && *text != '\0' ? text : "no reason given";
  }

 private:
  const leadsman_host* host_;
  const std::string file_;
  std::string version_;
  std::mutex mutex_;     ///< held while it is loaded
  bool loaded_ = false;  ///< guarded by mutex_
  Api api_{};
};

/// One booster. Immutable after the constructor; thread-safe.
class Model {
 public:
  Model(Runtime& runtime, const leadsman_load_spec& spec) : runtime_(runtime) {
    runtime.Load();
    Options options(spec);
    const std::string input = options.Text("input_name", "input__0");
    const std::string output = options.Text("output_name", "output__0");
    input_type_ =
        options.Choice("input_type", {"FP32", "FP64"}) == 0 ? LEADSMAN_FP32 : LEADSMAN_FP64;
    // In the order of LightGBM's own numbers.
    predict_type_ =
        static_cast<int>(options.Choice("output", {"value", "raw", "leaf", "contributions"}));
    iterations_ = static_cast<int>(options.Number("iterations", -1, 1, 1'000'000));
    options.Finish();
    Read(spec);
    signatures_.Add("serving_default", "tensorflow/serving/predict",
                    {{input, input_type_, {-1, features_}}},
                    {{output, predict_type_ == kLeafIndex ? LEADSMAN_INT32 : LEADSMAN_FP64,
                      width_ == 1 ? std::vector<int64_t>{-1} : std::vector<int64_t>{-1, width_}}});
  }

  std::span<const leadsman_named_signature> signatures() const { return signatures_.All(); }
  const Runtime& runtime() const { return runtime_; }
  Booster booster() const { return booster_.get(); }
  int predict_type() const { return predict_type_; }
  int iterations() const { return iterations_; }
  leadsman_dtype input_type() const { return input_type_; }
  int features() const { return features_; }
  int64_t width() const { return width_; }  ///< numbers per row that come out

 private:
  void Read(const leadsman_load_spec& spec) {
    const Api& api = runtime_.api();
    std::string file = std::string(spec.directory) + "/" + spec.model_file;
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) {
      throw Failure{LEADSMAN_NOT_FOUND,
                    "the model file " + std::string(spec.model_file) + " is missing"};
    }
    runtime_.BeQuiet();
    auto refused = [&](const std::string& why) {
      return Failure{LEADSMAN_INVALID_ARGUMENT,
                     "LightGBM refuses " + std::string(spec.model_file) + ": " + why};
    };
    if (!LooksWhole(file)) {
      throw refused("it is not a whole text model (\"tree\" … \"end of trees\")");
    }
    int iterations = 0;
    Booster booster = nullptr;
    if (api.booster_create_from_model_file(file.c_str(), &iterations, &booster) != 0) {
      throw refused(runtime_.Error());
    }
    booster_ = {booster, api.booster_free};
    if (iterations_ > iterations) {
      throw refused("option \"iterations\" asks for " + std::to_string(iterations_) +
                    ", the model has " + std::to_string(iterations));
    }
    if (api.booster_get_num_feature(booster, &features_) != 0 ||
        api.booster_calc_num_predict(booster, 1, predict_type_, 0, iterations_, &width_) != 0) {
      throw refused(runtime_.Error());
    }
    if (features_ < 1 || width_ < 1) throw refused("it has no features or gives no values");
  }

  const Runtime& runtime_;
  std::unique_ptr<void, int (*)(Booster)> booster_{nullptr, nullptr};
  leadsman_dtype input_type_ = LEADSMAN_FP32;
  int predict_type_ = 0;
  int iterations_ = -1;
  int features_ = 0;
  int64_t width_ = 0;
  Signatures signatures_;
};

/// The buffers of one execution. Confined.
class Context {
 public:
  Context(const Model& model, size_t) : model_(model) {
    const Api& api = model.runtime().api();
    model.runtime().BeQuiet();
    FastConfig fast = nullptr;
    if (api.single_row_fast_init(model.booster(), model.predict_type(), 0, model.iterations(),
                                 model.input_type() == LEADSMAN_FP32 ? kFloat32 : kFloat64,
                                 model.features(), kParameters, &fast) != 0) {
      throw Failure{LEADSMAN_INTERNAL, model.runtime().Error()};
    }
    fast_ = {fast, api.fast_config_free};
  }

  std::span<const leadsman_tensor> Execute(std::span<const leadsman_tensor> inputs) {
    const leadsman_tensor& input = inputs[0];
    if (input.dtype != model_.input_type() || input.rank != 2 ||
        input.dims[1] != model_.features()) {
      throw Failure{LEADSMAN_INVALID_ARGUMENT,
                    "the input has another type or shape than the model's"};
    }
    const int64_t rows = input.dims[0];
    const size_t width = static_cast<size_t>(model_.width());
    values_.resize(static_cast<size_t>(rows) * width);
    const size_t step = static_cast<size_t>(model_.features()) *
                        (input.dtype == LEADSMAN_FP32 ? sizeof(float) : sizeof(double));
    const Api& api = model_.runtime().api();
    const char* row = static_cast<const char*>(input.data);
    for (size_t i = 0; i < static_cast<size_t>(rows); ++i, row += step) {
      int64_t written = 0;
      if (api.single_row_fast(fast_.get(), row, &written, values_.data() + i * width) != 0) {
        throw Failure{LEADSMAN_INTERNAL, model_.runtime().Error()};
      }
    }
    dims_[0] = rows;
    dims_[1] = model_.width();
    output_ = {LEADSMAN_FP64, width == 1 ? 1u : 2u, dims_, values_.data(), rows * model_.width()};
    if (model_.predict_type() == kLeafIndex) {
      leaves_.assign(values_.begin(), values_.end());
      output_.dtype = LEADSMAN_INT32;
      output_.data = leaves_.data();
    }
    return {&output_, 1};
  }

 private:
  const Model& model_;
  std::unique_ptr<void, int (*)(FastConfig)> fast_{nullptr, nullptr};
  std::vector<double> values_;
  std::vector<int32_t> leaves_;
  int64_t dims_[2] = {0, 0};
  leadsman_tensor output_{};
};

}  // namespace leadsman_lightgbm

LEADSMAN_PLUGIN_CLASSES(leadsman_lightgbm::Runtime, leadsman_lightgbm::Model,
                        leadsman_lightgbm::Context)

const leadsman_backend_api* leadsman_backend_entry(uint32_t) {
  static const char* const formats[] = {"lightgbm"};
  static const leadsman_backend_api api = leadsman_plugin::Table("lightgbm", formats);
  return &api;
}
