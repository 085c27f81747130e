#include "storage/mlflow_store.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 16;
constexpr int kMaxPages = 1'000;
constexpr size_t kMaxFiles = 10'000;
constexpr std::string_view kApi = "/api/2.0/mlflow/";
constexpr std::string_view kProxy = "/api/2.0/mlflow-artifacts/artifacts";

std::string Text(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}
/// Whole numbers come as numbers or as texts, by the server's version.
int64_t Number(const Json& json, const char* key) {
  auto it = json.find(key);
  if (it == json.end()) return -1;
  if (it->is_number_integer()) return it->get<int64_t>();
  return it->is_string() ? ParseInt64(it->get_ref<const std::string&>()).value_or(-1) : -1;
}

Result<MlflowVersion> ParseVersion(const Json& json) {
  if (!json.is_object())
    return UnavailableError("the registry told of a version that is no object");
  MlflowVersion version{.version = Number(json, "version"), .status = Text(json, "status")};
  if (version.version < 1) return UnavailableError("the registry told of a version without number");
  version.message = Text(json, "status_message");
  version.created_ms = Number(json, "creation_timestamp");
  return version;
}

/// "mlflow-artifacts://host/1/abc" and "mlflow-artifacts:/1/abc" → "1/abc".
std::string ProxyPath(std::string_view uri) {
  uri.remove_prefix(uri.find(':') + 1);
  if (uri.starts_with("//")) {
    uri.remove_prefix(2);
    size_t slash = uri.find('/');
    uri = slash == std::string_view::npos ? "" : uri.substr(slash);
  }
  while (uri.starts_with('/')) uri.remove_prefix(1);
  while (uri.ends_with('/')) uri.remove_suffix(1);
  return std::string(uri);
}

std::string ErrorText(std::string_view body) {
  Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? Text(json, "message") : "";
}

}  // namespace

Result<MlflowPage> ParseMlflowVersions(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return UnavailableError("the registry answered no JSON object");
  MlflowPage page;
  page.next = Text(json, "next_page_token");
  if (json.contains("model_version")) {
    ASSIGN_OR_RETURN(MlflowVersion version, ParseVersion(json["model_version"]));
    page.versions.push_back(std::move(version));
    return page;
  }
  auto list = json.find("model_versions");
  if (list == json.end()) return page;  // none
  if (!list->is_array())
    return UnavailableError("model_versions in the registry's answer is no array");
  for (const Json& item : *list) {
    ASSIGN_OR_RETURN(MlflowVersion version, ParseVersion(item));
    page.versions.push_back(std::move(version));
  }
  return page;
}

Result<std::vector<MlflowArtifact>> ParseMlflowArtifacts(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return UnavailableError("the artifact proxy answered no JSON object");
  std::vector<MlflowArtifact> artifacts;
  auto list = json.find("files");
  if (list == json.end()) return artifacts;
  if (!list->is_array())
    return UnavailableError("files in the artifact proxy's answer is no array");
  for (const Json& item : *list) {
    if (!item.is_object()) return UnavailableError("the artifact proxy told of an odd file");
    MlflowArtifact artifact{.name = Text(item, "path")};
    artifact.folder = item.contains("is_dir") && item["is_dir"] == true;
    artifact.size = Number(item, "file_size");
    if (!IsInsidePath(artifact.name)) {
      return InvalidArgumentError(StrCat("the artifact proxy told of the file \"",
                                         artifact.name.substr(0, 200), "\", which is no path"));
    }
    artifacts.push_back(std::move(artifact));
  }
  return artifacts;
}

Result<std::unique_ptr<MlflowStore>> MlflowStore::Create(const StoreUri& uri,
                                                         const StorageOptions& options,
                                                         Environment environment, StoreHttp& http) {
  std::string server = options.mlflow.tracking_uri;
  if (server.empty()) server = environment("MLFLOW_TRACKING_URI");
  if (server.empty()) {
    return InvalidArgumentError(
        "models:/ needs the tracking server's address: set storage.mlflow.tracking_uri or "
        "MLFLOW_TRACKING_URI to http(s)://host:port");
  }
  if (!server.starts_with("http://") && !server.starts_with("https://")) {
    return InvalidArgumentError(
        StrCat("the tracking server's address must begin with http:// or https://, not ",
               server.substr(0, server.find(':')),
               ": files and databases of MLflow are read by its "
               "server only"));
  }
  if (RedactUrl(server) != server) {
    return InvalidArgumentError(
        "the tracking server's address must hold no user, password or query; set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN");
  }
  while (server.ends_with('/')) server.pop_back();
  return std::unique_ptr<MlflowStore>(
      new MlflowStore(uri, options, std::move(environment), std::move(server), http));
}

