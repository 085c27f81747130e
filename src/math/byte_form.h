#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace leadsman {

/// The byte form of the sketches: one byte that says which, one with the version, then numbers.
/// Integers are varints (seven bits a byte, the lowest first), floating-point numbers little-endian.
/// Not thread-safe.
class ByteWriter {
 public:
  ByteWriter(char kind, uint8_t version);
  void Byte(uint8_t value) { bytes_.push_back(static_cast<char>(value)); }
  void Varint(uint64_t value);
  void Fixed64(uint64_t value);
  void Double(double value);
  void Float(float value);
  void Text(std::string_view text);
  std::string Take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads what a ByteWriter wrote, or anything else: past the end, or after the first thing that
/// cannot be, everything reads as 0 and ok() is false. Allocates nothing. Not thread-safe.
class ByteReader {
 public:
  /// Not ok() at once when `bytes` begins with another kind or version.
  ByteReader(std::string_view bytes, char kind, uint8_t version);
  uint8_t Byte();
  uint64_t Varint();
  uint64_t Fixed64();
  double Double();
  float Float();
  /// At most `longest` bytes. Points into the bytes given.
  std::string_view Text(size_t longest);
  /// Marks the bytes as bad.
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }
  /// All was read, and all was good.
  bool Finished() const { return ok_ && rest_.empty(); }

 private:
  uint64_t Fixed(size_t bytes);
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace leadsman
