#include "telemetry/otlp_endpoint.h"

#include "base/strings.h"
#include "net/url.h"

namespace leadsman {

std::string CheckOtlpUrl(const std::string& url, const std::string& path) {
  if (url.empty()) return "";
  Result<net::Url> parsed = net::ParseUrl(url);
  if (!parsed.ok()) return std::string(parsed.status().message());
  if (parsed->port == "4317")
    return StrCat(
        "is the port of OTLP over gRPC, which is not supported: give the HTTP port, as "
        "http://collector:4318",
        path);
  return parsed->target == "/" ? StrCat("needs the path of the endpoint, usually ", path) : "";
}

}  // namespace leadsman
