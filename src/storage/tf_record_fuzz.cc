#include <cstdint>
#include <cstdio>

#include "base/check.h"
#include "storage/tf_record.h"

using namespace leadsman;

/// A file of records. What is read has the right checksum: the fuzzer finds good ones in the corpus only.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;  // fmemopen takes no empty one
  std::FILE* file = fmemopen(const_cast<uint8_t*>(data), size, "rb");
  CHECK(file != nullptr);
  TfRecordReader reader(file, "input");
  size_t taken = 0;
  while (true) {
    Result<std::optional<std::string_view>> record = reader.Next();
    if (!record.ok()) {
      CHECK(record.status().code() == StatusCode::kDataLoss);
      return 0;
    }
    if (!*record) break;
    taken += 16 + (*record)->size();
    CHECK(taken <= size);
  }
  CHECK(taken == size);
  return 0;
}
