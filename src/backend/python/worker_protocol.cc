#include "backend/python/worker_protocol.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include "base/strings.h"

namespace leadsman::python {
namespace {

constexpr size_t kAlignment = 64;  // as numpy and vector instructions like it

size_t Aligned(size_t at) { return (at + kAlignment - 1) / kAlignment * kAlignment; }

size_t BytesOf(const TensorView& tensor) {
  if (tensor.type != DataType::kBytes) return tensor.byte_size();
  size_t bytes = (static_cast<size_t>(tensor.element_count) + 1) * sizeof(uint64_t);
  for (std::string_view text : tensor.as<std::string_view>()) bytes += text.size();
  return bytes;
}

size_t IndexOf(const Signature& signature, std::span<const TensorView> inputs, size_t i) {
  // All of them: then they stand in the signature's order.
  if (inputs.size() == signature.inputs.size()) return i;
  size_t index = 0;
  while (index < signature.inputs.size() && signature.inputs[index].name != inputs[i].name) ++index;
  return index;
}

void WriteStrings(std::span<const std::string_view> strings, char* to) {
  uint64_t end = 0;
  std::memcpy(to, &end, sizeof end);
  char* text = to + (strings.size() + 1) * sizeof(uint64_t);
  for (size_t i = 0; i < strings.size(); ++i) {
    if (!strings[i].empty()) std::memcpy(text + end, strings[i].data(), strings[i].size());
    end += strings[i].size();
    std::memcpy(to + (i + 1) * sizeof(uint64_t), &end, sizeof end);
  }
}

bool Fits(const TensorSpec& spec, const Shape& shape) {
  if (spec.shape.rank() != shape.rank()) return false;
  for (size_t d = 0; d < shape.rank(); ++d) {
    if (spec.shape[d] >= 0 && spec.shape[d] != shape[d]) return false;
  }
  return true;
}

Status Broken(const TensorSpec& spec, std::string_view what) {
  return InternalError(
      StrCat("the Python worker's answer is broken: the output ", spec.name, " ", what));
}

}  // namespace

Result<InputLayout> LayOutInputs(const Signature& signature, std::span<const TensorView> inputs) {
  InputLayout layout{.count = inputs.size()};
  const bool all = inputs.size() == signature.inputs.size();
  if (!all) {
    for (const TensorSpec& spec : signature.inputs) {
      auto named = [&](const TensorView& view) { return view.name == spec.name; };
      if (!spec.optional && std::none_of(inputs.begin(), inputs.end(), named)) {
        return InvalidArgumentError(StrCat("input \"", spec.name, "\" is missing"));
      }
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!all && IndexOf(signature, inputs, i) == signature.inputs.size()) {
      return InvalidArgumentError(StrCat("the model has no input \"", inputs[i].name, "\""));
    }
    if (inputs[i].type == DataType::kBf16 || inputs[i].type == DataType::kInvalid) {
      return UnimplementedError(StrCat("input \"", inputs[i].name, "\" is of type ",
                                       DataTypeName(inputs[i].type),
                                       ", which Python models cannot take"));
    }
    layout.head_bytes += sizeof(TensorHead) + inputs[i].shape.rank() * sizeof(int64_t);
  }
  size_t at = layout.head_bytes;
  for (const TensorView& input : inputs) at = Aligned(at) + BytesOf(input);
  layout.total_bytes = at;
  return layout;
}

void WriteInputs(const Signature& signature, std::span<const TensorView> inputs,
                 const InputLayout& layout, std::span<char> region) {
  CHECK(region.size() >= layout.total_bytes);
  char* head_at = region.data();
  size_t at = layout.head_bytes;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& input = inputs[i];
    at = Aligned(at);
    TensorHead head{.type = static_cast<uint8_t>(input.type),
                    .rank = static_cast<uint8_t>(input.shape.rank()),
                    .index = static_cast<uint16_t>(IndexOf(signature, inputs, i)),
                    .offset = at,
                    .bytes = BytesOf(input)};
    std::memcpy(head_at, &head, sizeof head);
    head_at += sizeof head;
    std::memcpy(head_at, input.shape.data(), input.shape.rank() * sizeof(int64_t));
    head_at += input.shape.rank() * sizeof(int64_t);
    if (input.type == DataType::kBytes) {
      WriteStrings(input.as<std::string_view>(), region.data() + at);
    } else if (head.bytes > 0) {
      std::memcpy(region.data() + at, input.data, head.bytes);
    }
    at += head.bytes;
  }
}

