#include "protocol/tfserving/example_wire.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

namespace leadsman::tfserving {
namespace {

// Example{1: Features{1: map entry{1: name, 2: Feature{1: bytes, 2: floats, 3: int64s}}}}, where each
// list is a message with its values as field 1; numbers come packed or one by one.
static_assert(std::endian::native == std::endian::little);

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

void PutVarint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void PutBytes(std::string& out, uint32_t field, std::string_view bytes) {
  PutVarint(out, field << 3 | kLengthDelimited);
  PutVarint(out, bytes.size());
  out += bytes;
}

/// One field after the other. Confined; the message must outlive it.
class Reader {
 public:
  explicit Reader(std::string_view message) : rest_(message) {}

  /// False at the end and at what is malformed, which ok() tells apart.
  bool Next() {
    if (!ok_ || rest_.empty()) return false;
    uint64_t tag = 0;
    if (!Varint(tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3) return Fail();
    field_ = static_cast<uint32_t>(tag >> 3);
    type_ = static_cast<uint32_t>(tag & 7);
    uint64_t length = 0;
    switch (type_) {
      case kVarint:
        return Varint(number_) || Fail();
      case kFixed64:
        return Take(8);
      case kFixed32:
        return Take(4);
      case kLengthDelimited:
        return Varint(length) ? Take(length) : Fail();
      default:
        return Fail();  // groups, which nobody writes any more
    }
  }
  bool ok() const { return ok_; }
  bool Is(uint32_t field, uint32_t type) const { return field_ == field && type_ == type; }
  uint64_t number() const { return number_; }
  std::string_view bytes() const { return bytes_; }
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
      auto byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool empty() const { return rest_.empty(); }

 private:
  bool Take(uint64_t length) {
    if (length > rest_.size()) return Fail();
    bytes_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
  }
  bool Fail() {
    ok_ = false;
    return false;
  }

  std::string_view rest_;
  bool ok_ = true;
  uint32_t field_ = 0;
  uint32_t type_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
};

bool ReadFloats(std::string_view list, ExampleRoom& room, Feature& feature) {
  auto push = [&](std::string_view raw) {
    float value;
    std::memcpy(&value, raw.data(), sizeof(value));
    feature.floats.push_back(value);
  };
  Reader reader(list);
  while (reader.Next()) {
    if (reader.Is(1, kFixed32)) {
      if (!room.Take(sizeof(double))) return false;
      push(reader.bytes());
    }
    if (!reader.Is(1, kLengthDelimited)) continue;
    const size_t size = reader.bytes().size();
    if (size % sizeof(float) != 0) return false;
    if (!room.Take(size / sizeof(float) * sizeof(double))) return false;
    for (size_t at = 0; at < size; at += sizeof(float)) push(reader.bytes().substr(at));
  }
  return reader.ok();
}

bool ReadInts(std::string_view list, ExampleRoom& room, Feature& feature) {
  auto push = [&](uint64_t value) {
    if (!room.Take(sizeof(int64_t))) return false;
    feature.ints.push_back(static_cast<int64_t>(value));
    return true;
  };
  Reader reader(list);
  while (reader.Next()) {
    if (reader.Is(1, kVarint) && !push(reader.number())) return false;
    if (!reader.Is(1, kLengthDelimited)) continue;
    Reader packed(reader.bytes());
    while (!packed.empty()) {
      uint64_t value = 0;
      if (!packed.Varint(value) || !push(value)) return false;
    }
  }
  return reader.ok();
}

bool ReadBytes(std::string_view list, ExampleRoom& room, Feature& feature) {
  Reader reader(list);
  while (reader.Next()) {
    if (!reader.Is(1, kLengthDelimited)) continue;
    if (!room.Take(sizeof(std::string) + reader.bytes().size())) return false;
    feature.bytes.emplace_back(reader.bytes());
  }
  return reader.ok();
}

/// Lists of the same kind are joined, one of another kind takes their place: as protobuf merges.
bool ReadFeature(std::string_view message, ExampleRoom& room, Feature& feature) {
  Reader reader(message);
  bool ok = true;
  while (ok && reader.Next()) {
    Feature::Kind kind = reader.Is(1, kLengthDelimited)   ? Feature::Kind::kBytes
                         : reader.Is(2, kLengthDelimited) ? Feature::Kind::kFloat
                         : reader.Is(3, kLengthDelimited) ? Feature::Kind::kInt64
                                                          : Feature::Kind::kNone;
    if (kind == Feature::Kind::kNone) continue;
    if (kind != feature.kind) {
      feature.bytes.clear();
      feature.floats.clear();
      feature.ints.clear();
      feature.kind = kind;
    }
    ok = kind == Feature::Kind::kBytes   ? ReadBytes(reader.bytes(), room, feature)
         : kind == Feature::Kind::kFloat ? ReadFloats(reader.bytes(), room, feature)
                                         : ReadInts(reader.bytes(), room, feature);
  }
  return ok && reader.ok();
}

bool ReadEntry(std::string_view message, ExampleRoom& room, Example& out) {
  if (!room.Take(sizeof(Feature))) return false;
  Feature& feature = out.features.emplace_back();
  Reader reader(message);
  while (reader.Next()) {
    if (reader.Is(1, kLengthDelimited)) feature.name.assign(reader.bytes());
    if (reader.Is(2, kLengthDelimited) && !ReadFeature(reader.bytes(), room, feature)) return false;
  }
  return reader.ok() && room.Take(feature.name.size());
}

/// Of features of one name, which stand side by side in the order in which they came, the last.
void KeepLastOfEach(std::vector<Feature>& features) {
  size_t kept = 0;
  for (size_t i = 0; i < features.size(); ++i) {
    if (i + 1 < features.size() && features[i].name == features[i + 1].name) continue;
    if (kept != i) features[kept] = std::move(features[i]);
    ++kept;
  }
  features.resize(kept);
}

bool ByName(const Feature& a, const Feature& b) { return a.name < b.name; }

void PutFeature(std::string& out, const Feature& feature) {
  std::string list;
  uint32_t field = 0;
  switch (feature.kind) {
    case Feature::Kind::kNone:
      break;
    case Feature::Kind::kBytes:
      field = 1;
      for (const std::string& value : feature.bytes) PutBytes(list, 1, value);
      break;
    case Feature::Kind::kFloat: {
      field = 2;
      std::string packed;
      for (double wide : feature.floats) {
        auto value = static_cast<float>(wide);
        packed.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
      PutBytes(list, 1, packed);
      break;
    }
    case Feature::Kind::kInt64: {
      field = 3;
      std::string packed;
      for (int64_t value : feature.ints) PutVarint(packed, static_cast<uint64_t>(value));
      PutBytes(list, 1, packed);
      break;
    }
  }
  std::string message;
  if (field != 0) PutBytes(message, field, list);
  std::string entry;
  PutBytes(entry, 1, feature.name);
  PutBytes(entry, 2, message);
  PutBytes(out, 1, entry);
}

}  // namespace

const Feature* Example::Find(std::string_view name) const {
  auto found = std::lower_bound(features.begin(), features.end(), name,
                                [](const Feature& f, std::string_view n) { return f.name < n; });
  return found != features.end() && found->name == name ? &*found : nullptr;
}

void Example::Sort() {
  if (!std::is_sorted(features.begin(), features.end(), ByName))
    std::stable_sort(features.begin(), features.end(), ByName);
}

std::string SerializeExample(const Example& example, const Example& context) {
  std::string features;
  for (const Feature& feature : example.features) PutFeature(features, feature);
  for (const Feature& feature : context.features) {
    if (example.Find(feature.name) == nullptr) PutFeature(features, feature);
  }
  std::string out;
  PutBytes(out, 1, features);
  return out;
}

Status ParseExample(std::string_view serialized, ExampleRoom& room, Example& out) {
  out.features.clear();
  Reader example(serialized);
  bool ok = room.Take(sizeof(Example));
  while (ok && example.Next()) {
    if (!example.Is(1, kLengthDelimited)) continue;
    Reader features(example.bytes());
    while (ok && features.Next()) {
      if (features.Is(1, kLengthDelimited)) ok = ReadEntry(features.bytes(), room, out);
    }
    ok = ok && features.ok();
  }
  if (room.exceeded())
    return InvalidArgumentError("the examples up to this one take too much memory");
  if (!ok || !example.ok()) return InvalidArgumentError("not a serialized tf.Example");
  out.Sort();
  KeepLastOfEach(out.features);
  return OkStatus();
}

}  // namespace leadsman::tfserving
