#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "backend/python/python_backend.h"
#include "backend/python/worker_protocol.h"
#include "base/check.h"

// What a worker answers, byte for byte of the fuzzer's choice: the head of the input is the message, the rest the region. What
// is accepted lies in the server's own memory and agrees with the signature. The same bytes as a worker's signature.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;
  using namespace leadsman::python;
  static const Signature signature{{},
                                   {{"numbers", DataType::kFp32, {-1, 2}},
                                    {"text", DataType::kBytes, {-1}},
                                    {"yes", DataType::kBool, {-1}}}};
  const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
  (void)ParseWorkerSignature(std::string(bytes.data(), bytes.size()));

  Message message;
  if (size < sizeof message) return 0;
  std::memcpy(&message, data, sizeof message);
  // Memory of exactly the region's size: a read beyond it is seen.
  const std::vector<char> region(bytes.begin() + sizeof message, bytes.end());
  (void)ReadText(message, region, 4096);
  OutputBuffer out;
  for (int twice = 0; twice < 2; ++twice) {
    if (!ReadOutputs(signature, message, region, out).ok()) return 0;
    CHECK(out.views().size() == signature.outputs.size());
    size_t touched = 0;
    for (const TensorView& view : out.views()) {
      CHECK(view.shape.ElementCount() == view.element_count);
      const auto count = static_cast<size_t>(view.element_count);
      for (size_t i = 0; i < count; ++i) {
        if (view.type == DataType::kBytes) {
          for (char c : view.as<std::string_view>()[i]) touched += static_cast<unsigned char>(c);
        } else if (view.type == DataType::kBool) {
          CHECK(view.as<uint8_t>()[i] <= 1);
        } else {
          touched += view.as<float>()[i] > 0 ? 1 : 0;
        }
      }
    }
    CHECK(touched != SIZE_MAX);  // so that the reading is not left out
  }
  return 0;
}
