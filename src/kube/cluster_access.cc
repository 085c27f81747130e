#include "kube/cluster_access.h"

#include <optional>

#include "base/base64.h"
#include "base/config_node.h"
#include "base/fs.h"
#include "base/strings.h"
#include "net/url.h"

namespace leadsman::kube {
namespace {

constexpr size_t kMaxFile = 4 << 20;
constexpr ConfigLimits kLimits{.max_bytes = kMaxFile, .max_depth = 32, .max_nodes = 200'000};

std::string TextAt(const ConfigNode& node, std::string_view key) {
  const ConfigNode* found = node.Find(key);
  return found != nullptr && found->kind == ConfigNode::Kind::kScalar ? found->text : std::string();
}

bool Has(const ConfigNode& node, std::string_view key) {
  const ConfigNode* found = node.Find(key);
  return found != nullptr && found->kind != ConfigNode::Kind::kNull;
}

/// One file as read, and the one entry of a list in it that has a name.
struct File {
  std::string path;
  ConfigNode root;
};
struct Entry {
  const File* file = nullptr;
  const ConfigNode* content = nullptr;
  std::string where;  ///< "kubeconfig FILE: users[2].user"
};

Result<File> Read(const KubeconfigText& text) {
  File file{text.path, {}};
  std::vector<ConfigProblem> problems;
  if (!ParseYaml(text.text, kLimits, file.root, problems)) {
    return InvalidArgumentError(
        StrCat("kubeconfig ", text.path, " cannot be read: ", FormatProblems(text.path, problems)));
  }
  if (file.root.kind != ConfigNode::Kind::kMap && file.root.kind != ConfigNode::Kind::kNull) {
    return InvalidArgumentError(
        StrCat("kubeconfig ", text.path, " is no kubeconfig: it holds no fields"));
  }
  return file;
}

/// `list` is "contexts", `inside` "context".
Result<Entry> FindEntry(const std::vector<File>& files, const std::string& list,
                        const std::string& inside, std::string_view name) {
  std::vector<std::string> known;
  for (const File& file : files) {
    const ConfigNode* entries = file.root.Find(list);
    if (entries == nullptr) continue;
    for (size_t i = 0; i < entries->items.size(); ++i) {
      const ConfigNode& item = entries->items[i];
      known.push_back(TextAt(item, "name"));
      if (known.back() != name) continue;
      std::string where = StrCat("kubeconfig ", file.path, ": ", list, "[", i, "].", inside);
      const ConfigNode* content = item.Find(inside);
      if (content == nullptr || content->kind != ConfigNode::Kind::kMap) {
        return InvalidArgumentError(StrCat(where, " is missing"));
      }
      return Entry{&file, content, std::move(where)};
    }
  }
  const std::string paths = files.empty() ? "" : StrCat(" ", files.front().path);
  return NotFoundError(StrCat("kubeconfig", paths, " has no ", inside, " \"", name,
                              "\"; it has: ", HumanList(known)));
}

std::string Resolved(const Entry& entry, const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  const size_t slash = entry.file->path.rfind('/');
  return slash == std::string::npos ? path : JoinPath(entry.file->path.substr(0, slash), path);
}

/// `field`-data, in base64, counts before the file named by `field`.
Status TakePem(const Entry& entry, const std::string& field, std::string& text, std::string& file) {
  const std::string data = TextAt(*entry.content, field + "-data");
  if (data.empty()) {
    file = Resolved(entry, TextAt(*entry.content, field));
    return OkStatus();
  }
  if (!DecodeBase64(data, text) || text.find("-----BEGIN") == std::string::npos) {
    return InvalidArgumentError(StrCat(entry.where, ".", field, "-data is not PEM in base64"));
  }
  return OkStatus();
}

Status TakeCluster(const Entry& cluster, ClusterAccess& access) {
  access.server = TextAt(*cluster.content, "server");
  while (!access.server.empty() && access.server.back() == '/') access.server.pop_back();
  if (access.server.empty())
    return InvalidArgumentError(StrCat(cluster.where, ".server is missing"));
  auto url = net::ParseUrl(access.server);
  if (!url.ok()) return Annotate(url.status(), StrCat(cluster.where, ".server"));
  if (Has(*cluster.content, "proxy-url")) {
    return UnimplementedError(StrCat(
        cluster.where, ".proxy-url is not supported; give a server that is reached directly"));
  }
  const std::string skip = TextAt(*cluster.content, "insecure-skip-tls-verify");
  if (!skip.empty() && skip != "true" && skip != "false") {
    return InvalidArgumentError(StrCat(
        cluster.where, ".insecure-skip-tls-verify must be true or false, not \"", skip, "\""));
  }
  access.tls.verify = skip != "true";
  access.tls.server_name = TextAt(*cluster.content, "tls-server-name");
  return TakePem(cluster, "certificate-authority", access.tls.ca_pem, access.tls.ca_file);
}

Status RefuseUnsupported(const Entry& user) {
  struct Unsupported {
    std::string_view field;
    std::string_view what;
  };
  static constexpr Unsupported kUnsupported[] = {{"exec", "credential plug-ins are"},
                                                 {"auth-provider", "auth providers are"},
                                                 {"username", "user names with passwords are"},
                                                 {"password", "user names with passwords are"},
                                                 {"as", "impersonation is"},
                                                 {"as-uid", "impersonation is"},
                                                 {"as-groups", "impersonation is"},
                                                 {"as-user-extra", "impersonation is"}};
  for (const auto& [field, what] : kUnsupported) {
    if (!Has(*user.content, field)) continue;
    return UnimplementedError(StrCat(user.where, ".", field, ": ", what,
                                     " not supported; use client-certificate, token or tokenFile"));
  }
  return OkStatus();
}

Status TakeUser(const Entry& user, ClusterAccess& access) {
  RETURN_IF_ERROR(RefuseUnsupported(user));
  // As kubectl: the file counts before the token beside it.
  access.token_file = Resolved(user, TextAt(*user.content, "tokenFile"));
  if (access.token_file.empty()) access.token = TextAt(*user.content, "token");
  net::TlsClientOptions& tls = access.tls;
  RETURN_IF_ERROR(TakePem(user, "client-certificate", tls.cert_pem, tls.cert_file));
  RETURN_IF_ERROR(TakePem(user, "client-key", tls.key_pem, tls.key_file));
  const bool has_certificate = !tls.cert_pem.empty() || !tls.cert_file.empty();
  const bool has_key = !tls.key_pem.empty() || !tls.key_file.empty();
  if (has_certificate != has_key) {
    return InvalidArgumentError(
        StrCat(user.where, " needs client-certificate and client-key together"));
  }
  return OkStatus();
}

/// TLS is set up from files or from texts; a kubeconfig may mix them.
Status ReadMixedFiles(net::TlsClientOptions& tls) {
  if (tls.cert_pem.empty() == tls.key_pem.empty()) return OkStatus();
  for (auto [text, file] :
       {std::pair(&tls.cert_pem, &tls.cert_file), std::pair(&tls.key_pem, &tls.key_file)}) {
    if (!text->empty()) continue;
    ASSIGN_OR_RETURN(*text, ReadFile(*file, kMaxFile));
    file->clear();
  }
  return OkStatus();
}

}  // namespace

Result<ClusterAccess> ParseKubeconfigs(const std::vector<KubeconfigText>& texts,
                                       std::string_view context) {
  std::vector<File> files;
  for (const KubeconfigText& text : texts) {
    ASSIGN_OR_RETURN(File file, Read(text));
    files.push_back(std::move(file));
  }
  std::string name(context);
  for (const File& file : files) {
    if (name.empty()) name = TextAt(file.root, "current-context");
  }
  if (name.empty()) {
    return InvalidArgumentError(StrCat("kubeconfig ", texts.empty() ? "" : texts.front().path,
                                       " has no current-context; name a context"));
  }
  ASSIGN_OR_RETURN(const Entry chosen, FindEntry(files, "contexts", "context", name));
  ClusterAccess access;
  access.source = StrCat("kubeconfig ", chosen.file->path, ", context ", name);
  if (std::string ns = TextAt(*chosen.content, "namespace"); !ns.empty()) access.ns = std::move(ns);
  if (TextAt(*chosen.content, "cluster").empty())
    return InvalidArgumentError(StrCat(chosen.where, ".cluster is missing"));
  ASSIGN_OR_RETURN(const Entry cluster,
                   FindEntry(files, "clusters", "cluster", TextAt(*chosen.content, "cluster")));
  RETURN_IF_ERROR(TakeCluster(cluster, access));
  if (const std::string user = TextAt(*chosen.content, "user"); !user.empty()) {
    ASSIGN_OR_RETURN(const Entry entry, FindEntry(files, "users", "user", user));
    RETURN_IF_ERROR(TakeUser(entry, access));
  }
  const bool has_token = !access.token.empty() || !access.token_file.empty();
  if (has_token && !net::ParseUrl(access.server)->https) {
    return InvalidArgumentError(StrCat(cluster.where,
                                       ".server must begin with https://, or "
                                       "anybody on the way could read the user's token"));
  }
  return access;
}

Result<ClusterAccess> LoadKubeconfigs(const std::vector<std::string>& paths,
                                      std::string_view context) {
  std::vector<KubeconfigText> texts;
  Status missing;
  for (const std::string& path : paths) {
    auto text = ReadFile(path, kMaxFile);
    if (text.ok()) {
      texts.push_back({path, std::move(text).value()});
    } else if (text.status().code() == StatusCode::kNotFound) {
      missing = text.status();  // one of several need not be there
    } else {
      return Annotate(text.status(), "kubeconfig");
    }
  }
  if (texts.empty()) {
    return missing.ok() ? InvalidArgumentError("no kubeconfig is named")
                        : Annotate(missing, "kubeconfig");
  }
  ASSIGN_OR_RETURN(ClusterAccess access, ParseKubeconfigs(texts, context));
  RETURN_IF_ERROR(Annotate(ReadMixedFiles(access.tls), access.source));
  return access;
}

Result<ClusterAccess> InClusterAccess(const InClusterOptions& options) {
  if (options.host.empty() || options.port.empty()) {
    return FailedPreconditionError(
        "this is no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
        "set; give a kubeconfig");
  }
  ClusterAccess access;
  const bool v6 = options.host.find(':') != std::string::npos;
  access.server = StrCat("https://", v6 ? "[" : "", options.host, v6 ? "]" : "", ":", options.port);
  access.source = StrCat("the pod's service account in ", options.folder);
  access.token_file = JoinPath(options.folder, "token");
  access.tls.ca_file = JoinPath(options.folder, "ca.crt");
  for (const std::string& path : {access.token_file, access.tls.ca_file}) {
    if (StampOf(path).ok()) continue;
    return FailedPreconditionError(StrCat(path,
                                          " is not there; let the pod have a service account "
                                          "(automountServiceAccountToken), or give a kubeconfig"));
  }
  auto ns = ReadFile(JoinPath(options.folder, "namespace"), 1024);
  if (ns.ok() && !Trim(*ns).empty()) access.ns = Trim(*ns);
  return access;
}

}  // namespace leadsman::kube
