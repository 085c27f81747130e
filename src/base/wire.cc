#include "base/wire.h"

namespace leadsman {

bool WireReader::TakeVarint(std::string_view& in, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < in.size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>(in[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      in.remove_prefix(i + 1);
      return true;
    }
  }
  return false;
}

bool WireReader::ReadVarint(uint64_t& value) {
  if (at_ < end_ && static_cast<uint8_t>(*at_) < 0x80) {
    value = static_cast<uint8_t>(*at_++);
    return true;
  }
  std::string_view rest(at_, static_cast<size_t>(end_ - at_));
  if (!TakeVarint(rest, value)) return false;
  at_ = rest.data();
  return true;
}

bool WireReader::Next() {
  if (!ok_ || at_ == end_) return false;
  uint64_t tag;
  if (!ReadVarint(tag) || tag > UINT32_MAX || tag < 8) return Fail();
  field_ = static_cast<uint32_t>(tag >> 3);
  const size_t left = static_cast<size_t>(end_ - at_);
  number_ = 0;
  switch (tag & 7) {
    case kVarint:
      type_ = kVarint;
      return ReadVarint(number_) || Fail();
    case kFixed64:
      type_ = kFixed64;
      if (left < 8) return Fail();
      std::memcpy(&number_, at_, 8);
      at_ += 8;
      return true;
    case kFixed32: {
      type_ = kFixed32;
      if (left < 4) return Fail();
      uint32_t number;
      std::memcpy(&number, at_, 4);
      number_ = number;
      at_ += 4;
      return true;
    }
    case kBytes: {
      type_ = kBytes;
      uint64_t size;
      if (!ReadVarint(size) || size > static_cast<uint64_t>(end_ - at_)) return Fail();
      bytes_ = std::string_view(at_, static_cast<size_t>(size));
      at_ += size;
      return true;
    }
    default:  // groups have been out of use since proto2
      return Fail();
  }
}

void WireWriter::InsertLength(size_t start) {
  uint64_t size = out_.size() - start;
  char length[10];
  size_t digits = 0;
  while (size >= 0x80) {
    length[digits++] = static_cast<char>(size | 0x80);
    size >>= 7;
  }
  length[digits++] = static_cast<char>(size);
  out_.insert(start, length, digits);
}

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<uint8_t>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i <= more) return false;
    uint32_t code = lead & (0x3f >> more);
    for (size_t k = 1; k <= more; ++k) {
      const auto byte = static_cast<uint8_t>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      code = code << 6 | (byte & 0x3f);
    }
    static constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      return false;
    i += more + 1;
  }
  return true;
}

}  // namespace leadsman
