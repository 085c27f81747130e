#include "backend/python/worker_protocol.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/strings.h"

namespace leadsman::python {
namespace {

/// A region with `outputs` FP32 vectors of `bytes` each, which begin at `first` and then every `step` bytes.
struct Answer {
  Answer(size_t outputs, size_t size, uint64_t bytes, uint64_t first, uint64_t step)
      : region(size) {
    char* at = region.data();
    for (size_t i = 0; i < outputs; ++i) {
      signature.outputs.push_back({StrCat("y", i), DataType::kFp32, {-1}});
      const TensorHead head{.type = static_cast<uint8_t>(DataType::kFp32),
                            .rank = 1,
                            .index = static_cast<uint16_t>(i),
                            .offset = first + i * step,
                            .bytes = bytes};
      const auto dim = static_cast<int64_t>(bytes / sizeof(float));
      std::memcpy(at, &head, sizeof head);
      std::memcpy(at + sizeof head, &dim, sizeof dim);
      at += sizeof head + sizeof dim;
    }
    done = {.kind = MessageKind::kDone,
            .count = static_cast<uint16_t>(outputs),
            .a = static_cast<uint64_t>(at - region.data())};
  }
  Status Read() { return ReadOutputs(signature, done, region, out); }

  Signature signature;
  std::vector<char> region;
  Message done;
  OutputBuffer out;
};

TEST(WorkerProtocolTest, OutputsThatShareMemoryAreRefusedByName) {
  Answer apart(4, 4096, 512, 128, 1024 - 128);
  ASSERT_TRUE(apart.Read().ok()) << apart.Read();
  EXPECT_EQ(apart.out.views().size(), 4u);
  // Each of them lies in the region; together they are as large as sixty-four regions.
  Answer same(64, 4096, 4096, 0, 0);
  EXPECT_EQ(same.Read(), InternalError("the Python worker's answer is broken: the output y1 "
                                       "overlaps another output"));
}

}  // namespace
}  // namespace leadsman::python
