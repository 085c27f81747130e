#pragma once

#include <string>
#include <string_view>

namespace leadsman::kube {

/// Where the API keeps the objects of one kind. A value.
///
///   const Resource deployments{"apps", "v1", "deployments", "Deployment"};
struct Resource {
  std::string group;  ///< empty: the core
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;

  /// "apps/v1", "v1": as it stands in apiVersion.
  std::string ApiVersion() const;
  /// "deployments.apps", "pods": as people and roles write it.
  std::string Name() const;
  /// "/apis/apps/v1/namespaces/NS/deployments/NAME/SUBRESOURCE". Without a namespace: of all namespaces; without a name:
  /// the collection.
  std::string Path(std::string_view ns, std::string_view name = {},
                   std::string_view subresource = {}) const;
};

const Resource& Leases();
const Resource& Events();

}  // namespace leadsman::kube
