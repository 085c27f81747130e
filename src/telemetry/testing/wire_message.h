#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/wire.h"

namespace leadsman {

/// Protocol buffers as anybody reads them who knows the numbers of fields and nothing else.
struct WireMessage {
  std::string_view bytes;
  std::vector<WireMessage> all(uint32_t field) const {
    std::vector<WireMessage> found;
    WireReader in(bytes);
    while (in.Next())
      if (in.Is(field, WireReader::kBytes)) found.push_back({in.bytes()});
    EXPECT_TRUE(in.ok());
    return found;
  }
  WireMessage at(uint32_t field) const {
    std::vector<WireMessage> found = all(field);
    EXPECT_EQ(found.size(), 1u) << field;
    return found.empty() ? WireMessage() : found[0];
  }
  std::string text(uint32_t field) const { return std::string(at(field).bytes); }
  uint64_t number(uint32_t field) const {
    WireReader in(bytes);
    while (in.Next())
      if (in.field() == field) return in.type() == WireReader::kVarint ? in.varint() : in.fixed();
    ADD_FAILURE() << "no field " << field;
    return 0;
  }
  double real(uint32_t field) const { return std::bit_cast<double>(number(field)); }
  std::vector<int64_t> zigzags(uint32_t field) const {
    std::vector<int64_t> values;
    std::string_view packed = at(field).bytes;
    uint64_t value;
    while (WireReader::TakeVarint(packed, value))
      values.push_back(static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1));
    return values;
  }
};

}  // namespace leadsman
