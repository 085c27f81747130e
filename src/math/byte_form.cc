#include "math/byte_form.h"

#include <bit>

namespace leadsman {

ByteWriter::ByteWriter(char kind, uint8_t version) {
  bytes_.push_back(kind);
  Byte(version);
}

void ByteWriter::Varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) Byte(static_cast<uint8_t>(value | 0x80));
  Byte(static_cast<uint8_t>(value));
}

void ByteWriter::Fixed64(uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) Byte(static_cast<uint8_t>(value >> shift));
}

void ByteWriter::Double(double value) { Fixed64(std::bit_cast<uint64_t>(value)); }

void ByteWriter::Float(float value) {
  auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) Byte(static_cast<uint8_t>(bits >> shift));
}

void ByteWriter::Text(std::string_view text) {
  Varint(text.size());
  bytes_.append(text);
}

ByteReader::ByteReader(std::string_view bytes, char kind, uint8_t version) : rest_(bytes) {
  if (Byte() != static_cast<uint8_t>(kind) || Byte() != version) Fail();
}

uint8_t ByteReader::Byte() { return static_cast<uint8_t>(Fixed(1)); }

uint64_t ByteReader::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint64_t byte = Byte();
    if (shift == 63 && byte > 1) break;  // more than 64 bits
    value |= (byte & 0x7f) << shift;
    if (byte == 0 && shift > 0) break;  // longer than it need be: nobody writes that
    if (byte < 0x80) return value;
  }
  Fail();
  return 0;
}

uint64_t ByteReader::Fixed(size_t bytes) {
  if (!ok_ || rest_.size() < bytes) {
    Fail();
    return 0;
  }
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << (8 * i);
  }
  rest_.remove_prefix(bytes);
  return value;
}

uint64_t ByteReader::Fixed64() { return Fixed(8); }
double ByteReader::Double() { return std::bit_cast<double>(Fixed(8)); }
float ByteReader::Float() { return std::bit_cast<float>(static_cast<uint32_t>(Fixed(4))); }

std::string_view ByteReader::Text(size_t longest) {
  uint64_t size = Varint();
  if (!ok_ || size > longest || size > rest_.size()) {
    Fail();
    return {};
  }
  std::string_view text = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return text;
}

}  // namespace leadsman
