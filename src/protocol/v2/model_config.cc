#include "protocol/v2/model_config.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

/// Rows of a request, where all tensors have a dimension that counts them.
int64_t MaxBatchSize(const ServableVersion& version) {
  if (version.triton) return version.triton->max_batch_size;
  if (!version.config->batching) return 0;
  auto has_rows = [](const TensorSpec& spec) {
    return !spec.any_rank && spec.shape.rank() > 0 && spec.shape[0] < 0;
  };
  const Signature& signature = version.model->signature();
  bool all = std::all_of(signature.inputs.begin(), signature.inputs.end(), has_rows) &&
             std::all_of(signature.outputs.begin(), signature.outputs.end(), has_rows);
  return all ? version.config->batching->max_batch_size : 0;
}

std::vector<ModelConfigView::Tensor> Tensors(const std::vector<TensorSpec>& specs, bool batched,
                                             const std::vector<TritonConfig::Tensor>* said) {
  std::vector<ModelConfigView::Tensor> tensors;
  for (const TensorSpec& spec : specs) {
    ModelConfigView::Tensor& tensor = tensors.emplace_back();
    tensor.name = spec.name;
    tensor.type = spec.type;
    tensor.optional = spec.optional;
    for (size_t i = batched ? 1 : 0; i < spec.shape.rank(); ++i) tensor.dims.Append(spec.shape[i]);
    if (said == nullptr) continue;
    auto found = std::find_if(said->begin(), said->end(),
                              [&](const auto& one) { return one.name == spec.name; });
    if (found == said->end()) continue;
    tensor.reshape = found->reshape;
    tensor.label_filename = found->label_filename;
  }
  return tensors;
}

ModelConfigView::Priorities PrioritiesOf(const BatchingConfig& batching) {
  ModelConfigView::Priorities priorities;
  if (batching.priorities.levels < 2) return priorities;
  priorities.levels = batching.priorities.levels;
  priorities.default_level = batching.LevelOf(0);
  for (uint32_t level = 1; level <= priorities.levels; ++level) {
    const BatchingConfig::Queue queue = batching.QueueOf(level);
    const auto& timeouts = batching.priorities.timeouts;
    const bool own_timeout = std::any_of(timeouts.begin(), timeouts.end(),
                                         [&](const auto& t) { return t.level == level; });
    if (own_timeout || queue.max_size > 0) priorities.queues[level] = queue;
  }
  return priorities;
}

}  // namespace

std::string PlatformOf(const ServableVersion& version) {
  const TritonConfig* triton = version.triton.get();
  if (triton != nullptr && !triton->platform.empty()) return triton->platform;
  if (triton != nullptr && triton->backend == "fil") return triton->backend;
  // The words for it that there are already.
  if (version.backend_name == "tensorflow") return "tensorflow_savedmodel";
  return StrCat(version.backend_name, "_", version.format);
}

ModelConfigView DescribeModel(const ServableVersion& version) {
  const TritonConfig* triton = version.triton.get();
  ModelConfigView view;
  view.name = version.model_name;
  view.platform = PlatformOf(version);
  view.backend =
      triton != nullptr && !triton->backend.empty() ? triton->backend : version.backend_name;
  view.versions = &version.config->policy;
  view.max_batch_size = MaxBatchSize(version);
  const bool batched = view.max_batch_size > 0;
  const Signature& signature = version.model->signature();
  view.inputs = Tensors(signature.inputs, batched, triton != nullptr ? &triton->inputs : nullptr);
  view.outputs =
      Tensors(signature.outputs, batched, triton != nullptr ? &triton->outputs : nullptr);
  view.instances = std::max({version.config->instances, version.model->concurrency(), 1});
  if (version.config->batching) {
    view.batching = &*version.config->batching;
    view.priorities = PrioritiesOf(*view.batching);
  }
  if (triton != nullptr) {
    view.default_model_filename = triton->default_model_filename;
    view.cc_model_filenames = triton->cc_model_filenames;
    view.parameters = triton->parameters;
  }
  return view;
}

}  // namespace leadsman::v2
