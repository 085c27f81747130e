#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "base/status.h"

namespace leadsman::kube {

using Json = nlohmann::json;

/// The text as JSON. INVALID_ARGUMENT for what is none, or is nested deeper than anything that the API knows.
Result<Json> ParseJsonText(std::string_view text);

/// One object of the API as its JSON document, with accessors for what all kinds have; there is no class for each kind.
///
///   const Object lease = *client.Get(Leases(), "default", "leadsman");
///   lease.name(); lease.Text("/spec/holderIdentity"); lease.Number("/spec/leaseDurationSeconds");
///
/// A value whose copies share the document, which never changes. Absent fields read as empty.
class Object {
 public:
  Object();
  explicit Object(Json document);
  /// INVALID_ARGUMENT when it is no JSON object.
  static Result<Object> Parse(std::string_view text);

  const Json& json() const { return *document_; }
  /// The document, to change it: without a copy when nobody shares it.
  Json Take() &&;
  std::string_view kind() const { return Text("/kind"); }
  std::string_view api_version() const { return Text("/apiVersion"); }
  std::string_view name() const { return Metadata("name"); }
  /// Empty of objects that belong to no namespace.
  std::string_view ns() const { return Metadata("namespace"); }
  std::string_view uid() const { return Metadata("uid"); }
  std::string_view resource_version() const { return Metadata("resourceVersion"); }
  int64_t generation() const { return Number("/metadata/generation"); }
  /// Somebody has deleted it; finalizers keep it.
  bool deleting() const { return !Metadata("deletionTimestamp").empty(); }
  std::string_view label(std::string_view key) const { return In("labels", key); }
  std::string_view annotation(std::string_view key) const { return In("annotations", key); }
  /// "namespace/name", or "name": unique among the objects of one resource.
  std::string key() const;

  /// What stands at a JSON pointer ("/spec/replicas"); null when there is nothing.
  const Json* Find(std::string_view pointer) const;
  std::string_view Text(std::string_view pointer) const;
  int64_t Number(std::string_view pointer, int64_t otherwise = 0) const;

 private:
  std::string_view Metadata(std::string_view field) const;
  std::string_view In(std::string_view map, std::string_view key) const;

  std::shared_ptr<const Json> document_;
};

/// "namespace/name", or "name" without a namespace.
std::string ObjectKey(std::string_view ns, std::string_view name);

}  // namespace leadsman::kube
