#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "intake/log_record.h"
#include "intake/log_time.h"

namespace leadsman::intake {

/// What a piece of a line can be.
enum class Field : uint8_t {
  kSkip,
  kTime,
  kMethod,
  kTarget,   ///< path with or without query, or a URL
  kRequest,  ///< "POST /predict HTTP/1.1"
  kProtocol,
  kStatus,
  kGrpcStatus,
  kLatency,
  kUpstreamLatency,
  kRequestBytes,
  kResponseBytes,
  kClient,
  kUserAgent,
  kRequestId,
  kTraceparent,
  kModel,
  kVersion,
  kVersionLabel,
  kLevel,
  kError,
  kMessage,
  kPredicted,
  kLabel,  ///< the true answer of the first row
  kScore,
  kFeatures,  ///< all of them: an array, or an object of numbers
  kFeature,   ///< one of them, by name
  kSegment,   ///< of the request, in one segmentation, by its name
};

/// Of a duration. kText: the number carries it ("12.5ms", "1m3s"); one that does not is no duration we can read.
enum class Unit : uint8_t { kText, kNanos, kMicros, kMillis, kSeconds };

struct FieldTarget {
  Field field = Field::kSkip;
  Unit unit = Unit::kText;
  uint32_t feature = 0;  ///< of kFeature and kSegment: which
};

/// What a name means that programs give to a field without being asked: "status_code", "duration_ms", "http.method",
/// "upstream_response_time". Nested JSON names are joined by dots. Predictions and features have no such names.
std::optional<FieldTarget> FindKnownField(std::string_view name);
void ForEachKnownField(const std::function<void(std::string_view name, FieldTarget)>& visit);

/// The names of what a line can say several of, each in the order of FieldTarget::feature.
struct PartNames {
  std::vector<std::string> features;  ///< of kFeature
  std::vector<std::string> segments;  ///< of kSegment
};

/// The names that a configuration gives to fields: "time", "latency_ms", "path", "feature.age", "segment.tenant".
/// INVALID_ARGUMENT for others, with the nearest. `parts` collects the names of kFeature and kSegment.
Result<FieldTarget> ParseFieldName(std::string_view name, PartNames& parts);
/// All of them, for messages.
const std::vector<std::string>& FieldNames();

/// "latency_ms: timing.total" of a configuration: the piece of a line named `source` is the field `target`.
struct FieldMapping {
  std::string source;
  FieldTarget target;
};
struct FieldMappings {
  std::vector<FieldMapping> entries;
  PartNames parts;

  bool Maps(Field field) const;
};
/// Pairs of (field name, where it stands in the line).
Result<FieldMappings> ParseFieldMappings(
    const std::vector<std::pair<std::string, std::string>>& fields);

/// Puts what `text` says into the record. "", "-" and "null" say nothing; what cannot be right is counted in
/// `record.unreadable` and left absent. What an earlier field of the line has said stays. False when it was unreadable.
/// Features are the caller's.
inline bool SetField(FieldTarget target, std::string_view text, TimeParser& time,
                     LogRecord& record);
/// After the last field of a line: takes the target apart. A mapped model or version stays.
void FinishFields(LogRecord& record);

/// "0.012" with its unit, "12ms", nginx's "0.000, 0.012" (a sum). Nothing when negative, beyond a year, or no number.
std::optional<int64_t> ParseDuration(std::string_view text, Unit unit);

/// Whether the record says enough to be one of a request.
bool SaysRequest(const LogRecord& record);

/// "", "-", "null" and "None".
inline bool SaysNothing(std::string_view text) {
  if (text.size() > 4) return false;  // most
  return text.empty() || text == "-" || text == "null" || text == "None";
}

namespace field_internal {

/// Of SetField: what is more than a text.
bool SetOther(FieldTarget target, std::string_view text, TimeParser& time, LogRecord& record);

/// Where in a record a field goes that is a text and nothing else, by Field; kNoText for the others. Offsets: of pointers to
/// members g++ 12 makes null ones that are none, in constant arrays.
inline constexpr uint16_t kNoText = UINT16_MAX;
inline constexpr auto kTexts = [] {
  std::array<uint16_t, static_cast<size_t>(Field::kSegment) + 1> offsets{};
  offsets.fill(kNoText);
  auto put = [&](Field field, size_t offset) {
    offsets[static_cast<size_t>(field)] = static_cast<uint16_t>(offset);
  };
  put(Field::kMethod, offsetof(LogRecord, method));
  put(Field::kTarget, offsetof(LogRecord, target));
  put(Field::kProtocol, offsetof(LogRecord, protocol));
  put(Field::kUserAgent, offsetof(LogRecord, user_agent));
  put(Field::kRequestId, offsetof(LogRecord, request_id));
  put(Field::kTraceparent, offsetof(LogRecord, traceparent));
  put(Field::kModel, offsetof(LogRecord, model));
  put(Field::kVersion, offsetof(LogRecord, version));
  put(Field::kVersionLabel, offsetof(LogRecord, version_label));
  put(Field::kError, offsetof(LogRecord, error));
  put(Field::kMessage, offsetof(LogRecord, message));
  put(Field::kPredicted, offsetof(LogRecord, predicted));
  put(Field::kLabel, offsetof(LogRecord, label));
  return offsets;
}();

}  // namespace field_internal

inline bool SetField(FieldTarget target, std::string_view text, TimeParser& time,
                     LogRecord& record) {
  if (SaysNothing(text)) return true;
  const size_t offset = field_internal::kTexts[static_cast<size_t>(target.field)];
  if (offset != field_internal::kNoText) {
    auto& field =
        *reinterpret_cast<std::string_view*>(reinterpret_cast<unsigned char*>(&record) + offset);
    if (field.empty()) field = text;
    return true;
  }
  return field_internal::SetOther(target, text, time, record);
}

}  // namespace leadsman::intake
