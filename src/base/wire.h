#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace leadsman {

static_assert(std::endian::native == std::endian::little,
              "fixed fields are read and written as they lie in memory");

/// Reads protocol buffers' wire format field by field, without a copy: what is of varying length is a view into the
/// message. Nothing is trusted: lengths beyond the end, overlong varints and groups end the reading with ok() false.
///
///   WireReader in(message);
///   while (in.Next()) {
///     if (in.Is(1, WireReader::kBytes)) name = in.bytes();
///   }
///   if (!in.ok()) …
///
/// Unknown fields, and known ones of another wire type, are passed over, as protocol buffers do. A value; confined.
class WireReader {
 public:
  enum Type : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  explicit WireReader(std::string_view message)
      : at_(message.data()), end_(message.data() + message.size()) {}

  /// False at the end and at what is malformed.
  bool Next();
  bool ok() const { return ok_; }
  uint32_t field() const { return field_; }
  Type type() const { return type_; }
  bool Is(uint32_t field, Type type) const { return field_ == field && type_ == type; }

  uint64_t varint() const { return number_; }
  std::string_view bytes() const { return bytes_; }
  uint64_t fixed() const { return number_; }  ///< kFixed32 and kFixed64

  /// One varint from the front of `in`, which is shortened; false when there is none.
  static bool TakeVarint(std::string_view& in, uint64_t& value);

 private:
  bool ReadVarint(uint64_t& value);
  bool Fail() {
    ok_ = false;
    return false;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
  Type type_ = kVarint;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
};

/// The numbers of a repeated field, which may come packed, one by one, or mixed: call it for every occurrence. `add` gets
/// a uint64_t (the bits). False when a packed run is malformed.
template <typename Add>
bool ForEachVarint(const WireReader& in, Add add) {
  if (in.type() == WireReader::kVarint) {
    add(in.varint());
    return true;
  }
  std::string_view packed = in.bytes();
  uint64_t value;
  while (!packed.empty()) {
    if (!WireReader::TakeVarint(packed, value)) return false;
    add(value);
  }
  return true;
}

/// Appends to a string.
class WireWriter {
 public:
  explicit WireWriter(std::string& out) : out_(out) {}

  void Tag(uint32_t field, WireReader::Type type) { Varint(field << 3 | type); }
  void Varint(uint64_t value) {
    while (value >= 0x80) {
      out_ += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out_ += static_cast<char>(value);
  }
  /// The field, also when it is zero.
  void Number(uint32_t field, uint64_t value) {
    Tag(field, WireReader::kVarint);
    Varint(value);
  }
  void Bytes(uint32_t field, std::string_view value) {
    Tag(field, WireReader::kBytes);
    Varint(value.size());
    out_.append(value);
  }
  /// Proto3's way: what is empty or zero is not written.
  void Text(uint32_t field, std::string_view value) {
    if (!value.empty()) Bytes(field, value);
  }
  void NumberOrNothing(uint32_t field, uint64_t value) {
    if (value != 0) Number(field, value);
  }
  void Double(uint32_t field, double value) {
    Tag(field, WireReader::kFixed64);
    Raw(&value, sizeof(value));
  }
  void Float(uint32_t field, float value) {
    Tag(field, WireReader::kFixed32);
    Raw(&value, sizeof(value));
  }
  void Raw(const void* bytes, size_t size) { out_.append(static_cast<const char*>(bytes), size); }
  /// A field that is a message: `write` writes its fields. Its length is put in afterwards, for which the message is moved
  /// by a byte or two: for small ones.
  template <typename Write>
  void Message(uint32_t field, Write write) {
    Tag(field, WireReader::kBytes);
    const size_t start = out_.size();
    write(*this);
    InsertLength(start);
  }

  static constexpr size_t VarintSize(uint64_t value) {
    return static_cast<size_t>((std::bit_width(value | 1) + 6) / 7);
  }
  /// Tag of a field number below 16, length and bytes.
  static constexpr size_t BytesSize(size_t size) { return 1 + VarintSize(size) + size; }

  std::string& out() { return out_; }

 private:
  void InsertLength(size_t start);
  std::string& out_;
};

/// Proto3 strings must be UTF-8: a peer would refuse an answer that echoes anything else.
bool IsUtf8(std::string_view text);

}  // namespace leadsman
