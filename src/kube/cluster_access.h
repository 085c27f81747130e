#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http_client.h"

namespace leadsman::kube {

/// Where an API server is, whom to believe there, and who one says one is. A value.
struct ClusterAccess {
  std::string server;          ///< "https://host:port", maybe with a path; without a '/' at its end
  net::TlsClientOptions tls;   ///< files are read again when they change; texts stay
  std::string token;           ///< sent as a bearer token; empty: none
  std::string token_file;      ///< instead of `token`; read again when it changes
  std::string ns = "default";  ///< of objects that name none
  std::string source;          ///< for messages: "kubeconfig /root/.kube/config, context prod"
};

/// A file of a kubeconfig: for messages, and for the paths in it that are relative.
struct KubeconfigText {
  std::string path;
  std::string text;
};

/// Reads kubeconfigs as kubectl does: of a name that several files have, the first counts. An empty `context` is
/// current-context. INVALID_ARGUMENT, NOT_FOUND name the field and the fix; UNIMPLEMENTED says which way to prove who one
/// is is not supported (credential plug-ins by `exec`, auth-provider, passwords, impersonation, proxy-url).
/// Pure.
Result<ClusterAccess> ParseKubeconfigs(const std::vector<KubeconfigText>& files,
                                       std::string_view context);
/// The same of files. Blocks for them.
Result<ClusterAccess> LoadKubeconfigs(const std::vector<std::string>& paths,
                                      std::string_view context);

/// What a pod is given. `host` and `port` are KUBERNETES_SERVICE_HOST and _PORT of its environment; `folder` holds token,
/// ca.crt and namespace. FAILED_PRECONDITION outside of a pod.
struct InClusterOptions {
  std::string host;
  std::string port;
  std::string folder = "/var/run/secrets/kubernetes.io/serviceaccount";
};
Result<ClusterAccess> InClusterAccess(const InClusterOptions& options);

}  // namespace leadsman::kube
