#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace leadsman::tfserving {

/// One named list of values of a tf.Example, all of one kind.
struct Feature {
  enum class Kind : uint8_t { kNone, kBytes, kFloat, kInt64 };
  std::string name;
  Kind kind = Kind::kNone;
  std::vector<std::string> bytes;
  std::vector<double> floats;  ///< double, for inputs that are; the wire has floats
  std::vector<int64_t> ints;

  size_t size() const {
    return kind == Kind::kBytes ? bytes.size() : kind == Kind::kFloat ? floats.size() : ints.size();
  }
};

/// Names are unique within an example.
struct Example {
  std::vector<Feature> features;  ///< in the order of their names
  const Feature* Find(std::string_view name) const;
  /// After features have been added in another order. Of one name the order stays.
  void Sort();
};

/// How much memory the examples of one request may still take: a few bytes on the wire become many there.
class ExampleRoom {
 public:
  explicit ExampleRoom(size_t bytes) : left_(bytes) {}
  /// False, from then on, when that is more than there is.
  bool Take(size_t bytes) {
    exceeded_ = exceeded_ || bytes > left_;
    left_ -= exceeded_ ? 0 : bytes;
    return !exceeded_;
  }
  bool exceeded() const { return exceeded_; }

 private:
  size_t left_;
  bool exceeded_ = false;
};

/// tf.Example in protocol buffers' wire format, read and written by hand, as all of it is on a
/// request's way (docs/decisions/0003-grpc-on-nghttp2.md): features, and what `context` has that the
/// example has not.
std::string SerializeExample(const Example& example, const Example& context);

/// INVALID_ARGUMENT when the bytes are none, or `room` is exceeded. Of two features of one name the last counts, as
/// with protocol buffers' maps. On an error `out` is unspecified. Pure, for any bytes at all.
Status ParseExample(std::string_view serialized, ExampleRoom& room, Example& out);

}  // namespace leadsman::tfserving