Status ReadOutputs(const Signature& signature, const Message& done, std::span<const char> region,
                   OutputBuffer& out) {
  const size_t count = signature.outputs.size();
  constexpr size_t kLongestHead = sizeof(TensorHead) + Shape::kMaxRank * sizeof(int64_t);
  if (done.count != count || done.a > region.size() || done.a > count * kLongestHead) {
    return InternalError(StrCat("the Python worker's answer is broken: ", done.count,
                                " outputs in ", done.a, " bytes, the model has ", count));
  }
  // Copied before it is looked at: a worker that goes on writing cannot change what has been checked.
  out.head_.assign(region.data(), region.data() + done.a);
  out.views_.resize(count);
  std::vector<TensorHead>& heads = out.heads_;
  heads.resize(count);
  size_t at = 0;
  size_t total = 0;
  size_t claimed = 0;
  size_t strings = 0;
  for (size_t i = 0; i < count; ++i) {
    const TensorSpec& spec = signature.outputs[i];
    TensorHead& head = heads[i];
    if (out.head_.size() - at < sizeof head) return Broken(spec, "has no descriptor");
    std::memcpy(&head, out.head_.data() + at, sizeof head);
    at += sizeof head;
    const size_t dim_bytes = size_t{head.rank} * sizeof(int64_t);
    if (head.rank > Shape::kMaxRank || out.head_.size() - at < dim_bytes || head.index != i) {
      return Broken(spec, "has a descriptor that is cut off");
    }
    TensorView& view = out.views_[i];
    view.name = spec.name;
    view.type = spec.type;
    view.shape.Clear();
    for (size_t d = 0; d < head.rank; ++d) {
      int64_t dim = 0;
      std::memcpy(&dim, out.head_.data() + at + d * sizeof dim, sizeof dim);
      view.shape.Append(dim);
    }
    at += dim_bytes;
    std::optional<int64_t> elements = view.shape.ElementCount();
    if (head.type != static_cast<uint8_t>(spec.type) || !elements || !Fits(spec, view.shape)) {
      return Broken(
          spec, StrCat("came as type ", int{head.type}, view.shape.ToString(),
                       ", the signature says ", DataTypeName(spec.type), spec.shape.ToString()));
    }
    if (head.offset > region.size() || head.bytes > region.size() - head.offset) {
      return Broken(spec, "lies outside of the memory for answers");
    }
    // Else a few descriptors of all the region would be copied as often.
    claimed += head.bytes;
    if (claimed > region.size()) return Broken(spec, "overlaps another output");
    view.element_count = *elements;
    const auto elements_u = static_cast<uint64_t>(*elements);
    if (spec.type == DataType::kBytes) {
      if (elements_u >= head.bytes / sizeof(uint64_t))
        return Broken(spec, "is shorter than its shape says");
      strings += elements_u;
    } else if (elements_u > head.bytes || elements_u * ElementSize(spec.type) != head.bytes) {
      return Broken(spec, "is of another length than its shape says");
    }
    total = Aligned(total) + head.bytes;
  }
  // Never smaller again, so that nothing moves between here and the end.
  if (out.bytes_.size() < total) out.bytes_.resize(total);
  if (out.strings_.size() < strings) out.strings_.resize(strings);
  size_t to = 0;
  size_t first_string = 0;
  for (size_t i = 0; i < count; ++i) {
    TensorView& view = out.views_[i];
    to = Aligned(to);
    char* bytes = out.bytes_.data() + to;
    if (heads[i].bytes > 0) std::memcpy(bytes, region.data() + heads[i].offset, heads[i].bytes);
    to += heads[i].bytes;
    view.data = bytes;
    if (view.type == DataType::kBool) {
      for (uint64_t b = 0; b < heads[i].bytes; ++b)
        bytes[b] = bytes[b] != 0 ? 1 : 0;  // a bool is nothing else
    }
    if (view.type != DataType::kBytes) continue;
    const auto n = static_cast<size_t>(view.element_count);
    const char* text = bytes + (n + 1) * sizeof(uint64_t);
    const uint64_t text_bytes = heads[i].bytes - (n + 1) * sizeof(uint64_t);
    uint64_t begin = 0;
    for (size_t s = 0; s <= n; ++s) {
      uint64_t end = 0;
      std::memcpy(&end, bytes + s * sizeof end, sizeof end);
      if (end < begin || end > text_bytes || (s == 0 && end != 0)) {
        return Broken(signature.outputs[i], "has strings outside of its memory");
      }
      if (s > 0) out.strings_[first_string + s - 1] = std::string_view(text + begin, end - begin);
      begin = end;
    }
    view.data = out.strings_.data() + first_string;
    first_string += n;
  }
  return OkStatus();
}

std::string ReadText(const Message& message, std::span<const char> region, size_t max_bytes) {
  if (message.a > region.size() || message.a > max_bytes) return "";
  return std::string(region.data(), message.a);
}

}  // namespace leadsman::python
