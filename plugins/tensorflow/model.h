#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meta_graph.h"
#include "runtime.h"
#include "signatures.h"

namespace leadsman_tensorflow {

/// One SavedModel in a session. Immutable after the constructor; thread-safe.
class Model {
 public:
  /// Where a signature's tensors are in the graph; in the order of its specs.
  struct Route {
    std::vector<TF_Output> inputs;
    std::vector<TF_Output> outputs;
  };

  /// Throws Failure when the folder is no SavedModel, is corrupt, has no usable signature.
  Model(Runtime& runtime, const leadsman_load_spec& spec);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Api& api() const { return api_; }
  TF_Session* session() const { return session_; }
  const TF_Buffer* run_options() const { return run_options_.get(); }
  std::span<const leadsman_named_signature> signatures() const { return signatures_.All(); }
  const Route& route(size_t signature) const { return routes_[signature]; }

 private:
  void Open(const leadsman_load_spec& spec, const std::vector<std::string>& tags,
            int64_t inter_op_threads, const leadsman_host& host);
  void Close();
  void AddSignatures(const leadsman_host& host, std::vector<SignatureDef> definitions);
  /// Empty, or why the signature cannot be served.
  std::string Add(const SignatureDef& definition);

  const Api& api_;
  Owned<TF_Graph> graph_;
  Owned<TF_Buffer> run_options_;
  TF_Session* session_ = nullptr;
  leadsman_plugin::Signatures signatures_;
  std::vector<Route> routes_;
};

}  // namespace leadsman_tensorflow
