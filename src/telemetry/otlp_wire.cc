#include "telemetry/otlp_wire.h"

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr uint32_t kOfResource =
    1;  // ResourceMetrics or ResourceSpans, of an Export…ServiceRequest
constexpr uint32_t kResource = 1, kOfScope = 2;
constexpr uint32_t kAttributes = 1;
constexpr uint32_t kScope = 1, kScopeName = 1, kScopeVersion = 2;
constexpr uint32_t kKey = 1, kValue = 2, kTextValue = 1, kIntValue = 3;

}  // namespace

void AddFixed64(WireWriter& out, uint32_t field, uint64_t value) {
  out.Tag(field, WireReader::kFixed64);
  out.Raw(&value, sizeof(value));
}

void AddOtlpAttribute(WireWriter& out, uint32_t field, std::string_view key,
                      std::string_view value) {
  out.Message(field, [&](WireWriter& pair) {
    pair.Bytes(kKey, key);
    pair.Message(kValue, [&](WireWriter& any) { any.Bytes(kTextValue, ToUtf8(value)); });
  });
}

void AddOtlpAttribute(WireWriter& out, uint32_t field, std::string_view key, int64_t value) {
  out.Message(field, [&](WireWriter& pair) {
    pair.Bytes(kKey, key);
    pair.Message(kValue,
                 [&](WireWriter& any) { any.Number(kIntValue, static_cast<uint64_t>(value)); });
  });
}

std::string OtlpExport(const OtlpResource& resource, std::string_view items) {
  std::string body;
  WireWriter out(body);
  out.Message(kOfResource, [&](WireWriter& all) {
    all.Message(kResource, [&](WireWriter& who) {
      auto attribute = [&](std::string_view key, std::string_view value) {
        if (!value.empty()) AddOtlpAttribute(who, kAttributes, key, value);
      };
      attribute("service.name", resource.service_name);
      attribute("service.instance.id", resource.instance_id);
      attribute("service.version", resource.version);
      attribute("host.name", resource.host);
    });
    all.Message(kOfScope, [&](WireWriter& of_scope) {
      of_scope.Message(kScope, [&](WireWriter& scope) {
        scope.Bytes(kScopeName, "leadsman");
        scope.Bytes(kScopeVersion, resource.version);
      });
      of_scope.Raw(items.data(), items.size());
    });
  });
  return body;
}

}  // namespace leadsman
