#include "intake/content_mark.h"

#include <algorithm>
#include <cstring>

#include "base/rng.h"
#include "intake/content_reader.h"

namespace leadsman {

uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = 0x6c656164736d616eull ^ bytes.size();
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t n = std::min(bytes.size(), sizeof(word));
    std::memcpy(&word, bytes.data(), n);
    hash = Rng::Mix(hash ^ word) + 0x9e3779b97f4a7c15ull;
    bytes.remove_prefix(n);
  }
  return hash;
}

Match MatchHead(ContentReader& reader, BytesPrint& head) {
  char bytes[kHeadBytes];
  auto n = reader.ReadAt(0, bytes, sizeof(bytes));
  if (!n.ok()) return Match::kOther;
  const std::string_view there(bytes, *n);
  const std::string_view then = there.substr(0, head.bytes);
  if (then.size() < head.bytes) return Match::kTooShort;
  if (HashBytes(then) != head.hash && head.bytes > 0) return Match::kOther;
  if (there.size() > head.bytes) head = PrintOf(there);
  return Match::kSame;
}

Match MatchContent(ContentReader& reader, const ContentMark& mark, std::string* recent) {
  BytesPrint head = mark.head;
  if (Match match = MatchHead(reader, head); match != Match::kSame) return match;
  const uint64_t wanted = std::min<uint64_t>(mark.position, kTailBytes);
  std::string bytes(wanted, '\0');
  auto n = reader.ReadAt(mark.position - wanted, bytes.data(), bytes.size());
  if (!n.ok()) return Match::kOther;
  if (*n < wanted) return Match::kTooShort;
  const std::string_view tail =
      std::string_view(bytes).substr(bytes.size() - std::min<size_t>(mark.tail.bytes, wanted));
  if (!tail.empty() && HashBytes(tail) != mark.tail.hash) return Match::kOther;
  if (recent != nullptr) *recent = std::move(bytes);
  return Match::kSame;
}

}  // namespace leadsman
