#include "monitor/quality/label_coverage.h"

#include <algorithm>
#include <cmath>

#include "math/byte_form.h"

namespace leadsman {
namespace {

constexpr int64_t kMinuteMs = 60'000;

struct Level {
  int64_t unit_ms;
  int64_t slots;  ///< older ones go to the next level
};
constexpr Level kOfLevel[] = {{kMinuteMs, 60}, {60 * kMinuteMs, 24}, {24 * 60 * kMinuteMs, 400}};

struct Range {
  const char* up_to;
  size_t level;
  int64_t slots;
};
constexpr Range kRanges[] = {{"10m", 0, 10}, {"1h", 0, 61},  {"6h", 1, 6},    {"1d", 1, 25},
                             {"7d", 2, 7},   {"30d", 2, 30}, {"400d", 2, 401}};

}  // namespace

void LabelCoverage::GrowOlder(int64_t now_ms) {
  for (size_t i = 0; i < kLevels; ++i) {
    const Level& level = kOfLevel[i];
    const int64_t oldest = now_ms / level.unit_ms - level.slots + 1;
    Slots& slots = levels_[i];
    while (!slots.empty() && slots.begin()->first < oldest) {
      auto [slot, counts] = *slots.begin();
      slots.erase(slots.begin());
      if (i + 1 == kLevels) continue;
      Counts& to = levels_[i + 1][slot * level.unit_ms / kOfLevel[i + 1].unit_ms];
      to.predictions += counts.predictions;
      to.labelled += counts.labelled;
    }
    // A clock that was far ahead for a while leaves slots of a future that does not come.
    while (slots.size() > static_cast<size_t>(2 * level.slots)) slots.erase(slots.begin());
  }
}

void LabelCoverage::AddPrediction(int64_t made_ms, double weight, int64_t now_ms) {
  const int64_t slot = std::max<int64_t>(made_ms, 0) / kMinuteMs;
  auto [at, fresh] = levels_[0].try_emplace(slot);
  at->second.predictions += weight;
  if (fresh) GrowOlder(now_ms);
}

void LabelCoverage::AddLabel(int64_t made_ms, double weight) {
  for (size_t i = 0; i < kLevels; ++i) {
    auto slot = levels_[i].find(made_ms / kOfLevel[i].unit_ms);
    if (slot == levels_[i].end()) continue;
    slot->second.labelled += weight;
    return;
  }
}

std::vector<LabelCoverage::Age> LabelCoverage::ByAge(int64_t now_ms) {
  GrowOlder(now_ms);
  std::vector<Age> ages;
  int64_t from = 0;
  for (size_t i = 0; i < std::size(kRanges); ++i) {
    const Range& range = kRanges[i];
    if (i > 0 && kRanges[i - 1].level != range.level) from = 0;
    Age age{.up_to = range.up_to};
    const int64_t now_slot = now_ms / kOfLevel[range.level].unit_ms;
    for (const auto& [slot, counts] : levels_[range.level]) {
      const int64_t back = std::max<int64_t>(now_slot - slot, 0);
      if (back < from || back >= range.slots) continue;
      age.predictions += counts.predictions;
      age.labelled += counts.labelled;
    }
    from = range.slots;
    if (age.predictions > 0) ages.push_back(age);
  }
  return ages;
}

LabelCoverage::Age LabelCoverage::All() const {
  Age all{.up_to = "400d"};
  for (const Slots& slots : levels_) {
    for (const auto& [slot, counts] : slots) {
      all.predictions += counts.predictions;
      all.labelled += counts.labelled;
    }
  }
  return all;
}

void LabelCoverage::Write(ByteWriter& to) const {
  for (const Slots& slots : levels_) {
    to.Varint(slots.size());
    for (const auto& [slot, counts] : slots) {
      to.Fixed64(static_cast<uint64_t>(slot));
      to.Double(counts.predictions);
      to.Double(counts.labelled);
    }
  }
}

void LabelCoverage::Read(ByteReader& from) {
  *this = {};
  for (size_t i = 0; i < kLevels; ++i) {
    const uint64_t size = from.Varint();
    if (size > static_cast<uint64_t>(2 * kOfLevel[i].slots) + 1) from.Fail();
    for (uint64_t n = 0; n < size && from.ok(); ++n) {
      const auto slot = static_cast<int64_t>(from.Fixed64());
      const Counts counts{from.Double(), from.Double()};
      // Far enough from the limits that a slot can be told in milliseconds.
      if (slot < 0 || slot > INT64_MAX / kOfLevel[i].unit_ms ||
          !std::isfinite(counts.predictions) || !std::isfinite(counts.labelled))
        from.Fail();
      levels_[i][slot] = counts;
    }
  }
  if (!from.ok()) *this = {};
}

}  // namespace leadsman
