// The byte forms of all sketches and of detectors. Whatever the bytes, the parsers answer; what one takes it writes
// to bytes that read as the same sketch, and the sketch can be used and merged.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "math/block_detector.h"
#include "math/distinct_count.h"
#include "math/heavy_hitters.h"
#include "math/quantile_sketch.h"
#include "math/reference_bins.h"

namespace leadsman {
namespace {

template <typename Sketch>
std::optional<Sketch> Read(std::string_view bytes) {
  std::optional<Sketch> sketch = Sketch::Parse(bytes);
  if (!sketch) return std::nullopt;
  std::optional<Sketch> again = Sketch::Parse(sketch->ToBytes());
  CHECK(again.has_value());
  CHECK(*again == *sketch);
  return sketch;
}

void Quantiles(std::string_view bytes) {
  auto sketch = Read<QuantileSketch>(bytes);
  if (!sketch) return;
  uint64_t count = sketch->count();
  CHECK(sketch->Quantile(0.1) <= sketch->Quantile(0.9));
  CHECK(std::isfinite(sketch->Quantile(0.5)));
  CHECK(ReferenceBins::FromSketch(*sketch).Count(*sketch).total() == count + sketch->non_finite());
  sketch->Add(-1.5);
  sketch->Merge(*sketch);
  CHECK(sketch->count() == 2 * count + 2);
}

void Frequencies(std::string_view bytes) {
  auto sketch = Read<HeavyHitters>(bytes);
  if (!sketch) return;
  sketch->Add("one more");
  HeavyHitters twice = *sketch;
  twice.Merge(*sketch);
  CHECK(twice.total() == 2 * sketch->total());
  CHECK(twice.Unseen() <= twice.total() / twice.capacity());
}

void Different(std::string_view bytes) {
  auto sketch = Read<DistinctCount>(bytes);
  if (!sketch) return;
  DistinctCount twice = *sketch;
  twice.Merge(*sketch);
  CHECK(twice == *sketch);
  CHECK(sketch->Estimate() >= 0);
}

void Binned(std::string_view bytes) {
  auto bins = Read<ReferenceBins>(bytes);
  auto counts = Read<BinnedCounts>(bytes);
  if (bins) CHECK(bins->IndexOf(0) < bins->size());
  if (counts) CHECK(counts->Merge(*counts));
}

void Detectors(std::string_view bytes) {
  auto detector = Read<BlockDetector>(bytes);
  if (!detector) return;
  detector->Look(0.5);
  CHECK(detector->evidence() >= 0);
  CHECK(detector->reference_blocks() <= BlockDetector::kMaxBlocks);
}

}  // namespace
}  // namespace leadsman

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  leadsman::Quantiles(bytes);
  leadsman::Frequencies(bytes);
  leadsman::Different(bytes);
  leadsman::Binned(bytes);
  leadsman::Detectors(bytes);
  return 0;
}
