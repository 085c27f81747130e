#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leadsman::net {

/// Takes the chunks out of a chunked body, in place: the decoded bytes are never behind the encoded
/// ones, so one buffer serves both. Strict: CR LF only, no sign, no space before the size, nothing
/// but an extension behind it, no control characters in that. Extensions and trailer fields are read over and dropped (trailers could smuggle fields past
/// checks made on the head). Pure. Externally synchronised.
class ChunkDecoder {
 public:
  enum class State { kNeedMore, kDone, kError };

  void Reset() { *this = ChunkDecoder(); }

  /// Decodes from `in` and writes to `out`, which may be the same memory or lie before it. Sets how
  /// much was read and written; all is read unless the body ends within `in`.
  State Feed(const char* in, size_t size, char* out, size_t* read, size_t* written);

  std::string_view error() const { return error_; }

 private:
  enum class Step {
    kSize,
    kSizeSpace,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLf,
    kDone,
    kError
  };
  static constexpr size_t kMaxLineBytes = 4096;  ///< size with extensions
  static constexpr size_t kMaxTrailerBytes = 16384;

  Step step_ = Step::kSize;
  uint64_t left_ = 0;  ///< of this chunk
  int digits_ = 0;
  size_t line_bytes_ = 0;  ///< of this size line, or of all trailers
  bool trailer_line_empty_ = true;
  std::string_view error_;
};

}  // namespace leadsman::net
