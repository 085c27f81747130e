#pragma once

#include <string>
#include <vector>

#include "runtime.h"

namespace leadsman_ort {

/// How an output of the model becomes a tensor.
enum class OutputKind {
  kTensor,   ///< as it is, no copy
  kStrings,  ///< ONNX Runtime keeps std::string; copied into one block
  kRowMaps,  ///< a sequence of maps class → score (skl2onnx's ZipMap), flattened into FP32 [rows,
             ///< classes]
};

/// One session and its signature. Immutable after the constructor; thread-safe.
class Model {
 public:
  /// Throws Failure when the file is missing, corrupt, refused, or uses types that have no tensor
  /// form.
  Model(const Runtime& runtime, const leadsman_load_spec& spec);

  const Runtime& runtime() const { return runtime_; }
  OrtSession* session() const { return session_.get(); }
  const leadsman_signature* signature() const { return &signature_; }
  const std::vector<const char*>& input_names() const { return input_names_; }
  const std::vector<const char*>& output_names() const { return output_names_; }
  const std::vector<OutputKind>& output_kinds() const { return output_kinds_; }

 private:
  struct Spec {
    std::string name;
    leadsman_dtype dtype = LEADSMAN_INVALID;
    std::vector<int64_t> dims;
    OutputKind kind = OutputKind::kTensor;
  };
  void ReadSignature();
  Spec ReadSpec(std::string name, const OrtTypeInfo* info, bool is_output) const;
  std::string TakeName(char* name) const;

  const Runtime& runtime_;
  Owned<OrtSession> session_;
  std::vector<Spec> inputs_;
  std::vector<Spec> outputs_;
  std::vector<leadsman_tensor_spec> input_specs_;
  std::vector<leadsman_tensor_spec> output_specs_;
  std::vector<const char*> input_names_;
  std::vector<const char*> output_names_;
  std::vector<OutputKind> output_kinds_;
  leadsman_signature signature_{};
};

}  // namespace leadsman_ort
