#pragma once

#include <string>

#include "base/schema.h"

namespace leadsman {

/// How a receiver of OTLP is spoken to.
enum class OtlpProtocol {
  kAuto,  ///< by the URL's port: gRPC on 4317, else HTTP
  kHttp,
  kGrpc,
};
schema::TypePtr<OtlpProtocol> OtlpProtocolType();

bool IsGrpc(OtlpProtocol protocol, const std::string& url);

/// Empty, or what is wrong with the URL of a receiver, whose path by HTTP is usually `path`, as "/v1/traces". An empty one is
/// fine: none.
std::string CheckOtlpUrl(const std::string& url, OtlpProtocol protocol, const std::string& path);

}  // namespace leadsman
