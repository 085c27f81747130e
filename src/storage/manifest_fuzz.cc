#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "storage/manifest.h"

// Whatever the bytes, the parser answers; what it accepts it can write and read again to the same
// text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;
  Result<Manifest> manifest = ParseManifest({reinterpret_cast<const char*>(data), size});
  if (!manifest.ok()) return 0;
  std::string json = ManifestToJson(*manifest);
  Result<Manifest> again = ParseManifest(json);
  CHECK(again.ok());
  CHECK(ManifestToJson(*again) == json);
  return 0;
}