MlflowStore::MlflowStore(const StoreUri& uri, const StorageOptions& options,
                         Environment environment, std::string server, StoreHttp& http)
    : uri_(uri),
      options_(options),
      environment_(std::move(environment)),
      server_(std::move(server)),
      http_(http) {}

Result<MlflowStore::Credentials> MlflowStore::FindCredentials() const {
  const std::string& file = options_.mlflow.token_file;
  if (!file.empty()) {
    Result<std::string> token = ReadFile(file, 1 << 20);
    if (!token.ok()) {
      return Status(StatusCode::kUnauthenticated,
                    StrCat("storage.mlflow.token_file: ", token.status().message()));
    }
    if (Trim(*token).empty()) {
      return Status(StatusCode::kUnauthenticated,
                    StrCat("storage.mlflow.token_file: ", file, " is empty"));
    }
    return Credentials{StrCat("Bearer ", Trim(*token)), "", file};
  }
  std::string user = environment_("MLFLOW_TRACKING_USERNAME");
  std::string password = environment_("MLFLOW_TRACKING_PASSWORD");
  std::string token = environment_("MLFLOW_TRACKING_TOKEN");
  // MLflow's own client takes a user with a password before a token.
  if (!token.empty() && (user.empty() || password.empty()))
    return Credentials{StrCat("Bearer ", token), "", "the environment (MLFLOW_TRACKING_TOKEN)"};
  if (user.empty()) return Credentials{};
  return Credentials{StrCat("Basic ", ToBase64(StrCat(user, ":", password))), password,
                     "the environment (MLFLOW_TRACKING_USERNAME)"};
}

Result<StoreRequest> MlflowStore::Request(const std::string& path) const {
  ASSIGN_OR_RETURN(Credentials credentials, FindCredentials());
  StoreRequest request{.url = server_ + path};
  request.authorization = std::move(credentials.authorization);
  request.secrets = {std::move(credentials.password)};
  return request;
}

Status MlflowStore::Refusal(const StoreAnswer& answer, const std::string& url) const {
  if (answer.status == 401 || answer.status == 403) {
    Result<Credentials> credentials = FindCredentials();
    std::string who = credentials.ok() ? credentials->origin : options_.mlflow.token_file;
    return Status(
        answer.status == 401 ? StatusCode::kUnauthenticated : StatusCode::kPermissionDenied,
        StrCat("the MLflow server ", server_, " refused ",
               who.empty() ? "to answer without credentials (MLFLOW_TRACKING_USERNAME and "
                             "MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN)"
                           : StrCat("the credentials from ", who)));
  }
  return StatusOfAnswer(answer, url, ErrorText(answer.body));
}

Result<std::string> MlflowStore::Get(const std::string& path, const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreRequest request, Request(path));
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  if (!answer.ok()) return Refusal(answer, request.url);
  return std::move(answer.body);
}

Result<RemoteListing> MlflowStore::List(const StoreCall& call) {
  std::string name = UrlEncode(uri_.model);
  std::string path;
  if (uri_.version > 0) {
    path = StrCat(kApi, "model-versions/get?name=", name, "&version=", uri_.version);
  } else if (!uri_.alias.empty()) {
    path = StrCat(kApi, "registered-models/alias?name=", name, "&alias=", UrlEncode(uri_.alias));
  } else {
    // The registry's filters know no escape for a quote of the kind that is around the value.
    char quote = uri_.model.find('\'') == std::string::npos ? '\'' : '"';
    std::string filter = StrCat("name=", quote, uri_.model, quote);
    path = StrCat(kApi, "model-versions/search?max_results=1000&filter=", UrlEncode(filter));
  }
  std::vector<RemoteVersion> versions;
  std::string next;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    ASSIGN_OR_RETURN(
        std::string body,
        Get(next.empty() ? path : StrCat(path, "&page_token=", UrlEncode(next)), call));
    Result<MlflowPage> page = ParseMlflowVersions(body);
    if (!page.ok()) return Annotate(page.status(), server_);
    for (const MlflowVersion& found : page->versions) {
      RemoteVersion version{.version = found.version};
      version.complete = found.status.empty() || found.status == "READY";
      if (!version.complete) {
        version.waiting = StrCat("the registry says ", found.status,
                                 found.message.empty() ? "" : ": ", found.message);
      }
      version.stamp = version.key = StrCat(found.version, "-", found.created_ms);
      versions.push_back(std::move(version));
    }
    if (page->next.empty()) return RemoteListing{std::move(versions), {}};
    next = page->next;
  }
  return ResourceExhaustedError("the registry's list of versions does not end");
}

