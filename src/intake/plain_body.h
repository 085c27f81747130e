#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "events/exchange.h"
#include "intake/grpc_body.h"
#include "net/compression.h"
#include "net/padded_buffer.h"

namespace leadsman::intake {

/// What became of the bodies of one side. Written by one thread, read by any.
struct BodyCounters {
  using Counter = std::atomic<uint64_t>;
  Counter decoded{0};
  Counter not_understood{0};
  Counter too_long{0};
  Counter no_memory{0};
  Counter encoding{0};  ///< of an unknown content-encoding, or broken
  Counter binary{0};    ///< gRPC
  Counter absent{0};
  Counter other_type{0};  ///< of a content type that holds no predictions

  /// Of which inputs or predictions were expected, and not found.
  uint64_t lost() const { return not_understood + too_long + no_memory + encoding; }
};

/// A body as its server wrote it, before it was compressed; of a call, its message. Confined to one thread; keeps its buffers.
class PlainBody {
 public:
  using Side = GrpcBody::Side;
  /// `max_body`: of one that was compressed.
  PlainBody(size_t max_body, Side side) : max_body_(max_body), side_(side), grpc_(max_body) {}

  /// False, and counted, when it is not there, cannot be inflated, or is no message of its call. What the others say is valid until
  /// the next call, and while the body is.
  bool Read(const HttpBody& body, BodyCounters& counters);
  std::string_view text() const { return text_; }

  /// Of V2's binary extension: false when the JSON is said to be longer than the body.
  bool divided() const { return divided_; }
  std::string_view json() const { return json_; }
  std::string_view behind() const { return behind_; }  ///< the JSON: tensors
  /// The request's, as a call's message says it; empty: it says none.
  std::string_view id() const { return id_; }

 private:
  bool ReadCall(const HttpBody& body, BodyCounters& counters);

  const size_t max_body_;
  const Side side_;
  net::Inflater inflater_;
  net::PaddedBuffer buffer_;
  GrpcBody grpc_;
  std::string_view text_, json_, behind_, id_;
  bool divided_ = true;
};

}  // namespace leadsman::intake
