#include "storage/webhdfs_store.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 16;

std::string Text(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}
int64_t Number(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_number_integer() ? it->get<int64_t>() : -1;
}

std::string RevisionOf(const HdfsEntry& entry) {
  return StrCat(entry.id, "-", entry.modified_ms, "-", entry.size);
}

bool IsStandby(const StoreAnswer& answer) {
  if (answer.status != 403) return false;
  std::string exception = ParseHdfsError(answer.body).exception;
  return exception == "StandbyException" || exception == "ObserverRetryOnActiveException";
}

}  // namespace

Result<std::vector<HdfsEntry>> ParseListStatus(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  const Json* list = nullptr;
  if (json.is_object() && json.contains("FileStatuses") && json["FileStatuses"].is_object() &&
      json["FileStatuses"].contains("FileStatus")) {
    list = &json["FileStatuses"]["FileStatus"];
  }
  if (list == nullptr || !list->is_array())
    return UnavailableError("the NameNode's listing has no FileStatuses.FileStatus");
  std::vector<HdfsEntry> entries;
  for (const Json& item : *list) {
    if (!item.is_object()) return UnavailableError("the NameNode's listing has an odd entry");
    HdfsEntry entry{.name = Text(item, "pathSuffix")};
    std::string type = Text(item, "type");
    entry.folder = type == "DIRECTORY";
    if (!entry.folder && type != "FILE") continue;  // a symbolic link
    entry.size = Number(item, "length");
    entry.modified_ms = Number(item, "modificationTime");
    entry.id = Number(item, "fileId");
    if (entry.size < 0)
      return UnavailableError("the NameNode's listing has an entry without length");
    entries.push_back(std::move(entry));
  }
  return entries;
}

HdfsError ParseHdfsError(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("RemoteException") ||
      !json["RemoteException"].is_object())
    return {};
  std::string message = Text(json["RemoteException"], "message");
  return {Text(json["RemoteException"], "exception"), message.substr(0, message.find('\n'))};
}

Result<std::unique_ptr<WebHdfsStore>> WebHdfsStore::Create(const StoreUri& uri,
                                                           const StorageOptions::Hdfs& options,
                                                           const Environment& environment,
                                                           StoreHttp& http) {
  std::vector<std::string> endpoints = options.endpoints;
  for (std::string& endpoint : endpoints) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
  }
  if (uri.scheme != "hdfs") {
    endpoints = {StrCat(uri.scheme == "swebhdfs" ? "https://" : "http://", uri.authority)};
  } else if (endpoints.empty()) {
    // The port in hdfs:// is that of the RPC service.
    std::string host = uri.authority.substr(0, uri.authority.rfind(':'));
    endpoints = {StrCat("http://", host, ":9870")};
  }
  std::string user = options.user;
  if (user.empty()) user = environment("HADOOP_USER_NAME");
  return std::unique_ptr<WebHdfsStore>(
      new WebHdfsStore(uri, options, std::move(user), std::move(endpoints), http));
}

WebHdfsStore::WebHdfsStore(const StoreUri& uri, const StorageOptions::Hdfs& options,
                           std::string user, std::vector<std::string> endpoints, StoreHttp& http)
    : root_(StrCat("/", uri.path)),
      options_(options),
      user_(std::move(user)),
      endpoints_(std::move(endpoints)),
      http_(http) {}

Result<StoreRequest> WebHdfsStore::Request(const std::string& path, std::string_view op) const {
  StoreRequest request{
      .url = StrCat(endpoints_[active_], "/webhdfs/v1", EncodePath(path), "?op=", op)};
  if (!options_.token_file.empty()) {
    Result<std::string> token = ReadFile(options_.token_file, 1 << 20);
    if (!token.ok())
      return Status(StatusCode::kUnauthenticated,
                    StrCat("storage.hdfs.token_file: ", token.status().message()));
    request.secrets = {std::string(Trim(*token))};
    request.url += StrCat("&delegation=", UrlEncode(request.secrets[0]));
  } else if (!user_.empty()) {
    request.url += StrCat("&user.name=", UrlEncode(user_));
  }
  return request;
}

