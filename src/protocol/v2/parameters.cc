#include "protocol/v2/parameters.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

constexpr size_t kShownName = 64;

/// A day at most: what is longer is no limit, and sums stay far from overflow.
constexpr uint64_t kDayUs = 86'400'000'000;

bool ReadBool(JsonCursor& json, std::string_view field, bool& out) {
  if (json.Peek() == JsonCursor::Kind::kBool) return json.Bool(out);
  return json.Fail(InvalidArgumentError(StrCat("'parameters.", field, "' must be true or false")));
}

bool ReadSequenceId(JsonCursor& json, std::string& scratch, bool& in_sequence) {
  if (json.Peek() == JsonCursor::Kind::kString) {
    std::string_view id;
    if (!json.String(id, scratch)) return false;
    in_sequence = !id.empty();
    return true;
  }
  uint64_t id = 0;
  if (!ReadCount(json, "parameters.sequence_id", "text or a whole number that is not negative", id))
    return false;
  in_sequence = id != 0;
  return true;
}

bool SkipParameter(JsonCursor& json, std::string_view key) {
  using Kind = JsonCursor::Kind;
  Kind kind = json.Peek();
  if (kind == Kind::kObject || kind == Kind::kArray || kind == Kind::kNull) {
    return json.Fail(InvalidArgumentError(StrCat("'parameters.", CutUtf8(key, kShownName),
                                                 "' must be a number, true, false or text; it is ",
                                                 JsonCursor::KindName(kind))));
  }
  return json.Skip();
}

}  // namespace

bool ReadCount(JsonCursor& json, std::string_view field, std::string_view wanted, uint64_t& out) {
  JsonCursor::IntegerValue value;
  if (json.Peek() == JsonCursor::Kind::kNumber && !json.Integer(value)) return false;
  if (!value.integer || (value.negative && value.magnitude > 0)) {
    return json.Fail(InvalidArgumentError(StrCat("'", field, "' must be ", wanted)));
  }
  out = value.overflow ? UINT64_MAX : value.magnitude;
  return true;
}

bool ReadParameters(JsonCursor& json, RequestParameters& parameters, std::string& scratch) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    return json.Fail(InvalidArgumentError("'parameters' must be an object"));
  }
  return json.Object([&](std::string_view key) {
    if (key == "binary_data_output") return ReadBool(json, key, parameters.binary_output);
    if (key == "timeout") {
      if (!ReadCount(json, "parameters.timeout", "a whole number of microseconds, 0 for none",
                     parameters.timeout_us))
        return false;
      parameters.timeout_us = std::min(parameters.timeout_us, kDayUs);
      return true;
    }
    if (key == "priority") {
      uint64_t priority = 0;
      if (!ReadCount(json, "parameters.priority",
                     "a whole number, 1 for the highest, 0 for the model's default", priority))
        return false;
      parameters.priority = static_cast<uint32_t>(std::min<uint64_t>(priority, UINT32_MAX));
      return true;
    }
    if (key == "sequence_id") return ReadSequenceId(json, scratch, parameters.in_sequence);
    if (key == "sequence_start" || key == "sequence_end") {
      bool ignored = false;
      return ReadBool(json, key, ignored);
    }
    if (key.starts_with("triton_")) {
      return json.Fail(InvalidArgumentError(
          StrCat("'parameters.", CutUtf8(key, kShownName),
                 "': names that begin with triton_ are the server's own; this one takes none of "
                 "them")));
    }
    return SkipParameter(json, key);
  });
}

}  // namespace leadsman::v2
