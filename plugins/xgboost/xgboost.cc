// XGBoost's models, by the C interface of libxgboost.so.
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "failure.h"
#include "leadsman_backend.h"
#include "options.h"
#include "runtime.h"
#include "signatures.h"
#include "table.h"
#include "ubjson.h"

namespace leadsman_xgboost {
namespace {

using leadsman_plugin::Failure;
using leadsman_plugin::Options;

using OwnedMatrix = std::unique_ptr<void, int (*)(Matrix)>;

// Numbers of XGBoost's: what is to come out.
constexpr int kValue = 0;
constexpr int kMargin = 1;
constexpr int kContributions = 2;
constexpr int kLeaf = 6;

std::string ReadModelFile(const leadsman_load_spec& spec) {
  std::string file = std::string(spec.directory) + "/" + spec.model_file;
  std::error_code error;
  std::ifstream in;
  if (std::filesystem::is_regular_file(file, error)) in.open(file, std::ios::binary);
  if (!in.is_open()) {
    throw Failure{LEADSMAN_NOT_FOUND,
                  "the model file " + std::string(spec.model_file) + " is missing"};
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// JSON and UBJSON begin with an object; everything else is the binary format of old.
bool IsBinary(std::string_view model) { return model.front() != '{'; }

/// XGBoost tells JSON from UBJSON by the byte after the brace, and does not expect white space
/// there.
void CloseUp(std::string& model) {
  if (IsBinary(model)) return;
  size_t quote = model.find_first_not_of(" \t\r\n", 1);
  if (quote != std::string::npos && quote > 1 && model[quote] == '"') model.erase(1, quote - 1);
}

std::string MissingValue(Options& options) {
  std::string text = options.Text("missing", "NaN");
  if (text == "NaN" || text == "nan") return "NaN";
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Failure{LEADSMAN_INVALID_ARGUMENT,
                  "option \"missing\": \"" + text + "\" is neither a number nor NaN"};
  }
  return text;
}

/// numpy's array interface, as XGBoost reads it.
struct ArrayText {
  ArrayText(const void* data, int64_t rows, int64_t columns) {
    std::snprintf(text, sizeof text,
                  R"({"data":[%llu,true],"shape":[%lld,%lld],"typestr":"<f4","version":3})",
                  static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(data)),
                  static_cast<long long>(rows), static_cast<long long>(columns));
  }
  char text[160];
};

}  // namespace

/// One booster. Immutable after the constructor; thread-safe.
class Model {
 public:
  Model(Runtime& runtime, const leadsman_load_spec& spec) {
    Options options(spec);
    const std::string input = options.Text("input_name", "input__0");
    const std::string output = options.Text("output_name", "output__0");
    constexpr int kTypes[] = {kValue, kMargin, kLeaf, kContributions};
    type_ = kTypes[options.Choice("output", {"value", "margin", "leaf", "contributions"})];
    const std::string iterations = options.Text("iterations", "all");
    missing_ = MissingValue(options);
    options.Finish();

    std::string bytes = ReadModelFile(spec);
    auto refused = [&](const std::string& why) {
      return Failure{LEADSMAN_INVALID_ARGUMENT,
                     "XGBoost refuses " + std::string(spec.model_file) + ": " + why};
    };
    // XGBoost ends the process over an empty one.
    if (bytes.size() < 8) throw refused("it is too short");
    CloseUp(bytes);
    if (!IsBinary(bytes)) {
      std::string why = bytes[1] == '"' ? CheckJsonDepth(bytes) : CheckUbjson(bytes);
      if (!why.empty()) throw refused(why);
    }
    library_ = IsBinary(bytes) ? &runtime.ForBinary() : &runtime.Main();
    const Api& api = library_->api;
    // For this thread, and what a booster without a number of its own takes: else loading starts a
    // thread per core. Unknown to XGBoost 3.0 and older, where the call does nothing.
    std::string threads = std::to_string(spec.intra_op_threads < 1 ? 1 : spec.intra_op_threads);
    api.set_global_config((R"({"nthread":)" + threads + "}").c_str());
    Booster booster = nullptr;
    if (api.booster_create(nullptr, 0, &booster) != 0) {
      throw Failure{LEADSMAN_INTERNAL, library_->Error()};
    }
    booster_ = {booster, api.booster_free};
    threads_ = threads;
    uint64_t features = 0;
    if (api.booster_load_model_from_buffer(booster, bytes.data(), bytes.size()) != 0 ||
        api.booster_set_param(booster, "nthread", threads.c_str()) != 0 ||
        api.booster_get_num_feature(booster, &features) != 0) {
      throw refused(library_->Error());
    }
    features_ = static_cast<int64_t>(features);
    if (features_ < 1 || features_ > (int64_t{1} << 24)) throw refused("it says no features");
    SetConfig(iterations);

    // One row tells the shape of the answers, and finishes what XGBoost sets up at the first call
    // while no other thread is there.
    std::vector<float> row(features);
    std::vector<float> values;
    const OwnedMatrix proxy = NewProxy();
    dims_ = {-1};
    std::string error = Predict(proxy.get(), row.data(), 1, values, &dims_);
    if (!error.empty()) {
      in_place_ = false;  // gblinear, leaves and contributions want a matrix of XGBoost's own
      error = Predict(proxy.get(), row.data(), 1, values, &dims_);
    }
    if (!error.empty()) throw refused(error);
    dims_[0] = -1;
    signatures_.Add("serving_default", "tensorflow/serving/predict",
                    {{input, LEADSMAN_FP32, {-1, features_}}}, {{output, LEADSMAN_FP32, dims_}});
  }

