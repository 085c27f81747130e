#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace leadsman {

/// What a receiver of OTLP says beside "taken": Export…PartialSuccess of opentelemetry.proto, the same of traces and metrics.
struct OtlpPartialSuccess {
  uint64_t rejected = 0;  ///< spans or data points
  std::string words;      ///< why; with nothing rejected, a warning
};

/// Of an Export…ServiceResponse; nothing when all was taken, or when that is no such message.
std::optional<OtlpPartialSuccess> ReadOtlpPartialSuccess(std::string_view response);

/// How long a receiver asks to be left alone: RetryInfo among the details of a google.rpc.Status.
std::optional<Duration> ReadRetryDelay(std::string_view rpc_status);

/// Whether the specification of OTLP over gRPC has what was answered so tried again. Of RESOURCE_EXHAUSTED only when the
/// receiver says that it recovers.
bool IsRetryableOtlp(StatusCode code, bool has_retry_delay);

}  // namespace leadsman
