#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "meta_graph.h"

// Whatever the bytes: names once and in order, and a tensor of unknown rank has no dimensions.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman_tensorflow;
  MetaGraph meta_graph;
  if (!ReadMetaGraph({reinterpret_cast<const char*>(data), size}, meta_graph)) return 0;
  const std::vector<SignatureDef>& signatures = meta_graph.signatures;
  for (size_t i = 0; i < signatures.size(); ++i) {
    if (i > 0 && signatures[i - 1].name >= signatures[i].name) std::abort();
    for (const auto* tensors : {&signatures[i].inputs, &signatures[i].outputs}) {
      for (size_t t = 0; t < tensors->size(); ++t) {
        const TensorDef& tensor = (*tensors)[t];
        if (t > 0 && (*tensors)[t - 1].key >= tensor.key) std::abort();
        if (tensor.any_rank && !tensor.dims.empty()) std::abort();
      }
    }
  }
  return 0;
}
