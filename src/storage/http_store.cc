#include "storage/http_store.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/archive.h"
#include "storage/manifest.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

constexpr const char* kIndexName = "versions.json";
constexpr size_t kMaxIndexBytes = 4 << 20;
constexpr size_t kMaxVersions = 100'000;

std::string FolderOf(const StoreUri& uri, bool archive) {
  std::string path = uri.path;
  if (archive) path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  return StrCat(uri.scheme, "://", uri.authority, path.empty() ? "" : "/", path);
}
std::string ArchiveOf(const StoreUri& uri) {
  std::string name = uri.path.substr(uri.path.rfind('/') + 1);
  return IsArchiveName(name) ? name : "";
}

Result<std::string> RelativePath(const Json& json, const std::string& where) {
  if (!json.is_string() || !IsInsidePath(json.get_ref<const std::string&>())) {
    return InvalidArgumentError(
        StrCat(where, " must be a path relative to ", kIndexName, ", without \"..\""));
  }
  return json.get<std::string>();
}

Result<HttpIndexEntry> ParseEntry(const Json& json, const std::string& where) {
  HttpIndexEntry entry;
  auto number = [&](const Json& value, const std::string& field) -> Status {
    if (!value.is_number_integer() || value.get<int64_t>() < 1)
      return InvalidArgumentError(StrCat(field, " must be a whole number from 1"));
    entry.version = value.get<int64_t>();
    return OkStatus();
  };
  if (!json.is_object()) {
    if (!json.is_number_integer())
      return InvalidArgumentError(StrCat(where, " must be a version's number, or an object"));
    RETURN_IF_ERROR(number(json, where));
    entry.manifest = StrCat(entry.version, "/", kManifestFileName);
    return entry;
  }
  for (const auto& [key, value] : json.items()) {
    std::string field = StrCat(where, ".", key.substr(0, 40));
    if (key == "version") {
      RETURN_IF_ERROR(number(value, field));
    } else if (key == "manifest") {
      ASSIGN_OR_RETURN(entry.manifest, RelativePath(value, field));
      if (!entry.manifest.ends_with(StrCat("/", kManifestFileName)))
        return InvalidArgumentError(StrCat(field, " must end with /", kManifestFileName));
    } else if (key == "archive") {
      ASSIGN_OR_RETURN(entry.archive, RelativePath(value, field));
      if (!IsArchiveName(entry.archive)) {
        return InvalidArgumentError(
            StrCat(field, " must end with .tar.gz, .tgz, .tar.zst, .tar or .zip"));
      }
    } else if (key == "sha256") {
      bool hex = value.is_string() && value.get_ref<const std::string&>().size() == 64;
      if (hex) entry.sha256 = value.get<std::string>();
      for (char& c : entry.sha256) {
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
        hex = hex && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
      }
      if (!hex) return InvalidArgumentError(StrCat(field, " must be 64 hexadecimal digits"));
    } else {
      return InvalidArgumentError(
          StrCat(field, " is not known; there are version, manifest, archive and sha256"));
    }
  }
  if (entry.version == 0) return InvalidArgumentError(StrCat(where, ".version must be there"));
  if (entry.manifest.empty() == entry.archive.empty())
    return InvalidArgumentError(StrCat(where, " must have either manifest or archive"));
  if (entry.archive.empty() && !entry.sha256.empty()) {
    return InvalidArgumentError(
        StrCat(where, ".sha256 is that of an archive; a manifest has its own sums"));
  }
  return entry;
}

}  // namespace

Result<std::vector<HttpIndexEntry>> ParseHttpIndex(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("versions") || !json["versions"].is_array())
    return InvalidArgumentError(
        StrCat(kIndexName, " must be a JSON object like {\"versions\": [1, 2]}"));
  if (json["versions"].size() > kMaxVersions)
    return InvalidArgumentError(StrCat("versions must list at most ", kMaxVersions));
  std::vector<HttpIndexEntry> entries;
  std::set<int64_t> seen;
  for (size_t i = 0; i < json["versions"].size(); ++i) {
    std::string where = StrCat("versions[", i, "]");
    ASSIGN_OR_RETURN(HttpIndexEntry entry, ParseEntry(json["versions"][i], where));
    if (!seen.insert(entry.version).second)
      return InvalidArgumentError(
          StrCat(where, " is version ", entry.version, ", which is there twice"));
    entries.push_back(std::move(entry));
  }
  return entries;
}

