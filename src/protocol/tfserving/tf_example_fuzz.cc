#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "protocol/tfserving/example_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman::tfserving;
  Example example;
  if (!ParseExample({reinterpret_cast<const char*>(data), size}, example).ok()) return 0;
  // What was read is written, and reads back the same.
  std::string written = SerializeExample(example, {});
  Example again;
  CHECK(ParseExample(written, again).ok());
  CHECK(SerializeExample(again, {}) == written);
  return 0;
}
