#include "intake/plain_body.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

bool IsPlainEncoding(std::string_view encoding) {
  return encoding.empty() || EqualsIgnoreCase(encoding, "identity");
}
bool CanInflate(std::string_view encoding) {
  return EqualsIgnoreCase(encoding, "gzip") || EqualsIgnoreCase(encoding, "x-gzip") ||
         EqualsIgnoreCase(encoding, "deflate");
}

}  // namespace

bool PlainBody::Read(const HttpBody& body, BodyCounters& counters) {
  using State = HttpBody::State;
  switch (body.state) {
    case State::kAbsent:
      ++counters.absent;
      return false;
    case State::kTooLong:
      ++counters.too_long;
      return false;
    case State::kNoMemory:
      ++counters.no_memory;
      return false;
    case State::kOtherType:
      ++counters.other_type;
      return false;
    case State::kWhole:
      break;
  }
  id_ = {};
  if (body.call != GrpcMethod::kNone) return ReadCall(body, counters);
  text_ = body.body;
  if (!IsPlainEncoding(body.content_encoding)) {
    size_t size = 0;
    if (!CanInflate(body.content_encoding) ||
        inflater_.Inflate(body.body, max_body_, buffer_, &size) != net::Inflater::Outcome::kOk) {
      ++counters.encoding;
      return false;
    }
    text_ = std::string_view(buffer_.data(), size);
  }
  divided_ = !body.json_bytes || *body.json_bytes <= text_.size();
  const size_t json_bytes =
      divided_ && body.json_bytes ? static_cast<size_t>(*body.json_bytes) : text_.size();
  json_ = text_.substr(0, json_bytes);
  behind_ = text_.substr(json_bytes);
  return true;
}

bool PlainBody::ReadCall(const HttpBody& body, BodyCounters& counters) {
  const GrpcBody::Outcome outcome = grpc_.Read(body, side_);
  if (outcome != GrpcBody::Outcome::kRead) {
    ++(outcome == GrpcBody::Outcome::kEncoding ? counters.encoding : counters.not_understood);
    return false;
  }
  text_ = grpc_.message();
  json_ = grpc_.json();
  behind_ = grpc_.behind();
  id_ = grpc_.id();
  divided_ = true;
  return true;
}

}  // namespace leadsman::intake