Status MlflowStore::CollectArtifacts(const std::string& root, const std::string& relative,
                                     int depth, const std::string& revision,
                                     std::vector<RemoteFile>& files, const StoreCall& call) {
  if (depth > kMaxDepth)
    return FailedPreconditionError(StrCat("folders are nested deeper than ", kMaxDepth, " levels"));
  std::string folder = relative.empty() ? root : JoinPath(root, relative);
  ASSIGN_OR_RETURN(std::string body, Get(StrCat(kProxy, "?path=", UrlEncode(folder)), call));
  ASSIGN_OR_RETURN(std::vector<MlflowArtifact> artifacts, ParseMlflowArtifacts(body));
  for (const MlflowArtifact& artifact : artifacts) {
    std::string path = relative.empty() ? artifact.name : JoinPath(relative, artifact.name);
    if (artifact.folder) {
      RETURN_IF_ERROR(CollectArtifacts(root, path, depth + 1, revision, files, call));
      continue;
    }
    if (files.size() >= kMaxFiles)
      return ResourceExhaustedError(StrCat("the version has more than ", kMaxFiles, " files"));
    RemoteFile file{.path = path, .key = JoinPath(root, path), .size = artifact.size};
    file.revision = revision;
    files.push_back(std::move(file));
  }
  return OkStatus();
}

Result<std::vector<RemoteFile>> MlflowStore::Files(const RemoteVersion& version,
                                                   const StoreCall& call) {
  ASSIGN_OR_RETURN(std::string body,
                   Get(StrCat(kApi, "model-versions/get-download-uri?name=", UrlEncode(uri_.model),
                              "&version=", version.version),
                       call));
  Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  std::string where = json.is_object() ? Text(json, "artifact_uri") : "";
  std::vector<RemoteFile> files;
  if (where.starts_with("mlflow-artifacts:")) {
    std::string root = ProxyPath(where);
    if (!IsInsidePath(root))
      return InvalidArgumentError(StrCat("the registry gives an odd place: ", RedactUrl(where)));
    RETURN_IF_ERROR(CollectArtifacts(root, "", 0, version.key, files, call));
    return files;
  }
  if (where.starts_with("s3://") || where.starts_with("gs://")) {
    ASSIGN_OR_RETURN(StoreUri uri, ParseStoreUri(where));
    std::string any_key = StrCat(where.substr(0, 5), uri.authority, "/");
    std::string inner;
    RemoteStore* store = OtherStore(any_key, inner);
    bool s3 = uri.kind == StoreUri::Kind::kS3;
    ASSIGN_OR_RETURN(files, s3 ? static_cast<S3Store*>(store)->ListBelow(uri.path + "/", call)
                               : static_cast<GcsStore*>(store)->ListBelow(uri.path + "/", call));
    std::erase_if(files, [](const RemoteFile& file) { return file.path.ends_with('/'); });
    for (RemoteFile& file : files) {
      if (!IsInsidePath(file.path))
        return InvalidArgumentError(StrCat("the object name ", file.path, " cannot be a path"));
      file.key = any_key + file.key;
    }
    return files;
  }
  return UnimplementedError(
      StrCat("the MLflow server keeps this version in ", RedactUrl(where),
             ", which is not reached from here: let it hand artifacts out (mlflow server "
             "--serve-artifacts, the default) or keep them in s3:// or gs://"));
}

RemoteStore* MlflowStore::OtherStore(const std::string& key, std::string& inner) {
  bool s3 = key.starts_with("s3://");
  if (!s3 && !key.starts_with("gs://")) return nullptr;
  size_t slash = key.find('/', 5);
  StoreUri uri{.kind = s3 ? StoreUri::Kind::kS3 : StoreUri::Kind::kGcs,
               .scheme = key.substr(0, 2),
               .authority = key.substr(5, slash - 5)};
  inner = key.substr(slash + 1);
  MutexLock lock(mutex_);
  if (s3) {
    auto& store = s3_[uri.authority];
    if (!store) store = std::make_unique<S3Store>(uri, options_.s3, environment_, http_);
    return store.get();
  }
  auto& store = gcs_[uri.authority];
  if (!store) store = std::make_unique<GcsStore>(uri, options_.gcs, environment_, http_);
  return store.get();
}

Status MlflowStore::Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                         const StoreCall& call) {
  RemoteFile inner = file;
  if (RemoteStore* other = OtherStore(file.key, inner.key))
    return other->Read(inner, offset, sink, call);
  ASSIGN_OR_RETURN(StoreRequest request, Request(StrCat(kProxy, "/", EncodePath(file.key))));
  std::string url = request.url;
  return ReadByRange(http_, std::move(request), offset, file.size, sink, call,
                     [&](const StoreAnswer& answer) { return Refusal(answer, url); });
}

}  // namespace leadsman
