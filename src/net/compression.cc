#include "net/compression.h"

#include <zlib.h>

#include <algorithm>

namespace leadsman::net {
namespace {

constexpr int kGzipOrZlib = 15 + 32;
constexpr int kRaw = -15;
constexpr int kGzip = 15 + 16;
constexpr int kZlib = 15;
constexpr size_t kMaxInput = size_t(1) << 30;  // zlib counts in 32 bits

Bytef* In(std::string_view v) { return reinterpret_cast<Bytef*>(const_cast<char*>(v.data())); }

}  // namespace

struct Inflater::State {
  z_stream stream{};
  bool ready = false;
  ~State() {
    if (ready) inflateEnd(&stream);
  }
};

Inflater::Inflater() : state_(std::make_unique<State>()) {}
Inflater::~Inflater() = default;

Inflater::Outcome Inflater::Inflate(std::string_view in, size_t limit, PaddedBuffer& out,
                                    size_t* size) {
  Outcome outcome = Run(in, kGzipOrZlib, limit, out, size);
  bool gzip = in.size() >= 2 && in[0] == '\x1f' && in[1] == '\x8b';
  if (outcome == Outcome::kCorrupt && !gzip) outcome = Run(in, kRaw, limit, out, size);
  return outcome;
}

Inflater::Outcome Inflater::Run(std::string_view in, int window_bits, size_t limit,
                                PaddedBuffer& out, size_t* size) {
  z_stream& stream = state_->stream;
  *size = 0;
  if (in.size() > kMaxInput) return Outcome::kTooLarge;
  int rc = state_->ready ? inflateReset2(&stream, window_bits) : inflateInit2(&stream, window_bits);
  if (rc != Z_OK) return Outcome::kCorrupt;
  state_->ready = true;
  stream.next_in = In(in);
  stream.avail_in = uInt(in.size());
  // One byte beyond the limit shows that there is more.
  const size_t most = limit + 1;
  for (;;) {
    if (*size == out.capacity()) {
      if (*size >= most) return Outcome::kTooLarge;
      out.Resize(std::min(most, std::max({size_t(4096), in.size() * 4, *size * 2})));
    }
    size_t room = std::min({out.capacity() - *size, most - *size, kMaxInput});
    if (room == 0) return Outcome::kTooLarge;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + *size);
    stream.avail_out = uInt(room);
    rc = inflate(&stream, Z_NO_FLUSH);
    *size += room - stream.avail_out;
    if (*size > limit) return Outcome::kTooLarge;
    if (rc == Z_STREAM_END) {
      if (stream.avail_in == 0) return Outcome::kOk;
      // gzip allows several members, one after the other. What else follows is not part of a body.
      if (window_bits == kRaw || stream.next_in[0] != 0x1f || inflateReset(&stream) != Z_OK) {
        return Outcome::kCorrupt;
      }
      continue;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) return Outcome::kCorrupt;
    // All input is there: room left over and no end means that it was cut off.
    if (stream.avail_in == 0 && stream.avail_out > 0) return Outcome::kCorrupt;
  }
}

struct Deflater::State {
  z_stream stream{};
  bool ready = false;
  ~State() {
    if (ready) deflateEnd(&stream);
  }
};

Deflater::Deflater(Format format) : format_(format), state_(std::make_unique<State>()) {}
Deflater::~Deflater() = default;

bool Deflater::Compress(std::string_view in, std::string& out) {
  z_stream& stream = state_->stream;
  if (in.size() > kMaxInput) return false;
  // Level 1: answers are compressed once and read once; most of the gain for a third of the time.
  int rc = state_->ready
               ? deflateReset(&stream)
               : deflateInit2(&stream, 1, Z_DEFLATED, format_ == Format::kGzip ? kGzip : kZlib, 8,
                              Z_DEFAULT_STRATEGY);
  if (rc != Z_OK) return false;
  state_->ready = true;
  out.resize(deflateBound(&stream, uLong(in.size())));
  stream.next_in = In(in);
  stream.avail_in = uInt(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = uInt(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return false;
  out.resize(out.size() - stream.avail_out);
  return true;
}

}  // namespace leadsman::net
