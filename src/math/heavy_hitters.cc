#include "math/heavy_hitters.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "math/byte_form.h"
#include "math/sketch_hash.h"

namespace leadsman {
namespace {

constexpr char kKind = 'H';
constexpr uint8_t kVersion = 1;
constexpr uint64_t kMostCounted = uint64_t{1} << 48;  // of one byte form: sums cannot overflow

/// A long value's beginning, cut before a character of UTF-8, and the hash of all of it.
std::string ShortKey(std::string_view key) {
  constexpr size_t kHashText = 17;
  size_t cut = HeavyHitters::kMaxKeyBytes - kHashText;
  while (cut > 0 && (static_cast<uint8_t>(key[cut]) & 0xc0) == 0x80) --cut;
  char hash[kHashText + 1];
  std::snprintf(hash, sizeof hash, "~%016llx", static_cast<unsigned long long>(SketchHash(key)));
  return std::string(key.substr(0, cut)) + hash;
}

bool MoreFrequent(const HeavyHitters::Value& a, const HeavyHitters::Value& b) {
  return a.at_most != b.at_most ? a.at_most > b.at_most : a.key < b.key;
}

}  // namespace

size_t HeavyHitters::TextHash::operator()(std::string_view text) const { return SketchHash(text); }

HeavyHitters::HeavyHitters(size_t capacity) : capacity_(capacity) {
  CHECK(capacity >= 1 && capacity <= kMaxCapacity);
}

void HeavyHitters::Swap(size_t a, size_t b) {
  std::swap(heap_[a], heap_[b]);
  place_[heap_[a]] = static_cast<uint32_t>(a);
  place_[heap_[b]] = static_cast<uint32_t>(b);
}

void HeavyHitters::Sink(size_t place) {
  while (true) {
    size_t rarest = place;
    for (size_t child : {2 * place + 1, 2 * place + 2}) {
      if (child < heap_.size() && counts_[heap_[child]] < counts_[heap_[rarest]]) rarest = child;
    }
    if (rarest == place) return;
    Swap(place, rarest);
    place = rarest;
  }
}

void HeavyHitters::Rise(size_t place) {
  while (place > 0) {
    size_t parent = (place - 1) / 2;
    if (counts_[heap_[parent]] <= counts_[heap_[place]]) return;
    Swap(place, parent);
    place = parent;
  }
}

void HeavyHitters::AddKey(std::string key, uint64_t count, uint64_t error) {
  auto slot = static_cast<uint32_t>(keys_.size());
  slots_.emplace(key, slot);
  keys_.push_back(std::move(key));
  counts_.push_back(count);
  errors_.push_back(error);
  place_.push_back(slot);
  heap_.push_back(slot);
  Rise(slot);
}

void HeavyHitters::Add(std::string_view key, uint64_t count) {
  if (count == 0) return;
  std::string short_key;
  if (key.size() > kMaxKeyBytes) key = short_key = ShortKey(key);
  total_ += count;
  if (auto known = slots_.find(key); known != slots_.end()) {
    counts_[known->second] += count;
    Sink(place_[known->second]);
  } else if (!full()) {
    AddKey(std::string(key), count, 0);
  } else {
    uint32_t slot = heap_[0];
    slots_.erase(slots_.find(std::string_view(keys_[slot])));
    keys_[slot].assign(key);
    slots_.emplace(keys_[slot], slot);
    errors_[slot] = counts_[slot];
    counts_[slot] += count;
    Sink(0);
  }
}

void HeavyHitters::Merge(const HeavyHitters& other) {
  // What one does not keep occurred there at most Unseen() times.
  std::vector<Value> values;
  uint64_t here = Unseen(), there = other.Unseen();
  for (Value& value : Top(capacity_)) {
    auto twin = other.slots_.find(std::string_view(value.key));
    if (twin != other.slots_.end()) {
      value.at_most += other.counts_[twin->second];
      value.at_least += other.counts_[twin->second] - other.errors_[twin->second];
    } else {
      value.at_most += there;
    }
    values.push_back(std::move(value));
  }
  for (Value& value : other.Top(other.capacity_)) {
    if (slots_.contains(std::string_view(value.key))) continue;
    value.at_most += here;
    values.push_back(std::move(value));
  }
  std::sort(values.begin(), values.end(), MoreFrequent);
  capacity_ = std::min(capacity_, other.capacity_);
  total_ += other.total_;
  if (values.size() > capacity_) values.resize(capacity_);
  Assign(std::move(values));
}

void HeavyHitters::Assign(std::vector<Value> values) {
  keys_.clear(), counts_.clear(), errors_.clear(), heap_.clear(), place_.clear(), slots_.clear();
  for (Value& value : values) {
    AddKey(std::move(value.key), value.at_most, value.at_most - value.at_least);
  }
}

std::vector<HeavyHitters::Value> HeavyHitters::Top(size_t n) const {
  std::vector<Value> values;
  for (size_t i = 0; i < keys_.size(); ++i) {
    values.push_back({keys_[i], counts_[i], counts_[i] - errors_[i]});
  }
  std::sort(values.begin(), values.end(), MoreFrequent);
  if (values.size() > n) values.resize(n);
  return values;
}

std::string HeavyHitters::ToBytes() const {
  ByteWriter out(kKind, kVersion);
  out.Varint(capacity_);
  out.Varint(total_);
  out.Varint(keys_.size());
  for (const Value& value : Top(capacity_)) {
    out.Text(value.key);
    out.Varint(value.at_most);
    out.Varint(value.at_most - value.at_least);
  }
  return std::move(out).Take();
}

std::optional<HeavyHitters> HeavyHitters::Parse(std::string_view bytes) {
  ByteReader in(bytes, kKind, kVersion);
  uint64_t capacity = in.Varint(), total = in.Varint(), size = in.Varint();
  if (!in.ok() || capacity < 1 || capacity > kMaxCapacity || size > capacity ||
      total > kMostCounted) {
    return std::nullopt;
  }
  HeavyHitters heavy(capacity);
  heavy.total_ = total;
  std::vector<Value> values;
  uint64_t sum = 0;
  bool exact = true;
  for (uint64_t i = 0; i < size; ++i) {
    std::string_view key = in.Text(kMaxKeyBytes);
    uint64_t count = in.Varint(), error = in.Varint();
    if (!in.ok() || count == 0 || count > total || error >= count) return std::nullopt;
    Value value{std::string(key), count, count - error};
    if (i > 0 && !MoreFrequent(values.back(), value)) return std::nullopt;
    values.push_back(std::move(value));
    sum += count;
    exact = exact && error == 0;
  }
  // With room left nothing was ever replaced; and counts never sum up to more than what was added.
  bool could_be = size < capacity ? exact && sum == total : sum <= total;
  if (!in.Finished() || !could_be) return std::nullopt;
  heavy.Assign(std::move(values));
  if (heavy.slots_.size() != size) return std::nullopt;  // a key twice
  return heavy;
}

}  // namespace leadsman
