#include "intake/read_buffer.h"

#include <gtest/gtest.h>

#include <cstring>

namespace leadsman::intake {
namespace {

TEST(ReadBufferTest, BytesOfAFileLieAsInItsPages) {
  for (size_t size : {1, 100, 4096}) {
    ReadBuffer buffer(size);
    ASSERT_EQ(buffer.size(), size);
    for (uint64_t offset : {0, 1, 63, 64, 65, 4095, 1'000'003}) {
      char* const at = buffer.At(offset);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(at) % 64, offset % 64);
      std::memset(at, 1, size);  // all of it is there
    }
  }
}

}  // namespace
}  // namespace leadsman::intake
