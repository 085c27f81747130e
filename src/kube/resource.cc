#include "kube/resource.h"

#include "base/strings.h"

namespace leadsman::kube {

std::string Resource::ApiVersion() const {
  return group.empty() ? version : StrCat(group, "/", version);
}

std::string Resource::Name() const { return group.empty() ? plural : StrCat(plural, ".", group); }

std::string Resource::Path(std::string_view ns, std::string_view name,
                           std::string_view subresource) const {
  std::string path = group.empty() ? StrCat("/api/", version) : StrCat("/apis/", ApiVersion());
  if (namespaced && !ns.empty()) path += StrCat("/namespaces/", UrlEncode(ns));
  path += StrCat("/", plural);
  if (!name.empty()) path += StrCat("/", UrlEncode(name));
  if (!subresource.empty()) path += StrCat("/", subresource);
  return path;
}

const Resource& Leases() {
  static const Resource leases{"coordination.k8s.io", "v1", "leases", "Lease"};
  return leases;
}

const Resource& Events() {
  static const Resource events{"events.k8s.io", "v1", "events", "Event"};
  return events;
}

}  // namespace leadsman::kube
