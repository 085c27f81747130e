// Any bytes as the answers of two versions to one request: the first byte says how they are read, the second where one ends.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "intake/answer_comparer.h"
#include "intake/exchange_bodies.h"

namespace {

using namespace leadsman;
using namespace leadsman::intake;
using Kind = AnswerDifference::Kind;

HttpBody BodyOf(std::string_view bytes, uint8_t mode) {
  HttpBody body;
  body.state = HttpBody::State::kWhole;
  body.body = bytes;
  body.content_type = (mode & 1) != 0 ? "text/csv" : "application/json";
  if ((mode & 2) != 0) body.content_encoding = "gzip";
  if ((mode & 4) != 0) body.json_bytes = bytes.size() / 2;
  const auto call = static_cast<GrpcMethod>(mode >> 5);
  if (call <= GrpcMethod::kRegress) body.call = call;
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const size_t end = text.size() * data[1] / 255;
  const HttpBody live = BodyOf(text.substr(0, end), data[0]);
  const HttpBody shadow = BodyOf(text.substr(end), data[0]);
  auto mapping = BodyMapping::Create({}, {{"predicted", "p"}, {"score", "q.r"}});
  CHECK(mapping.ok());
  LineParser* const mapped = (data[0] & 16) != 0 ? mapping->response() : nullptr;
  AnswerComparer comparer(64 << 10);
  const AnswerDifference first = comparer.Compare(live, shadow, 1e-5, mapped);
  CHECK(first.kind != Kind::kNotKept);
  CHECK(first.largest.value_or(0) >= 0);
  if (first.kind == Kind::kEqual || first.kind == Kind::kNotUnderstood)
    CHECK(first.largest.value_or(0) == 0);
  // What was kept of the first must not matter.
  const AnswerDifference again = comparer.Compare(live, shadow, 1e-5, mapped);
  CHECK(again.kind == first.kind && again.largest == first.largest);
  const Kind itself = comparer.Compare(live, live, 1e-5, mapped).kind;
  CHECK(itself == Kind::kEqual || itself == Kind::kNotUnderstood);
  return 0;
}
