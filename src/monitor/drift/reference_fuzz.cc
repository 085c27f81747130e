// References, and the files that they are made of. Whatever the bytes, the parsers answer; a reference that one takes is
// written to bytes that read as the same, and can be compared with. The first byte chooses the parser.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "monitor/drift/drift_report.h"
#include "monitor/drift/drift_track.h"
#include "monitor/drift/reference.h"
#include "monitor/drift/reference_file.h"

namespace leadsman {
namespace {

void CompareWith(std::shared_ptr<const Reference> reference) {
  std::vector<std::string> names;
  for (const ReferenceNumber& n : reference->numbers) names.push_back(n.name);
  DriftOptions options;
  options.window_rows = 4;
  DriftTrack track(DriftTrack::Of::kInputs, names, options, {.rows = 100});
  SteadyTime now{};
  CHECK(track.Use(reference, now));
  std::array<float, Reference::kMaxNumbers> row{};
  const std::string_view classes[] = {"7"};
  for (int i = 0; i < 16; ++i) {
    row.fill(i % 5 == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(i) - 8);
    now += DriftTrack::kBetweenLooks;
    track.Add(row, classes, {}, now);
  }
  CHECK(track.window() != nullptr);
  for (size_t i = 0; i < reference->numbers.size(); ++i) (void)DistancesOf(track, i);
  CHECK(track.RestoreEvidence(track.EvidenceBytes(now), now));
}

void References(std::string_view bytes) {
  auto reference = Reference::Parse(bytes);
  if (!reference) return;
  auto again = Reference::Parse(reference->ToBytes());
  CHECK(again.has_value());
  CHECK(again->ToBytes() == reference->ToBytes());
  CompareWith(std::make_shared<const Reference>(std::move(*reference)));
}

void Evidence(std::string_view bytes) {
  ReferenceBuilder builder({"x"});
  for (int i = 0; i < 200; ++i) {
    const float row[] = {static_cast<float>(i % 7)};
    builder.Add(row, {});
  }
  DriftTrack track(DriftTrack::Of::kInputs, {"x"}, {}, {.rows = 100});
  track.Use(std::make_shared<const Reference>(builder.Build(ReferenceFrom::kFile, 0)), {});
  (void)track.RestoreEvidence(bytes, {});
}

}  // namespace
}  // namespace leadsman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace leadsman;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      References(bytes);
      break;
    case 1:
      Evidence(bytes);
      break;
    case 2:
      (void)ParseReferenceCsv(bytes);
      break;
    default:
      (void)ParseReferenceNpz(bytes);
      break;
  }
  return 0;
}
