#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman_tensorflow {

/// An input or output of a SignatureDef.
struct TensorDef {
  std::string key;     ///< what clients call it: "x"
  std::string tensor;  ///< in the graph: "serving_default_x:0"; empty when it is no plain tensor
  int32_t dtype = 0;   ///< TensorFlow's number
  std::vector<int64_t> dims;
  bool any_rank = true;
};

struct SignatureDef {
  std::string name;
  std::string method;
  std::vector<TensorDef> inputs;  ///< in the order of their keys
  std::vector<TensorDef> outputs;
};

/// What is needed of a serialized tensorflow.MetaGraphDef.
struct MetaGraph {
  std::vector<SignatureDef> signatures;  ///< in the order of their names
  bool has_variables = false;            ///< whose values are in variables/
};

/// Reads the wire format itself: a protobuf library would meet TensorFlow's own. False when the
/// bytes are no such message; what comes from a newer TensorFlow is stepped over. One pass.
bool ReadMetaGraph(std::string_view bytes, MetaGraph& meta_graph);

}  // namespace leadsman_tensorflow
