#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "gateway/reason.h"

// What a proxy has to know of gRPC: heads and trailers, never messages. Pure.

namespace leadsman::gateway {

/// By its content-type a request is a call.
bool IsGrpc(std::string_view content_type);

/// Of a `grpc-timeout` field: "100m". Nothing when it is none.
std::optional<std::chrono::nanoseconds> ParseGrpcTimeout(std::string_view text);

/// Of a `grpc-status` field; UNKNOWN when it is no code.
StatusCode ParseGrpcStatus(std::string_view text);

/// What a call is told when the gateway has no answer for it.
StatusCode GrpcStatusOf(int http_status, Reason reason);

/// As it stands in a `grpc-message` field.
std::string GrpcMessage(std::string_view text);

}  // namespace leadsman::gateway