  std::span<const leadsman_named_signature> signatures() const { return signatures_.All(); }
  int64_t features() const { return features_; }
  const std::vector<int64_t>& dims() const { return dims_; }

  /// One for each thread that predicts. A new one at each call costs 30 µs: it reads the cgroup's
  /// files to count cores.
  OwnedMatrix NewProxy() const {
    Matrix proxy = nullptr;
    if (library_->api.proxy_create(&proxy) != 0) {
      throw Failure{LEADSMAN_INTERNAL, library_->Error()};
    }
    return {proxy, library_->api.matrix_free};
  }

  /// Empty, or what went wrong. `dims`, when given, gets the shape.
  std::string Predict(Matrix proxy, const float* data, int64_t rows, std::vector<float>& values,
                      std::vector<int64_t>* dims = nullptr) const {
    const Api& api = library_->api;
    const ArrayText array(data, rows, features_);
    const uint64_t* shape = nullptr;
    uint64_t rank = 0;
    const float* result = nullptr;
    OwnedMatrix matrix(nullptr, api.matrix_free);
    // Only predictions in place are made for several threads at once.
    std::unique_lock lock(mutex_, std::defer_lock);
    if (in_place_) {
      if (type_ == kLeaf || type_ == kContributions) return "not in place";
      if (api.predict_from_dense(booster_.get(), array.text, config_.c_str(), proxy, &shape, &rank,
                                 &result) != 0) {
        return library_->Error();
      }
    } else {
      Matrix made = nullptr;
      std::string config = R"({"missing":)" + missing_ + R"(,"nthread":)" + threads_ + "}";
      if (api.matrix_create_from_dense(array.text, config.c_str(), &made) != 0) {
        return library_->Error();
      }
      matrix.reset(made);
      lock.lock();
      if (api.predict_from_matrix(booster_.get(), made, config_.c_str(), &shape, &rank, &result) !=
          0) {
        return library_->Error();
      }
    }
    if (rank < 1 || rank > LEADSMAN_MAX_RANK) return "it gives answers of no usable shape";
    uint64_t count = 1;
    for (uint64_t i = 0; i < rank; ++i) count *= shape[i];
    if (shape[0] != static_cast<uint64_t>(rows)) return "it does not give one answer a row";
    if (dims != nullptr) dims->assign(shape, shape + rank);
    // The memory is the thread's, and the next call on this thread writes into it.
    values.assign(result, result + count);
    return {};
  }

