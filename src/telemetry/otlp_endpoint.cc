#include "telemetry/otlp_endpoint.h"

#include "base/strings.h"
#include "net/url.h"

namespace leadsman {

schema::TypePtr<OtlpProtocol> OtlpProtocolType() {
  return schema::Enum<OtlpProtocol>({{"auto", OtlpProtocol::kAuto},
                                     {"http", OtlpProtocol::kHttp},
                                     {"grpc", OtlpProtocol::kGrpc}});
}

bool IsGrpc(OtlpProtocol protocol, const std::string& url) {
  if (protocol != OtlpProtocol::kAuto) return protocol == OtlpProtocol::kGrpc;
  Result<net::Url> parsed = net::ParseUrl(url);
  return parsed.ok() && parsed->port == "4317";
}

std::string CheckOtlpUrl(const std::string& url, OtlpProtocol protocol, const std::string& path) {
  if (url.empty()) return "";
  Result<net::Url> parsed = net::ParseUrl(url);
  if (!parsed.ok()) return std::string(parsed.status().message());
  const bool bare = parsed->target == "/";
  if (!IsGrpc(protocol, url))
    return bare ? StrCat("needs the path of the endpoint, usually ", path) : "";
  return bare ? ""
              : StrCat(
                    "has a path, which gRPC has not: give http://collector:4317, or OTLP over "
                    "HTTP as http://collector:4318",
                    path);
}

}  // namespace leadsman
