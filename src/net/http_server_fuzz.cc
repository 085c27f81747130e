// The whole path of outside bytes up to the handler, without sockets: head, chunks, inflating; in
// pieces of any size.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/chunk_decoder.h"
#include "net/compression.h"
#include "net/head_parser.h"

using namespace leadsman::net;  // NOLINT: a fuzz target is one function

namespace {

struct Seen {
  ParseState state = ParseState::kNeedMore;
  RequestHead head;
  std::string target;
  std::string body;
  bool body_done = false;
  size_t used = 0;
  bool operator==(const Seen& o) const {
    return state == o.state && head.size == o.head.size && target == o.target && body == o.body &&
           body_done == o.body_done && used == o.used;
  }
};

Seen Parse(std::string_view all, size_t piece) {
  Seen seen;
  HttpRequest request;
  HeadParser parser(4096);
  size_t have = 0;
  while (seen.state == ParseState::kNeedMore && have < all.size()) {
    have = std::min(all.size(), have + piece);
    seen.state = parser.Feed(all.substr(0, have), request, seen.head);
  }
  if (seen.state != ParseState::kDone) return seen;
  const char* first = all.data();
  const char* last = all.data() + all.size();
  auto inside = [&](std::string_view v) {
    CHECK(v.empty() || (v.data() >= first && v.data() + v.size() <= last));
  };
  CHECK(seen.head.size <= all.size());
  inside(request.method);
  inside(request.target);
  inside(request.path);
  inside(request.query);
  for (const HttpRequest::Field& field : request.fields) {
    inside(field.name);
    inside(field.value);
  }
  CHECK(!(seen.head.chunked && seen.head.content_length != 0));
  seen.target = request.target;
  seen.used = seen.head.size;
  std::string rest(all.substr(seen.head.size));
  if (seen.head.chunked) {
    ChunkDecoder chunks;
    size_t decoded = 0;
    size_t at = 0;
    ChunkDecoder::State state = ChunkDecoder::State::kNeedMore;
    while (state == ChunkDecoder::State::kNeedMore && at < rest.size()) {
      size_t read = 0;
      size_t written = 0;
      size_t n = std::min(piece, rest.size() - at);
      state = chunks.Feed(rest.data() + at, n, rest.data() + decoded, &read, &written);
      CHECK(written <= n && read <= n);
      at += read;
      decoded += written;
      CHECK(decoded <= at);
    }
    // Whether an error is met, and behind which bytes, must not depend on how they arrived.
    seen.body_done = state == ChunkDecoder::State::kDone;
    if (state == ChunkDecoder::State::kError) return seen;
    seen.body = rest.substr(0, decoded);
    seen.used += at;
  } else {
    seen.body = rest.substr(0, size_t(std::min<uint64_t>(seen.head.content_length, rest.size())));
    seen.body_done = seen.body.size() == seen.head.content_length;
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view all(reinterpret_cast<const char*>(data), size);
  Seen whole = Parse(all, size + 1);
  // A head that is refused early may be refused for another reason when it comes in pieces, but
  // never be accepted.
  Seen bytewise = Parse(all, 1);
  CHECK((whole.state == ParseState::kDone) == (bytewise.state == ParseState::kDone));
  if (whole.state != ParseState::kDone) return 0;
  CHECK(whole == bytewise);
  if (whole.body_done &&
      (whole.head.coding == ContentCoding::kGzip || whole.head.coding == ContentCoding::kDeflate)) {
    Inflater inflater;
    PaddedBuffer out;
    size_t inflated = 0;
    (void)inflater.Inflate(whole.body, 1 << 16, out, &inflated);
    CHECK(inflated <= (1 << 16) + 1);
  }
  return 0;
}
