#include "tensor/tensor.h"

#include "base/strings.h"

namespace leadsman {

std::optional<int64_t> Shape::ElementCount() const {
  int64_t count = 1;
  bool overflow = false;
  bool empty = false;
  for (int64_t dim : dims()) {
    if (dim < 0) return std::nullopt;
    if (dim == 0) empty = true;
    // A zero later on must not be shadowed by an overflow before it: [2^40,2^40,0] holds nothing.
    if (dim != 0 && __builtin_mul_overflow(count, dim, &count)) overflow = true;
  }
  if (empty) return 0;
  if (overflow) return std::nullopt;
  return count;
}

std::string Shape::ToString() const {
  std::string out = "[";
  for (size_t i = 0; i < rank_; ++i) {
    if (i > 0) out += ',';
    out += std::to_string(dims_[i]);
  }
  out += ']';
  return out;
}

TensorView Tensor::View() const {
  TensorView view;
  view.name = name_;
  view.type = type_;
  view.shape = shape_;
  view.element_count = static_cast<int64_t>(element_count());
  if (type_ == DataType::kBytes) {
    string_views_.clear();
    for (const Piece& piece : strings_) {
      string_views_.emplace_back(string_data_.data() + piece.offset, piece.size);
    }
    view.data = string_views_.data();
  } else {
    view.data = bytes_.data();
  }
  return view;
}

const TensorSpec* Signature::FindInput(std::string_view name) const {
  for (const TensorSpec& spec : inputs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

const TensorSpec* Signature::FindOutput(std::string_view name) const {
  for (const TensorSpec& spec : outputs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

namespace {

Status Mismatch(const TensorSpec& spec, const TensorView& tensor, std::string_view detail) {
  return InvalidArgumentError(StrCat("input \"", spec.name, "\": expected ",
                                     DataTypeName(spec.type), spec.shape.ToString(), ", got ",
                                     DataTypeName(tensor.type), tensor.shape.ToString(), detail));
}

}  // namespace

Status CheckAgainst(const TensorSpec& spec, const TensorView& tensor) {
  if (tensor.type != spec.type) return Mismatch(spec, tensor, "");
  if (!spec.any_rank && tensor.shape.rank() != spec.shape.rank()) {
    return Mismatch(
        spec, tensor,
        StrCat(": ", spec.shape.rank(), " dimensions are wanted, not ", tensor.shape.rank()));
  }
  for (size_t i = 0; i < spec.shape.rank(); ++i) {
    if (spec.shape[i] >= 0 && tensor.shape[i] != spec.shape[i]) {
      return Mismatch(
          spec, tensor,
          StrCat(": dimension ", i, " must be ", spec.shape[i], ", not ", tensor.shape[i]));
    }
  }
  std::optional<int64_t> count = tensor.shape.ElementCount();
  if (!count) return Mismatch(spec, tensor, ": the shape is negative or too large");
  if (*count != tensor.element_count) {
    return Mismatch(
        spec, tensor,
        StrCat(": the shape holds ", *count, " values, but ", tensor.element_count, " came"));
  }
  return OkStatus();
}

}  // namespace leadsman
