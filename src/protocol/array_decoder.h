#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/json_cursor.h"
#include "tensor/tensor.h"

namespace leadsman {

/// Reads nested JSON arrays of values into one tensor: the shape is what the brackets say, every
/// list of one level must have the same length, and every value must be of the input's type. Errors
/// name the input, the row, what was expected and what came. Its buffers are used again from
/// request to request.
///
///   decoder.Begin(spec, {.b64 = true});
///   decoder.Append(json, 0);           // the whole value; or, per row object, Append(json, 1) and
///   EndRow() Shape shape = decoder.shape(); decoder.Store(shape, tensor);
class ArrayDecoder {
 public:
  struct Options {
    bool b64 = false;  ///< strings may also come as {"b64": "<base64>"} (TensorFlow Serving)
    std::string_view item = "row";  ///< what messages call an element of the outermost list
    bool null_is_nan = false;       ///< for floats: a missing value, as tables have them (MLflow)
    bool show_values = true;        ///< errors quote what came
  };

  /// `spec` must outlive the decoding. Types that have no JSON form (FP16, BF16) are refused.
  Status Begin(const TensorSpec& spec, Options options);

  /// Reads the value that stands next as something nested `level` lists deep in the tensor. False:
  /// json.error().
  bool Append(JsonCursor& json, size_t level);
  /// For rows that come one by one, each by Append(json, 1).
  void EndRow() { dims_[0] = static_cast<int64_t>(++index_[0]); }
  /// Rows so far, by EndRow().
  size_t row_count() const { return index_[0]; }

  /// What the brackets said.
  Shape shape() const;
  size_t element_count() const { return element_count_; }
  /// Moves the values into `tensor` under the given shape, whose element count must be
  /// element_count().
  void Store(const Shape& shape, Tensor& tensor);

 private:
  template <typename T>
  bool Numbers(JsonCursor& json, size_t level, size_t& count);
  bool Scalar(JsonCursor& json, size_t level);
  template <typename T>
  bool FloatValue(JsonCursor& json);
  template <typename T>
  bool IntegerValue(JsonCursor& json);
  bool StringValue(JsonCursor& json);
  bool CheckLeaf(JsonCursor& json, size_t level, size_t position);
  bool WrongType(JsonCursor& json);
  bool OutOfRange(JsonCursor& json, size_t position);
  std::string Shown(JsonCursor& json) const;
  /// "input 'x', row 3"
  std::string Where() const;

  template <typename T>
  void Push(T value) {
    if (size_ + sizeof(T) > capacity_) Grow();
    __builtin_memcpy(bytes_.get() + size_, &value, sizeof(T));
    size_ += sizeof(T);
  }
  void Grow();

  const TensorSpec* spec_ = nullptr;
  Options options_;
  std::array<int64_t, Shape::kMaxRank> dims_{};  ///< -1 = not known yet
  std::array<size_t, Shape::kMaxRank> index_{};  ///< where we are, for messages
  int leaf_ = -1;  ///< the level at which values stand; -1 = not known yet
  size_t element_count_ = 0;

  // Numbers are gathered here: a tensor's own storage would be zeroed before it is written.
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
  Tensor strings_;
  std::string scratch_;
  std::string decoded_;
};

}  // namespace leadsman
