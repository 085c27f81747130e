#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "protocol/tfserving/example_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman::tfserving;
  Example example;
  ExampleRoom room(4 << 20);
  if (!ParseExample({reinterpret_cast<const char*>(data), size}, room, example).ok()) return 0;
  // What was read is written, and reads back the same.
  std::string written = SerializeExample(example, {});
  Example again;
  ExampleRoom more(SIZE_MAX);
  CHECK(ParseExample(written, more, again).ok());
  CHECK(SerializeExample(again, {}) == written);
  return 0;
}