Status WebHdfsStore::Refusal(const StoreAnswer& answer, const std::string& path) const {
  HdfsError error = ParseHdfsError(answer.body);
  std::string said = error.exception.empty() ? StrCat("answered ", answer.status)
                                             : StrCat(error.exception, ": ", error.message);
  std::string who = !options_.token_file.empty() ? StrCat("the token in ", options_.token_file)
                    : user_.empty() ? "no user name (storage.hdfs.user, HADOOP_USER_NAME)"
                                    : StrCat("the user name ", user_);
  switch (answer.status) {
    case 401:
      return Status(StatusCode::kUnauthenticated,
                    StrCat("HDFS refused ", who, ": ", said,
                           "; Kerberos is not supported, a delegation token is "
                           "(storage.hdfs.token_file)"));
    case 403:
      if (IsStandby(answer)) return UnavailableError(StrCat("no NameNode is active: ", said));
      return PermissionDeniedError(StrCat(path, " may not be read with ", who, ": ", said));
    case 404:
      return NotFoundError(StrCat("HDFS has no ", path, ": ", said));
    default:
      return StatusOfAnswer(answer, endpoints_[active_] + path,
                            error.exception.empty() ? "" : said);
  }
}

Result<StoreAnswer> WebHdfsStore::Ask(const std::string& path, std::string_view op,
                                      const StoreCall& call) {
  Result<StoreAnswer> answer = InternalError("not asked");
  for (size_t tries = 0; tries < endpoints_.size(); ++tries) {
    ASSIGN_OR_RETURN(StoreRequest request, Request(path, op));
    answer = http_.Call(request, call);
    bool other =
        answer.ok() ? IsStandby(*answer) : answer.status().code() == StatusCode::kUnavailable;
    if (!other) return answer;
    TurnToNext();
  }
  return answer;
}

Result<std::vector<HdfsEntry>> WebHdfsStore::ListFolder(const std::string& path,
                                                        const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreAnswer answer, Ask(path, "LISTSTATUS", call));
  if (!answer.ok()) return Refusal(answer, path);
  Result<std::vector<HdfsEntry>> entries = ParseListStatus(answer.body);
  if (!entries.ok()) return Annotate(entries.status(), StrCat(endpoints_[active_], path));
  return entries;
}

Status WebHdfsStore::Collect(const std::string& relative, int depth, VersionCollector& versions,
                             const StoreCall& call) {
  if (depth > kMaxDepth)
    return FailedPreconditionError(StrCat("folders are nested deeper than ", kMaxDepth, " levels"));
  std::string folder = relative.empty() ? root_ : JoinPath(root_, relative);
  ASSIGN_OR_RETURN(std::vector<HdfsEntry> entries, ListFolder(folder, call));
  for (const HdfsEntry& entry : entries) {
    if (entry.name.empty())
      return FailedPreconditionError(StrCat(folder, " is a file, not a folder"));
    std::string path = relative.empty() ? entry.name : JoinPath(relative, entry.name);
    if (entry.folder) {
      if (relative.empty() && VersionNumber(entry.name) == 0) continue;
      RETURN_IF_ERROR(Collect(path, depth + 1, versions, call));
      continue;
    }
    RemoteFile file{.key = JoinPath(root_, path), .size = entry.size};
    file.revision = RevisionOf(entry);
    RETURN_IF_ERROR(versions.Add(path, std::move(file)));
  }
  return OkStatus();
}

Result<RemoteListing> WebHdfsStore::List(const StoreCall& call) {
  VersionCollector versions;
  RETURN_IF_ERROR(Collect("", 0, versions, call));
  return versions.Finish();
}

Status WebHdfsStore::Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                          const StoreCall& call) {
  if (file.size > 0 && offset >= file.size) return OkStatus();
  ASSIGN_OR_RETURN(StoreRequest request, Request(file.key, "OPEN"));
  request.url += StrCat("&offset=", offset);
  bool begun = false;
  Result<StoreAnswer> answer = http_.Stream(
      request, nullptr,
      [&](std::string_view bytes) {
        begun = true;
        return sink.Append(bytes);
      },
      call);
  if (!answer.ok()) {
    // Whoever tries again asks the other one, as Ask() does.
    if (!begun && answer.status().code() == StatusCode::kUnavailable) TurnToNext();
    return answer.status();
  }
  if (!answer->ok()) {
    sink.AskedToWait(RetryAfter(*answer, SystemClock().Now()));
    if (IsStandby(*answer)) TurnToNext();
    return Refusal(*answer, file.key);
  }
  // OPEN cannot be tied to one state of the file: so it is looked at once more.
  ASSIGN_OR_RETURN(std::vector<HdfsEntry> now, ListFolder(file.key, call));
  if (now.size() != 1 || !now[0].name.empty() || RevisionOf(now[0]) != file.revision)
    return AbortedError("the file was replaced while it was fetched; the store is listed anew");
  return OkStatus();
}

}  // namespace leadsman
