#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "intake/envoy_rules.h"

namespace leadsman::intake {

/// What a serialized envoy.data.accesslog.v3.HTTPAccessLogEntry says. Texts point into it.
///
/// Latency is from the first byte of the request to the last of the answer, as Envoy saw them. Of gRPC calls the outcome is
/// known when Envoy logs grpc-status (additional_response_headers_to_log, …_trailers_to_log).
struct EnvoyEntry {
  EnvoyRequest request;
  /// False: Envoy tells of a request that is still under way, and will do so again.
  bool final = true;
};
/// False: malformed.
bool ReadEnvoyEntry(std::string_view entry, EnvoyEntry& out);

/// Calls `http` with every HTTPAccessLogEntry of a serialized envoy.service.accesslog.v3.StreamAccessLogsMessage and counts
/// those of TCP. False: malformed; what came before has been given.
bool ForEachEnvoyEntry(std::string_view message, const std::function<void(std::string_view)>& http,
                       uint64_t& tcp);

}  // namespace leadsman::intake
