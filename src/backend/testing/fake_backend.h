#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace leadsman {

/// A backend for tests of the rooms above. Each model takes x: FP32[-1,4] and gives label: INT64[-1] and
/// probabilities: FP32[-1,3], unless the test gives another signature; `run` may replace the computation, `on_load` may
/// fail or block a load. By default label = the model's version and probabilities = {1,0,0} for every row.
class FakeBackend final : public Backend {
 public:
  using Run = std::function<Status(int64_t version, std::span<const TensorView> inputs,
                                   std::vector<Tensor>& outputs)>;

  FakeBackend() {
    signature.inputs = {{"x", DataType::kFp32, {-1, 4}}};
    signature.outputs = {{"label", DataType::kInt64, {-1}},
                         {"probabilities", DataType::kFp32, {-1, 3}}};
  }
  const std::string& name() const override { return name_; }
  const std::string& runtime_version() const override { return version_; }
  Result<std::unique_ptr<LoadedModel>> Load(const LoadSpec& spec) override {
    ++loads;
    if (on_load) RETURN_IF_ERROR(on_load(spec));
    return std::unique_ptr<LoadedModel>(new Model(*this, spec.version));
  }

  Signature signature;
  /// Further ones, after `signature`.
  std::vector<NamedSignature> more_signatures;
  std::function<Status(const LoadSpec&)> on_load;
  Run run;
  /// May falsify what the model says it has computed.
  std::function<void(std::vector<TensorView>&)> on_views;
  std::atomic<int> loads{0};
  std::atomic<int> loaded_now{0};

 private:
  class Context final : public ExecutionContext {
   public:
    Context(FakeBackend& owner, int64_t version, const Signature& signature)
        : owner_(owner), version_(version), signature_(signature) {}
    Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) override {
      outputs_.resize(signature_.outputs.size());
      for (size_t i = 0; i < outputs_.size(); ++i) {
        outputs_[i].Reset(signature_.outputs[i].name, signature_.outputs[i].type);
      }
      if (owner_.run) {
        RETURN_IF_ERROR(owner_.run(version_, inputs, outputs_));
      } else {
        int64_t rows = inputs[0].shape[0];
        outputs_[0].shape() = {rows};
        outputs_[1].shape() = {rows, 3};
        for (int64_t i = 0; i < rows; ++i) {
          outputs_[0].Push<int64_t>(version_);
          for (int c = 0; c < 3; ++c) outputs_[1].Push<float>(c == 0 ? 1.0f : 0.0f);
        }
      }
      views_.clear();
      for (const Tensor& tensor : outputs_) views_.push_back(tensor.View());
      if (owner_.on_views) owner_.on_views(views_);
      return std::span<const TensorView>(views_);
    }

   private:
    FakeBackend& owner_;
    int64_t version_;
    const Signature& signature_;
    std::vector<Tensor> outputs_;
    std::vector<TensorView> views_;
  };
  class Model final : public LoadedModel {
   public:
    Model(FakeBackend& owner, int64_t version)
        : LoadedModel(owner.Signatures()), owner_(owner), version_(version) {
      ++owner_.loaded_now;
    }
    ~Model() override { --owner_.loaded_now; }
    Result<std::unique_ptr<ExecutionContext>> NewContext(size_t index) override {
      return std::unique_ptr<ExecutionContext>(
          new Context(owner_, version_, signatures()[index].signature));
    }

   private:
    FakeBackend& owner_;
    int64_t version_;
  };
  std::vector<NamedSignature> Signatures() const {
    std::vector<NamedSignature> all = {{kDefaultSignatureName, kPredictMethod, signature}};
    all.insert(all.end(), more_signatures.begin(), more_signatures.end());
    return all;
  }

  std::string name_ = "fake";
  std::string version_ = "1";
};

}  // namespace leadsman
