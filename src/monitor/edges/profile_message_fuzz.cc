// Messages of profiles. Whatever the bytes, the reader answers; what it takes is written to bytes that read as the same, and can
// be merged. The checksum is set right, or the fuzzer would see nothing but that.
#include <zlib.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "math/byte_form.h"
#include "monitor/edges/profile_message.h"
#include "monitor/version_profile.h"

namespace leadsman {
namespace {

std::string Bytes(const IntervalProfile& profile) {
  ByteWriter out('p', 1);
  profile.Write(out);
  return std::move(out).Take();
}

void CheckOne(const IntervalProfile& profile) {
  const std::string bytes = Bytes(profile);
  ByteReader in(bytes, 'p', 1);
  IntervalProfile again;
  CHECK(again.Read(in).ok() && in.Finished());
  CHECK(Bytes(again) == bytes);
  VersionProfile merged({profile.model, profile.version}, std::chrono::seconds(10));
  merged.Merge(profile, {}, {});
  merged.Merge(again, {}, {});
  CHECK(merged.Totals().requests == 2 * profile.requests.total());
  for (const FeatureProfile& feature : profile.content.features) {
    CHECK(std::isfinite(feature.mean()) && std::isfinite(feature.standard_deviation()));
    CHECK(std::isfinite(feature.sketch().Quantile(0.5)));
  }
  (void)merged.ToJson();
}

}  // namespace
}  // namespace leadsman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size >= 4) {
    bytes.resize(size - 4);
    const auto sum = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(sum >> (8 * i)));
  }
  (void)leadsman::ReadProfileMessage(
      bytes, [](leadsman::IntervalProfile&& profile) { leadsman::CheckOne(profile); });
  return 0;
}
