#include "serving/request_guard.h"

#include <algorithm>

#include "base/rng.h"

namespace leadsman {
namespace {

constexpr size_t kLongestRequestId = 128;

}  // namespace

bool IsAcceptableRequestId(std::string_view id) {
  return !id.empty() && id.size() <= kLongestRequestId &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

void TakeOrMakeRequestId(std::string_view from_client, std::string& id) {
  if (IsAcceptableRequestId(from_client)) {
    id.assign(from_client);
    return;
  }
  static constexpr char kHex[] = "0123456789abcdef";
  uint64_t bits = RandomBits();
  id.resize(16);
  for (char& c : id) {
    c = kHex[bits & 15];
    bits >>= 4;
  }
}

uint64_t RandomBits() {
  thread_local Rng rng(RandomSeed());
  return rng();
}

}  // namespace leadsman
