#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "tensor/data_type.h"

namespace leadsman {

/// Up to eight dimensions, kept inline. In a signature -1 stands for "any length". Rank 0 is a scalar.
class Shape {
 public:
  static constexpr size_t kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t dim : dims) Append(dim);
  }
  size_t rank() const { return rank_; }
  int64_t operator[](size_t i) const { return dims_[i]; }
  int64_t& operator[](size_t i) { return dims_[i]; }
  const int64_t* data() const { return dims_.data(); }
  std::span<const int64_t> dims() const { return {dims_.data(), rank_}; }
  /// The caller has checked rank() < kMaxRank when dims come from outside.
  void Append(int64_t dim) {
    CHECK(rank_ < kMaxRank);
    dims_[rank_++] = dim;
  }
  void Clear() { rank_ = 0; }
  /// Product of the dimensions, 1 for a scalar. Nothing when a dimension is negative or the product overflows int64.
  std::optional<int64_t> ElementCount() const;
  /// "[1,784]", variable dimensions as -1.
  std::string ToString() const;
  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.dims().begin(), a.dims().end(), b.dims().begin(), b.dims().end());
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  uint32_t rank_ = 0;
};

/// A tensor that somebody else owns: row-major, contiguous, little-endian. kBytes data is an array of std::string_view.
struct TensorView {
  std::string_view name;
  DataType type = DataType::kInvalid;
  Shape shape;
  const void* data = nullptr;
  int64_t element_count = 0;

  template <typename T>
  std::span<const T> as() const {
    return {static_cast<const T*>(data), static_cast<size_t>(element_count)};
  }
  size_t byte_size() const { return static_cast<size_t>(element_count) * ElementSize(type); }
};

/// A tensor that owns its storage and can be filled again without allocating once it has grown. Confined to one thread:
/// even View() of a kBytes tensor writes (it rebuilds its array of views).
class Tensor {
 public:
  /// Drops the content, keeps the capacity.
  void Reset(std::string_view name, DataType type) {
    name_.assign(name);
    type_ = type;
    shape_.Clear();
    bytes_.clear();
    strings_.clear();
    string_data_.clear();
  }
  const std::string& name() const { return name_; }
  DataType type() const { return type_; }
  Shape& shape() { return shape_; }
  const Shape& shape() const { return shape_; }

  /// Fixed-size element types only.
  template <typename T>
  void Push(T value) {
    size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    __builtin_memcpy(bytes_.data() + at, &value, sizeof(T));
  }
  /// Room for `count` more elements of a fixed-size type; returns where they go.
  void* Extend(size_t count) {
    size_t at = bytes_.size();
    bytes_.resize(at + count * ElementSize(type_));
    return bytes_.data() + at;
  }
  /// kBytes only; copies the text.
  void PushString(std::string_view text) {
    strings_.push_back({string_data_.size(), text.size()});
    string_data_.append(text);
  }
  size_t element_count() const {
    if (type_ == DataType::kBytes) return strings_.size();
    return bytes_.empty() ? 0 : bytes_.size() / ElementSize(type_);
  }
  /// Valid until the tensor changes or goes.
  TensorView View() const;
  /// Memory that it holds on to, filled or not.
  size_t kept_bytes() const {
    return bytes_.capacity() + string_data_.capacity() + strings_.capacity() * sizeof(Piece) +
           string_views_.capacity() * sizeof(std::string_view);
  }

 private:
  struct Piece {
    size_t offset;
    size_t size;
  };
  std::string name_;
  DataType type_ = DataType::kInvalid;
  Shape shape_;
  std::vector<char> bytes_;
  std::vector<Piece> strings_;
  std::string string_data_;
  mutable std::vector<std::string_view> string_views_;
};

/// One input or output of a model as the client sees it.
struct TensorSpec {
  std::string name;
  DataType type = DataType::kInvalid;
  Shape shape;  ///< -1 where any length is taken; the first dimension is usually the batch
  bool optional = false;
  bool any_rank = false;  ///< the model says nothing of the shape, which is empty then: any fits
};

/// What a model takes and gives. Order is the model's own.
struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  const TensorSpec* FindInput(std::string_view name) const;
  const TensorSpec* FindOutput(std::string_view name) const;
};

/// INVALID_ARGUMENT naming the input, what was expected and what came.
Status CheckAgainst(const TensorSpec& spec, const TensorView& tensor);

}  // namespace leadsman
