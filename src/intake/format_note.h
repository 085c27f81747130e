#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "intake/log_format.h"

namespace leadsman::intake {

/// For `gives`, where a log's times name no zone.
inline constexpr std::string_view kZoneUnsaid =
    "times name no zone and are read as UTC or time_zone";

/// Calls `see` with the record of each of the lines that is a request; returns how many are.
template <typename See>
size_t ForEachRequest(LineParser& parser, std::span<const std::string_view> lines, See see) {
  LogRecord record;
  size_t requests = 0;
  for (std::string_view line : lines) {
    if (parser.Parse(line, record) != Verdict::kRequest) continue;
    ++requests;
    see(record);
  }
  return requests;
}

/// Of a set of fields, a bit for each.
inline bool Contains(uint64_t fields, Field field) {
  return (fields >> static_cast<unsigned>(field) & 1) != 0;
}

/// Adds to `lacks` what every monitor asks for and `has(field)` denies: time, path, status, latency.
template <typename Has>
void AddUsualLacks(Has has, FormatNote& note) {
  if (!has(Field::kTime)) note.lacks.emplace_back("time");
  if (!has(Field::kTarget) && !has(Field::kRequest)) note.lacks.emplace_back("path");
  if (!has(Field::kStatus) && !has(Field::kGrpcStatus)) note.lacks.emplace_back("status");
  if (!has(Field::kLatency)) note.lacks.emplace_back("latency");
}

}  // namespace leadsman::intake
