#include "monitor/value_variety.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "math/byte_form.h"
#include "math/sketch_hash.h"

namespace leadsman {
namespace {

constexpr char kKind = 'V';
constexpr uint8_t kVersion = 1;

bool IsNumber(std::string_view key) {
  float value;
  if (key.size() != sizeof value) return false;
  std::memcpy(&value, key.data(), sizeof value);
  return std::isfinite(value);
}

}  // namespace

void ValueVariety::Add(float value, double weight) {
  if (!std::isfinite(value)) return;
  if (value == 0) value = 0;  // and so is -0
  distinct_.Add(SketchHash(static_cast<double>(value)));
  uint64_t count =
      std::clamp<uint64_t>(static_cast<uint64_t>(std::llround(weight)), 1, kMostEach / kSampled);
  if (!distinct_.exact()) {
    // By chance, and not each sixteenth: rows may come in turns.
    if (Rng::Mix(++seen_) % kSampled != 0) return;
    count *= kSampled;
  }
  most_each_ = std::max(most_each_, count);
  char key[sizeof value];
  std::memcpy(key, &value, sizeof value);
  frequent_.Add({key, sizeof key}, count);
}

void ValueVariety::Merge(const ValueVariety& other) {
  distinct_.Merge(other.distinct_);
  frequent_.Merge(other.frequent_);
  seen_ += other.seen_;
  most_each_ = std::max(most_each_, other.most_each_);
}

std::vector<ValueVariety::Frequent> ValueVariety::MostFrequent(size_t most) const {
  std::vector<Frequent> told;
  const auto total = static_cast<double>(frequent_.total());
  for (const HeavyHitters::Value& value : frequent_.Top(kKept)) {
    const double share = static_cast<double>(value.at_least) / total;
    if (value.at_least < kFewestTold * most_each_ || share < kLeastShare) continue;
    Frequent& frequent = told.emplace_back();
    std::memcpy(&frequent.value, value.key.data(), sizeof frequent.value);
    frequent.at_least = share;
    frequent.at_most = static_cast<double>(value.at_most) / total;
    if (told.size() == most) break;
  }
  return told;
}

std::string ValueVariety::ToBytes() const {
  ByteWriter to(kKind, kVersion);
  to.Varint(seen_);
  to.Varint(most_each_);
  to.Text(distinct_.ToBytes());
  to.Text(frequent_.ToBytes());
  return std::move(to).Take();
}

bool ValueVariety::Parse(std::string_view bytes) {
  *this = {};
  ByteReader from(bytes, kKind, kVersion);
  const uint64_t seen = from.Varint(), most_each = from.Varint();
  const auto distinct = DistinctCount::Parse(from.Text(kMostBytes));
  const auto frequent = HeavyHitters::Parse(from.Text(kMostBytes));
  if (!from.Finished() || !distinct || !frequent || frequent->capacity() != kKept ||
      most_each == 0 || most_each > kMostEach)
    return false;
  for (const HeavyHitters::Value& value : frequent->Top(kKept)) {
    if (!IsNumber(value.key)) return false;
  }
  distinct_ = *distinct;
  frequent_ = *frequent;
  seen_ = seen;
  most_each_ = most_each;
  return true;
}

}  // namespace leadsman
