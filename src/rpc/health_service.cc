#include "base/strings.h"
#include "base/wire.h"
#include "rpc/services.h"

// grpc.health.v1.Health

namespace leadsman::rpc {

Result<std::string> HealthService(std::string_view request) {
  std::string service;
  WireReader in(request);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) service = in.bytes();
  }
  if (!in.ok()) return InvalidArgumentError("malformed protocol buffer message");
  return service;
}

Health HealthOf(const ServiceContext& context, std::string_view service) {
  if (!service.empty() && !HasService(service)) return Health::kServiceUnknown;
  return context.ready() && !context.draining ? Health::kServing : Health::kNotServing;
}

void AppendHealth(std::string& out, Health health) {
  WireWriter(out).NumberOrNothing(1, static_cast<uint64_t>(health));
}

Status CheckHealth(const ServiceContext& context, std::string_view request, std::string& response) {
  Result<std::string> service = HealthService(request);
  if (!service.ok()) return service.status();
  Health health = HealthOf(context, *service);
  if (health == Health::kServiceUnknown) {
    return NotFoundError(StrCat(
        "unknown service '", CutUtf8(*service, 128),
        "'; \"\" asks about the whole server, the names of services are told by reflection"));
  }
  AppendHealth(response, health);
  return OkStatus();
}

}  // namespace leadsman::rpc
