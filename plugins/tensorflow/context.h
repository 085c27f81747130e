#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "model.h"

namespace leadsman_tensorflow {

/// The tensors of one execution at a time. Confined: one call at a time.
class Context {
 public:
  Context(const Model& model, size_t signature);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// Throws Failure; the context can be used again.
  std::span<const leadsman_tensor> Execute(std::span<const leadsman_tensor> inputs);

 private:
  struct Output {
    std::array<int64_t, LEADSMAN_MAX_RANK> dims{};
    std::vector<leadsman_string> strings;
  };
  void DropInputs();
  void DropOutputs();
  TF_Tensor* Copy(const leadsman_tensor& tensor) const;
  TF_Tensor* CopyStrings(const leadsman_tensor& tensor) const;
  void Read(size_t i);

  const Model& model_;
  const Api& api_;
  const leadsman_named_signature& signature_;
  const Model::Route& route_;
  std::vector<TF_Tensor*> inputs_;   ///< only during Execute
  std::vector<TF_Tensor*> outputs_;  ///< until the next Execute
  std::vector<Output> read_;
  std::vector<leadsman_tensor> tensors_;
};

}  // namespace leadsman_tensorflow
