#include "meta_graph.h"

#include <algorithm>
#include <utility>

namespace leadsman_tensorflow {
namespace {

/// One message of protobuf's wire format, field by field:
///   for (Fields fields(bytes); fields.Next();) if (fields.number() == 1) use(fields.bytes());
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  bool Next() {
    if (rest_.empty() || bad_) return false;
    uint64_t tag = 0;
    if (!Varint(tag)) return false;
    number_ = tag >> 3;
    bytes_ = {};
    value_ = 0;
    switch (tag & 7) {
      case 0:
        return Varint(value_);
      case 1:
        return Take(8);
      case 2: {
        uint64_t size = 0;
        return Varint(size) && Take(size);
      }
      case 5:
        return Take(4);
      default:  // groups: nothing here has ever had one
        return Bad();
    }
  }
  bool bad() const { return bad_; }
  uint64_t number() const { return number_; }
  uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

 private:
  bool Bad() {
    bad_ = true;
    return false;
  }
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return Bad();
  }
  bool Take(uint64_t size) {
    if (size > rest_.size()) return Bad();
    bytes_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  bool bad_ = false;
  uint64_t number_ = 0;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

bool ReadShape(std::string_view bytes, TensorDef& tensor) {
  tensor.any_rank = false;
  tensor.dims.clear();
  Fields fields(bytes);
  while (fields.Next()) {
    if (fields.number() == 2) {  // dim
      int64_t size = 0;
      Fields dim(fields.bytes());
      while (dim.Next()) {
        if (dim.number() == 1) size = static_cast<int64_t>(dim.value());
      }
      if (dim.bad()) return false;
      tensor.dims.push_back(size < 0 ? -1 : size);
    } else if (fields.number() == 3) {  // unknown_rank
      tensor.any_rank = fields.value() != 0;
    }
  }
  if (tensor.any_rank) tensor.dims.clear();
  return !fields.bad();
}

bool ReadTensorInfo(std::string_view bytes, TensorDef& tensor) {
  Fields fields(bytes);
  while (fields.Next()) {
    switch (fields.number()) {
      case 1:
        tensor.tensor = fields.bytes();
        break;
      case 2:
        tensor.dtype = static_cast<int32_t>(fields.value());
        break;
      case 3:
        if (!ReadShape(fields.bytes(), tensor)) return false;
        break;
      default:  // sparse and composite ones have no name
        break;
    }
  }
  return !fields.bad();
}

/// A map<string, Message> field is a message of key (1) and value (2).
bool ReadEntry(std::string_view bytes, std::string& key, std::string_view& value) {
  Fields fields(bytes);
  while (fields.Next()) {
    if (fields.number() == 1) key = fields.bytes();
    if (fields.number() == 2) value = fields.bytes();
  }
  return !fields.bad();
}

bool ReadTensor(std::string_view bytes, std::vector<TensorDef>& tensors) {
  TensorDef tensor;
  std::string_view info;
  if (!ReadEntry(bytes, tensor.key, info) || !ReadTensorInfo(info, tensor)) return false;
  tensors.push_back(std::move(tensor));
  return true;
}

/// By key; of those that are there twice the last one counts, as in protobuf's maps.
template <typename T, typename Key>
void SortUnique(std::vector<T>& all, Key key) {
  std::stable_sort(all.begin(), all.end(), [&](const T& a, const T& b) { return key(a) < key(b); });
  auto last = std::unique(all.rbegin(), all.rend(),
                          [&](const T& a, const T& b) { return key(a) == key(b); });
  all.erase(all.begin(), last.base());
}

bool ReadSignature(std::string_view bytes, std::vector<SignatureDef>& signatures) {
  SignatureDef signature;
  std::string_view definition;
  if (!ReadEntry(bytes, signature.name, definition)) return false;
  Fields fields(definition);
  while (fields.Next()) {
    switch (fields.number()) {
      case 1:
        if (!ReadTensor(fields.bytes(), signature.inputs)) return false;
        break;
      case 2:
        if (!ReadTensor(fields.bytes(), signature.outputs)) return false;
        break;
      case 3:
        signature.method = fields.bytes();
        break;
      default:
        break;
    }
  }
  auto key = [](const TensorDef& tensor) -> const std::string& { return tensor.key; };
  SortUnique(signature.inputs, key);
  SortUnique(signature.outputs, key);
  signatures.push_back(std::move(signature));
  return !fields.bad();
}

/// GraphDef.node → NodeDef.op. Functions have no variables of their own.
bool ReadGraph(std::string_view bytes, bool& has_variables) {
  Fields fields(bytes);
  while (fields.Next()) {
    if (fields.number() != 1) continue;
    Fields node(fields.bytes());
    while (node.Next()) {
      if (node.number() != 2) continue;
      const std::string_view op = node.bytes();
      has_variables |= op == "VarHandleOp" || op == "VariableV2" || op == "Variable";
    }
    if (node.bad()) return false;
  }
  return !fields.bad();
}

}  // namespace

bool ReadMetaGraph(std::string_view bytes, MetaGraph& meta_graph) {
  Fields fields(bytes);
  while (fields.Next()) {
    if (fields.number() == 2 && !ReadGraph(fields.bytes(), meta_graph.has_variables)) return false;
    if (fields.number() == 5 && !ReadSignature(fields.bytes(), meta_graph.signatures)) return false;
  }
  SortUnique(meta_graph.signatures,
             [](const SignatureDef& s) -> const std::string& { return s.name; });
  return !fields.bad();
}

}  // namespace leadsman_tensorflow
