// Heads of upstreams' answers, in pieces of any size: the pieces make no difference, and what is understood lies in the bytes.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/answer_head.h"

using namespace leadsman::net;  // NOLINT: a fuzz target is one function

namespace {

std::string Parse(std::string_view all, size_t piece) {
  AnswerHeadParser parser(4096);
  AnswerHead head;
  ParseState state = ParseState::kNeedMore;
  for (size_t have = 0; state == ParseState::kNeedMore && have < all.size();) {
    have = std::min(all.size(), have + piece);
    state = parser.Feed(all.substr(0, have), head);
  }
  if (state != ParseState::kDone) return "";
  CHECK(head.size <= all.size());
  CHECK(!(head.chunked && head.content_length));
  std::string seen = std::to_string(head.status) + std::string(head.reason);
  for (const HttpRequest::Field& field : head.fields) {
    CHECK(field.name.data() >= all.data() && field.name.data() <= all.data() + all.size());
    CHECK(field.value.find('\n') == std::string_view::npos);
    seen.append(field.name).append(field.value);
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string whole = Parse(all, all.size() + 1);
  const std::string pieces = Parse(all, 3);
  // A bare LF is seen as soon as it is there, a line before it was whole or not.
  if (!whole.empty() && !pieces.empty()) CHECK(whole == pieces);
  return 0;
}