int64_t VersionOfArchive(std::string_view name) {
  name = name.substr(name.rfind('/') + 1);
  for (std::string_view ending : {".tar.gz", ".tgz", ".tar.zst", ".tar", ".zip"}) {
    if (name.ends_with(ending)) {
      name.remove_suffix(ending.size());
      break;
    }
  }
  size_t digits = name.size();
  while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
  bool apart = digits == 0 || name[digits - 1] == '-' || name[digits - 1] == '_' ||
               name.substr(0, digits).ends_with("-v") || name.substr(0, digits).ends_with("_v");
  int64_t version = apart ? VersionNumber(name.substr(digits)) : 0;
  return version > 0 ? version : 1;
}

HttpStore::HttpStore(const StoreUri& uri, const StorageOptions::Http& options,
                     Environment environment, StoreHttp& http)
    : base_(FolderOf(uri, !ArchiveOf(uri).empty())),
      query_(uri.query),
      archive_(ArchiveOf(uri)),
      options_(options),
      environment_(std::move(environment)),
      http_(http) {}

Result<StoreRequest> HttpStore::Request(const std::string& path) const {
  StoreRequest request{.url =
                           StrCat(base_, "/", archive_.empty() ? EncodePath(path) : path, query_)};
  std::string token = environment_("LEADSMAN_HTTP_TOKEN");
  if (!options_.token_file.empty()) {
    Result<std::string> text = ReadFile(options_.token_file, 1 << 20);
    if (!text.ok())
      return Status(StatusCode::kUnauthenticated,
                    StrCat("storage.http.token_file: ", text.status().message()));
    token = std::string(Trim(*text));
  }
  if (!token.empty()) request.authorization = StrCat("Bearer ", token);
  request.netrc_file = options_.netrc_file.empty() ? environment_("NETRC") : options_.netrc_file;
  return request;
}

Status HttpStore::Refusal(const StoreAnswer& answer, const std::string& url) const {
  if (answer.status == 401 || answer.status == 403) {
    std::string from = !options_.token_file.empty() ? options_.token_file
                       : !environment_("LEADSMAN_HTTP_TOKEN").empty()
                           ? "the environment (LEADSMAN_HTTP_TOKEN)"
                       : !options_.netrc_file.empty()   ? options_.netrc_file
                       : !environment_("NETRC").empty() ? environment_("NETRC")
                                                        : "";
    return Status(
        answer.status == 401 ? StatusCode::kUnauthenticated : StatusCode::kPermissionDenied,
        StrCat(RedactUrl(url), " answered ", answer.status,
               !from.empty()     ? StrCat(" to the credentials from ", from)
               : !query_.empty() ? ": the signature in its query is wrong, or may have expired"
                                 : ": no credentials were given (storage.http.token_file, "
                                   "LEADSMAN_HTTP_TOKEN, storage.http.netrc_file)"));
  }
  return StatusOfAnswer(answer, url, "");
}

Result<RemoteListing> HttpStore::List(const StoreCall& call) {
  std::vector<RemoteVersion> versions;
  if (!archive_.empty()) {
    RemoteFile file{.path = archive_, .key = archive_};
    RETURN_IF_ERROR(LookAt(file, call));
    RemoteVersion version{.version = VersionOfArchive(archive_), .complete = true, .archive = true};
    version.stamp = StrCat(file.revision, " ", file.size);
    version.files = {std::move(file)};
    versions.push_back(std::move(version));
    return RemoteListing{std::move(versions), {}};
  }
  ASSIGN_OR_RETURN(StoreRequest request, Request(kIndexName));
  request.max_body = kMaxIndexBytes;
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  if (answer.status == 404) {
    return NotFoundError(
        StrCat(RedactUrl(request.url),
               " answered 404: a model on a web server needs this index of its "
               "versions, or the path of one archive (docs/stores.md, \"Web servers\")"));
  }
  if (!answer.ok()) return Refusal(answer, request.url);
  Result<std::vector<HttpIndexEntry>> index = ParseHttpIndex(answer.body);
  if (!index.ok()) return Annotate(index.status(), RedactUrl(request.url));
  for (HttpIndexEntry& entry : *index) {
    RemoteVersion version{.version = entry.version, .complete = true};
    version.stamp = StrCat(entry.manifest, " ", entry.archive, " ", entry.sha256);
    version.archive = !entry.archive.empty();
    version.key = entry.manifest;
    if (version.archive) {
      RemoteFile file{.path = entry.archive.substr(entry.archive.rfind('/') + 1),
                      .key = entry.archive};
      file.sha256 = entry.sha256;
      version.files = {std::move(file)};
    }
    versions.push_back(std::move(version));
  }
  return RemoteListing{std::move(versions), {}};
}

