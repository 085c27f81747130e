#include "storage/gcs_store.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

constexpr int kMaxPages = 1'000;

std::string Text(const Json& json, const char* key) {
  auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string EndpointOf(const StorageOptions::Gcs& options, const Environment& environment) {
  std::string endpoint = options.endpoint;
  if (endpoint.empty()) endpoint = environment("STORAGE_EMULATOR_HOST");
  if (!endpoint.empty() && endpoint.find("://") == std::string::npos)
    endpoint = "http://" + endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

std::string ErrorText(std::string_view body) {
  Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_object())
    return Text(json["error"], "message");
  return std::string(body.substr(0, 200));
}

}  // namespace

Result<GcsPage> ParseGcsPage(std::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return UnavailableError("the store's listing is no JSON object");
  GcsPage page;
  page.next = Text(json, "nextPageToken");
  auto items = json.find("items");
  if (items == json.end()) return page;
  if (!items->is_array()) return UnavailableError("items in the store's listing is no array");
  for (const Json& item : *items) {
    if (!item.is_object())
      return UnavailableError("the store's listing has an item that is no object");
    GcsPage::Object object{.name = Text(item, "name"), .generation = Text(item, "generation")};
    std::optional<int64_t> size = ParseInt64(Text(item, "size"));
    if (object.name.empty() || !size || *size < 0)
      return UnavailableError("the store's listing has an object without name or size");
    object.size = *size;
    std::string bytes;
    if (FromBase64(Text(item, "md5Hash"), bytes) && bytes.size() == 16) object.md5 = ToHex(bytes);
    if (FromBase64(Text(item, "crc32c"), bytes) && bytes.size() == 4) {
      uint32_t sum = 0;
      for (char c : bytes) sum = sum << 8 | static_cast<unsigned char>(c);
      object.crc32c = sum;
    }
    page.objects.push_back(std::move(object));
  }
  return page;
}

GcsStore::GcsStore(const StoreUri& uri, const StorageOptions::Gcs& options,
                   const Environment& environment, StoreHttp& http)
    : bucket_(uri.authority),
      prefix_(uri.path.empty() ? "" : uri.path + "/"),
      http_(http),
      endpoint_(EndpointOf(options, environment)),
      tokens_(options, environment, http, !endpoint_.empty()) {
  if (endpoint_.empty()) endpoint_ = "https://storage.googleapis.com";
}

Status GcsStore::Refusal(const StoreAnswer& answer, const std::string& url,
                         const GoogleToken& token) {
  std::string detail = ErrorText(answer.body);
  if (answer.status == 401) {
    tokens_.Refused(token);
    return Status(
        StatusCode::kUnauthenticated,
        StrCat("Google Cloud Storage refused the token from ", token.origin, ": ", detail));
  }
  if (answer.status == 403) {
    return PermissionDeniedError(StrCat(
        RedactUrl(url), " may not be read with the credentials from ", token.origin, ": ", detail));
  }
  if (answer.status == 412)
    return AbortedError("the object was replaced while it was fetched; the store is listed anew");
  if (answer.status == 404 && detail.find("bucket") != std::string::npos)
    return NotFoundError(StrCat("there is no bucket ", bucket_, " at ", endpoint_));
  return StatusOfAnswer(answer, url, detail);
}

Result<std::vector<RemoteFile>> GcsStore::ListBelow(const std::string& prefix,
                                                    const StoreCall& call) {
  std::vector<RemoteFile> files;
  std::string next;
  bool refreshed = false;
  for (int pages = 0; pages < kMaxPages;) {
    ASSIGN_OR_RETURN(GoogleToken token, tokens_.Get(call));
    StoreRequest request{.url = StrCat(endpoint_, "/storage/v1/b/", UrlEncode(bucket_),
                                       "/o?maxResults=1000&prefix=", UrlEncode(prefix))};
    if (!next.empty()) request.url += StrCat("&pageToken=", UrlEncode(next));
    if (!token.token.empty()) request.authorization = StrCat("Bearer ", token.token);
    ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
    if (!answer.ok()) {
      Status refusal = Refusal(answer, request.url, token);
      if (refusal.code() != StatusCode::kUnauthenticated || refreshed) return refusal;
      refreshed = true;
      continue;
    }
    Result<GcsPage> page = ParseGcsPage(answer.body);
    if (!page.ok()) return Annotate(page.status(), RedactUrl(request.url));
    for (GcsPage::Object& object : page->objects) {
      if (!object.name.starts_with(prefix)) continue;
      RemoteFile file{.path = object.name.substr(prefix.size()), .key = std::move(object.name)};
      file.size = object.size;
      file.revision = std::move(object.generation);
      file.md5 = std::move(object.md5);
      file.crc32c = object.crc32c;
      files.push_back(std::move(file));
    }
    if (files.size() > VersionCollector::kMaxFiles) break;
    if (page->next.empty()) return files;
    next = std::move(page->next);
    ++pages;
  }
  return ResourceExhaustedError(StrCat("there are more than ", VersionCollector::kMaxFiles,
                                       " objects below gs://", bucket_, "/", prefix));
}

Result<RemoteListing> GcsStore::List(const StoreCall& call) {
  ASSIGN_OR_RETURN(std::vector<RemoteFile> files, ListBelow(prefix_, call));
  return ListingOf(std::move(files));
}

Status GcsStore::ReadOnce(const RemoteFile& file, int64_t offset, ReadSink& sink,
                          const StoreCall& call) {
  ASSIGN_OR_RETURN(GoogleToken token, tokens_.Get(call));
  // One generation never changes: a part fetched later belongs to the part fetched before.
  StoreRequest request{.url = StrCat(endpoint_, "/storage/v1/b/", UrlEncode(bucket_), "/o/",
                                     UrlEncode(file.key), "?alt=media")};
  if (!file.revision.empty()) request.url += StrCat("&generation=", file.revision);
  if (!token.token.empty()) request.authorization = StrCat("Bearer ", token.token);
  // As stored: what is unpacked on the way has neither the size nor the sums that were listed.
  request.headers.emplace_back("Accept-Encoding", "gzip");
  std::string url = request.url;
  return ReadByRange(http_, std::move(request), offset, file.size, sink, call,
                     [&](const StoreAnswer& answer) -> Status {
                       if (answer.status == 404) {
                         return AbortedError(
                             "the object was replaced or removed while it was fetched; the store "
                             "is listed anew");
                       }
                       return Refusal(answer, url, token);
                     });
}

Status GcsStore::Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                      const StoreCall& call) {
  Status status = ReadOnce(file, offset, sink, call);
  if (status.code() == StatusCode::kUnauthenticated) status = ReadOnce(file, offset, sink, call);
  return status;
}

}  // namespace leadsman
