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
  std::vector<Feature> features;
  const Feature* Find(std::string_view name) const;
};

/// tf.Example in protocol buffers' wire format, read and written by hand, as all of it is on a
/// request's way (docs/decisions/0003-grpc-on-nghttp2.md): features, and what `context` has that the
/// example has not.
std::string SerializeExample(const Example& example, const Example& context);

/// INVALID_ARGUMENT when the bytes are none. Of two features of one name the last counts, as with
/// protocol buffers' maps. `out` is what could be read until then. Pure, for any bytes at all.
Status ParseExample(std::string_view serialized, Example& out);

}  // namespace leadsman::tfserving
