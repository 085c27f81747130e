#include "intake/envoy_grpc_body.h"

#include <algorithm>

#include "base/strings.h"
#include "base/wire.h"

namespace leadsman::intake {
namespace {

constexpr size_t kPrefix = 5;  // a flag, a length

/// tensorflow.serving.ModelSpec
void ReadModelSpec(std::string_view bytes, CalledByGrpc& out) {
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) out.model = in.bytes();
    if (in.Is(2, WireReader::kBytes)) {
      WireReader wrapped(in.bytes());
      while (wrapped.Next()) {
        if (wrapped.Is(1, WireReader::kVarint))
          out.version = std::max<int64_t>(static_cast<int64_t>(wrapped.varint()), 0);
      }
    }
  }
}

}  // namespace

CalledByGrpc ReadGrpcModel(std::string_view path, std::string_view body) {
  CalledByGrpc out;
  if (body.size() < kPrefix || body[0] != 0) return out;  // compressed
  size_t length = 0;
  for (size_t i = 1; i < kPrefix; ++i) length = length << 8 | static_cast<uint8_t>(body[i]);
  WireReader in(body.substr(kPrefix, length));
  if (path.starts_with("/inference.")) {
    while (in.Next()) {
      if (in.Is(1, WireReader::kBytes)) out.model = in.bytes();
      if (in.Is(2, WireReader::kBytes))
        out.version = std::max<int64_t>(ParseInt64(in.bytes()).value_or(0), 0);
      if (in.field() > 3) break;  // tensors: the rest says nothing of the model
    }
  } else if (path.starts_with("/tensorflow.serving.") && !path.ends_with("/MultiInference")) {
    while (in.Next()) {
      if (in.Is(1, WireReader::kBytes)) {
        ReadModelSpec(in.bytes(), out);
        break;
      }
    }
  }
  return out;
}

}  // namespace leadsman::intake
