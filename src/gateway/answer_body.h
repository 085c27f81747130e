#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/answer_head.h"
#include "net/chunk_decoder.h"
#include "net/stream_socket.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// How the end of a body is told.
enum class Framing { kNone, kLength, kChunked, kUntilClose };
enum class Taken { kMore, kDone, kFailed };

/// `no_body`: by its status, or by the method that was asked with, an answer has none whatever its head says.
inline Framing FramingOf(const net::AnswerHead& answer, bool no_body) {
  if (no_body) return Framing::kNone;
  if (answer.content_length) return *answer.content_length > 0 ? Framing::kLength : Framing::kNone;
  return answer.chunked ? Framing::kChunked : Framing::kUntilClose;
}

/// Takes what has come of an answer's body, and hands it to `pass` without its framing. `left`: of kLength. kFailed: chunks that
/// are none; the input is left as it was.
template <typename Pass>
Taken TakeAnswerBody(net::StreamSocket& socket, Framing framing, uint64_t& left,
                     net::ChunkDecoder& chunks, const Pass& pass) {
  const std::string_view input = socket.input();
  if (framing == Framing::kLength) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(left, input.size()));
    pass(input.substr(0, bytes));
    socket.Take(bytes);
    left -= bytes;
    return left == 0 ? Taken::kDone : Taken::kMore;
  }
  if (framing == Framing::kUntilClose) {
    pass(input);
    socket.Take(input.size());
    return Taken::kMore;
  }
  size_t read = 0;
  size_t written = 0;
  char* const bytes = socket.mutable_input();
  const auto state = chunks.Feed(bytes, input.size(), bytes, &read, &written);
  if (state == net::ChunkDecoder::State::kError) return Taken::kFailed;
  pass(std::string_view(bytes, written));
  socket.Take(read);
  return state == net::ChunkDecoder::State::kDone ? Taken::kDone : Taken::kMore;
}

}  // namespace leadsman::gateway
