#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/json_cursor.h"

namespace leadsman::v2 {

/// What the `parameters` of an infer request say to the server. Others are taken and left alone, as
/// Triton does, but for values that are no parameter's (objects, lists, null) and the names that
/// Triton keeps for itself ("triton_…").
struct RequestParameters {
  bool binary_output = false;
  uint64_t timeout_us = 0;   ///< 0 = none; a day at most
  uint32_t priority = 0;     ///< 0 = the model's default, 1 = the highest
  bool in_sequence = false;  ///< a sequence_id that means one: not 0, not ""
};

/// Reads the object that stands next. False: json.error(), which names the parameter.
bool ReadParameters(JsonCursor& json, RequestParameters& parameters, std::string& scratch);

/// Reads a whole number that is not negative; what is beyond 64 bits is the largest. False:
/// json.error(), "'<field>' must be <wanted>".
bool ReadCount(JsonCursor& json, std::string_view field, std::string_view wanted, uint64_t& out);

}  // namespace leadsman::v2
