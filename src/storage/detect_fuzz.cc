#include <cstdint>
#include <string_view>

#include "storage/detect.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman::detect_internal;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)LooksLikeXgboostJson(text);
  (void)LooksLikeXgboostUbjson(text);
  (void)LooksLikeLightgbm(text);
  (void)NativeFlavorOf(text);
  return 0;
}
