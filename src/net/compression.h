#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/padded_buffer.h"

namespace leadsman::net {

/// gzip and zlib ("deflate") in one direction each; keeps zlib's state from call to call, which is
/// a quarter of a megabyte. Never more than `limit` bytes come out. Externally synchronised.
class Inflater {
 public:
  enum class Outcome { kOk, kCorrupt, kTooLarge };
  Inflater();
  ~Inflater();
  /// gzip, also of several members, or zlib, or bare deflate, which some clients send by the name
  /// of "deflate".
  Outcome Inflate(std::string_view in, size_t limit, PaddedBuffer& out, size_t* size);

 private:
  Outcome Run(std::string_view in, int window_bits, size_t limit, PaddedBuffer& out, size_t* size);
  struct State;
  std::unique_ptr<State> state_;
};

/// Compresses whole texts; keeps zlib's state as Inflater does. Externally synchronised.
class Deflater {
 public:
  enum class Format { kGzip, kZlib };  ///< in HTTP's words: gzip, deflate
  explicit Deflater(Format format);
  ~Deflater();
  /// Replaces `out`. False when zlib refuses; then send the text as it is.
  bool Compress(std::string_view in, std::string& out);

 private:
  struct State;
  Format format_;
  std::unique_ptr<State> state_;
};

}  // namespace leadsman::net