Result<StoreAnswer> HttpStore::HeadOfGet(StoreRequest request, const StoreCall& call) {
  request.method = "GET";
  request.headers.emplace_back("Range", "bytes=0-0");
  std::optional<StoreAnswer> head;
  auto keep = [&](const StoreAnswer& answer) {
    head = answer;
    return OkStatus();
  };
  // A server without ranges would send all of it.
  auto end = [](std::string_view) { return CancelledError("the head is enough"); };
  Result<StoreAnswer> answer = http_.Stream(request, keep, end, call);
  if (head) return *std::move(head);
  return answer;
}

Status HttpStore::LookAt(RemoteFile& file, const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreRequest request, Request(file.key));
  request.method = "HEAD";
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  // What signs a URL signs its method, too: mostly that is GET alone.
  if (answer.status == 403 && !query_.empty()) {
    ASSIGN_OR_RETURN(answer, HeadOfGet(request, call));
  }
  if (answer.status == 405 || answer.status == 501) return OkStatus();
  if (!answer.ok()) return Refusal(answer, request.url);
  std::string range = answer.Header("content-range");  // "bytes 0-0/4711"
  file.size = ParseInt64(answer.status == 206 ? range.substr(range.rfind('/') + 1)
                                              : answer.Header("content-length"))
                  .value_or(-1);
  std::string etag = answer.Header("etag");
  file.revision = etag.starts_with('"') ? etag : answer.Header("last-modified");
  return OkStatus();
}

Result<std::vector<RemoteFile>> HttpStore::Files(const RemoteVersion& version,
                                                 const StoreCall& call) {
  std::vector<RemoteFile> files = version.files;
  if (version.archive) {
    if (files[0].size < 0) RETURN_IF_ERROR(LookAt(files[0], call));
    return files;
  }
  RemoteFile manifest{.path = kManifestFileName, .key = version.key};
  ASSIGN_OR_RETURN(StoreRequest request, Request(manifest.key));
  request.max_body = kMaxManifestBytes;
  ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
  if (answer.status == 404) {
    return NotFoundError(StrCat(
        RedactUrl(request.url), " answered 404: a version that ", kIndexName,
        " lists by its number alone needs a ", kManifestFileName,
        ", which names its files, for a web server does not list them; add one, or list an archive "
        "instead: {\"version\": ",
        version.version, ", \"archive\": \"model-", version.version,
        ".tar.gz\"} (docs/stores.md, \"Web servers\")"));
  }
  if (!answer.ok()) return Refusal(answer, request.url);
  Result<Manifest> parsed = ParseManifest(answer.body);
  if (!parsed.ok()) return Annotate(parsed.status(), RedactUrl(request.url));
  manifest.size = static_cast<int64_t>(answer.body.size());
  std::string folder = version.key.substr(0, version.key.rfind('/') + 1);
  files.push_back(manifest);
  for (const Manifest::File& listed : parsed->files) {
    RemoteFile file{.path = listed.path, .key = folder + listed.path, .size = listed.size_bytes};
    file.sha256 = listed.sha256;
    files.push_back(std::move(file));
  }
  return files;
}

Status HttpStore::Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                       const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreRequest request, Request(file.key));
  // A part of another file than before is not sent then, but the whole.
  if (offset > 0 && !file.revision.empty()) request.headers.emplace_back("If-Range", file.revision);
  std::string url = request.url;
  return ReadByRange(http_, std::move(request), offset, file.size, sink, call,
                     [&](const StoreAnswer& answer) { return Refusal(answer, url); });
}

}  // namespace leadsman
