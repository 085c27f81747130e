#include "net/chunk_decoder.h"

#include <algorithm>
#include <cstring>

namespace leadsman::net {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkDecoder::State ChunkDecoder::Feed(const char* in, size_t size, char* out, size_t* read,
                                       size_t* written) {
  size_t at = 0;
  *read = 0;
  *written = 0;
  if (step_ == Step::kError) return State::kError;
  auto fail = [&](std::string_view message) {
    *read = at;
    step_ = Step::kError;
    error_ = message;
    return State::kError;
  };
  while (at < size && step_ != Step::kDone) {
    if (step_ == Step::kData) {
      size_t n = size_t(std::min<uint64_t>(left_, size - at));
      std::memmove(out + *written, in + at, n);
      *written += n;
      at += n;
      left_ -= n;
      if (left_ == 0) step_ = Step::kDataCr;
      continue;
    }
    char c = in[at++];
    switch (step_) {
      case Step::kSize: {
        int digit = HexDigit(c);
        if (digit >= 0) {
          if (++digits_ > 15) return fail("a chunk's size is too large");
          left_ = left_ * 16 + uint64_t(digit);
          break;
        }
        if (digits_ == 0) return fail("a chunk's size is not a hexadecimal number");
        if (c == '\r') {
          step_ = Step::kSizeLf;
        } else if (c == ';') {
          step_ = Step::kExtension;
          line_bytes_ = 0;
        } else if (c == ' ' || c == '\t') {
          step_ = Step::kSizeSpace;
          line_bytes_ = 0;
        } else {
          return fail("a chunk's size is not a hexadecimal number");
        }
        break;
      }
      case Step::kSizeSpace:
        // What stands behind a space and is no extension, others may read as part of the size.
        if (c == '\r') {
          step_ = Step::kSizeLf;
        } else if (c == ';') {
          step_ = Step::kExtension;
        } else if ((c != ' ' && c != '\t') || ++line_bytes_ > kMaxLineBytes) {
          return fail("a chunk's size is not a hexadecimal number");
        }
        break;
      case Step::kExtension:
        if (c == '\r') {
          step_ = Step::kSizeLf;
        } else if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f ||
                   ++line_bytes_ > kMaxLineBytes) {
          return fail("a chunk's extension is malformed or too long");
        }
        break;
      case Step::kSizeLf:
        if (c != '\n') return fail("a chunk's size must end in CR LF");
        line_bytes_ = 0;
        trailer_line_empty_ = true;
        step_ = left_ == 0 ? Step::kTrailer : Step::kData;
        break;
      case Step::kDataCr:
        if (c != '\r') return fail("a chunk is longer than its size says");
        step_ = Step::kDataLf;
        break;
      case Step::kDataLf:
        if (c != '\n') return fail("a chunk must end in CR LF");
        step_ = Step::kSize;
        digits_ = 0;
        break;
      case Step::kTrailer:
        if (c == '\n') return fail("trailer lines must end in CR LF");
        if (++line_bytes_ > kMaxTrailerBytes) return fail("the trailer is too long");
        if (c == '\r') {
          step_ = Step::kTrailerLf;
        } else {
          trailer_line_empty_ = false;
        }
        break;
      case Step::kTrailerLf:
        if (c != '\n') return fail("trailer lines must end in CR LF");
        step_ = trailer_line_empty_ ? Step::kDone : Step::kTrailer;
        trailer_line_empty_ = true;
        break;
      case Step::kData:
      case Step::kDone:
      case Step::kError:
        break;
    }
  }
  *read = at;
  return step_ == Step::kDone ? State::kDone : State::kNeedMore;
}

}  // namespace leadsman::net
