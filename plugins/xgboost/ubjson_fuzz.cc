#include <cstddef>
#include <cstdint>

#include "ubjson.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  leadsman_xgboost::CheckUbjson({reinterpret_cast<const char*>(data), size});
  leadsman_xgboost::CheckJsonDepth({reinterpret_cast<const char*>(data), size});
  return 0;
}
