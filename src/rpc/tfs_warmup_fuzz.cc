#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/tfs_warmup.h"

using namespace leadsman;

namespace {

/// Takes whatever agrees with its signature, and answers with a row for each of the first input's.
class Model final : public LoadedModel {
 public:
  Model() : LoadedModel(Signatures()) {}
  Result<std::unique_ptr<ExecutionContext>> NewContext(size_t signature) override {
    return std::unique_ptr<ExecutionContext>(new Context(signatures()[signature].signature));
  }

 private:
  class Context final : public ExecutionContext {
   public:
    explicit Context(const Signature& signature) : signature_(signature) {}
    Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) override {
      for (const TensorView& input : inputs) {
        const TensorSpec* spec = signature_.FindInput(input.name);
        CHECK(spec != nullptr && CheckAgainst(*spec, input).ok());
      }
      const auto rows = static_cast<size_t>(inputs[0].shape[0]);
      scores_.Reset(signature_.outputs[0].name, DataType::kFp32);
      scores_.shape() = {static_cast<int64_t>(rows), 2};
      scores_.Extend(2 * rows);
      view_ = scores_.View();
      return std::span<const TensorView>(&view_, 1);
    }

   private:
    const Signature& signature_;
    Tensor scores_;
    TensorView view_;
  };

  static std::vector<NamedSignature> Signatures() {
    const std::vector<TensorSpec> scores = {{"scores", DataType::kFp32, {-1, 2}}};
    return {{"serving_default",
             kPredictMethod,
             {{{"x", DataType::kFp32, {-1, 4}}, {"s", DataType::kBytes, {-1}, true}}, scores}},
            {"examples",
             "tensorflow/serving/classify",
             {{{"examples", DataType::kBytes, {-1}}}, scores}}};
  }
};

const ServableVersion& TheVersion() {
  static const auto* version = [] {
    auto* made = new ServableVersion();
    made->model_name = "m";
    made->model = std::make_unique<Model>();
    return made;
  }();
  return *version;
}

}  // namespace

/// A serialized PredictionLog.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of its own, so that a byte too far is seen.
  const std::string copy(reinterpret_cast<const char*>(data), size);
  rpc::WarmupRunner runner(TheVersion(), SystemClock(), 1 << 20);
  Status status = runner.Run(copy, 1);
  CHECK(status.code() != StatusCode::kInternal);
  return 0;
}
