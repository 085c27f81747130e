#pragma once

#include "intake/log_format.h"

namespace leadsman::intake {

/// For `gives`, where a log's times name no zone.
inline constexpr std::string_view kZoneUnsaid =
    "times name no zone and are read as UTC or zone_if_unsaid";

/// Adds to `lacks` what every monitor asks for and `has(field)` denies: time, path, status, latency.
template <typename Has>
void AddUsualLacks(Has has, FormatNote& note) {
  if (!has(Field::kTime)) note.lacks.emplace_back("time");
  if (!has(Field::kTarget) && !has(Field::kRequest)) note.lacks.emplace_back("path");
  if (!has(Field::kStatus) && !has(Field::kGrpcStatus)) note.lacks.emplace_back("status");
  if (!has(Field::kLatency)) note.lacks.emplace_back("latency");
}

}  // namespace leadsman::intake