 private:
  void SetConfig(const std::string& iterations) {
    int64_t end = 0;  // all
    if (iterations == "best") {
      const char* best = nullptr;
      int found = 0;
      if (library_->api.booster_get_attr(booster_.get(), "best_iteration", &best, &found) == 0 &&
          found != 0 && best != nullptr) {
        end = std::atoll(best) + 1;
      }
    } else if (iterations != "all") {
      auto [stop, error] =
          std::from_chars(iterations.data(), iterations.data() + iterations.size(), end);
      int rounds = 0;
      library_->api.booster_boosted_rounds(booster_.get(), &rounds);
      if (error != std::errc() || stop != iterations.data() + iterations.size() || end < 1 ||
          end > rounds) {
        throw Failure{LEADSMAN_INVALID_ARGUMENT,
                      "option \"iterations\": \"" + iterations +
                          "\" is not one of all, best, or a number from 1 to " +
                          std::to_string(rounds)};
      }
    }
    config_ = R"({"type":)" + std::to_string(type_) +
              R"(,"training":false,"iteration_begin":0,"iteration_end":)" + std::to_string(end) +
              R"(,"strict_shape":false,"cache_id":0,"missing":)" + missing_ + "}";
  }

  const Library* library_ = nullptr;
  std::unique_ptr<void, int (*)(Booster)> booster_{nullptr, nullptr};
  int type_ = kValue;
  std::string missing_;
  std::string threads_;
  std::string config_;
  bool in_place_ = true;
  mutable std::mutex mutex_;  ///< held while a matrix is predicted
  int64_t features_ = 0;
  std::vector<int64_t> dims_;
  leadsman_plugin::Signatures signatures_;
};

/// The buffers of one execution. Confined.
class Context {
 public:
  Context(const Model& model, size_t)
      : model_(model), proxy_(model.NewProxy()), dims_(model.dims()) {}

  std::span<const leadsman_tensor> Execute(std::span<const leadsman_tensor> inputs) {
    const leadsman_tensor& input = inputs[0];
    if (input.dtype != LEADSMAN_FP32 || input.rank != 2 || input.dims[1] != model_.features()) {
      throw Failure{LEADSMAN_INVALID_ARGUMENT,
                    "the input has another type or shape than the model's"};
    }
    const int64_t rows = input.dims[0];
    dims_[0] = rows;
    values_.clear();
    if (rows > 0) {
      std::string error =
          model_.Predict(proxy_.get(), static_cast<const float*>(input.data), rows, values_);
      if (!error.empty()) throw Failure{LEADSMAN_INVALID_ARGUMENT, error};
    }
    int64_t count = 1;
    for (int64_t dim : dims_) count *= dim;
    if (static_cast<size_t>(count) != values_.size()) {
      throw Failure{LEADSMAN_INTERNAL, "XGBoost gave another number of values than rows ask for"};
    }
    output_ = {LEADSMAN_FP32, static_cast<uint32_t>(dims_.size()), dims_.data(), values_.data(),
               count};
    return {&output_, 1};
  }

 private:
  const Model& model_;
  const OwnedMatrix proxy_;
  std::vector<int64_t> dims_;
  std::vector<float> values_;
  leadsman_tensor output_{};
};

}  // namespace leadsman_xgboost

LEADSMAN_PLUGIN_CLASSES(leadsman_xgboost::Runtime, leadsman_xgboost::Model,
                        leadsman_xgboost::Context)

const leadsman_backend_api* leadsman_backend_entry(uint32_t) {
  static const char* const formats[] = {"xgboost"};
  static const leadsman_backend_api api = leadsman_plugin::Table("xgboost", formats);
  return &api;
}
