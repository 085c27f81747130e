#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/wire.h"

namespace leadsman {

/// Whose export it is.
struct OtlpResource {
  std::string service_name;
  std::string instance_id;  ///< empty: left out, as the others
  std::string version;
  std::string host;
};

/// The frame of every export (opentelemetry.proto: collector, resource.v1 and common.v1, whose field numbers are the same of
/// metrics and traces): one resource with one scope, around `items`, which are fields of a ScopeMetrics or a ScopeSpans.
std::string OtlpExport(const OtlpResource& resource, std::string_view items);
/// The number of such a field.
inline constexpr uint32_t kOtlpItem = 2;

/// A KeyValue; the text is repaired where it is not UTF-8.
void AddOtlpAttribute(WireWriter& out, uint32_t field, std::string_view key,
                      std::string_view value);
void AddOtlpAttribute(WireWriter& out, uint32_t field, std::string_view key, int64_t value);

/// A fixed64, as times are.
void AddFixed64(WireWriter& out, uint32_t field, uint64_t value);

}  // namespace leadsman
