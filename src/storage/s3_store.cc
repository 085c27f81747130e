#include "storage/s3_store.h"

#include <algorithm>
#include <utility>

#include <pugixml.hpp>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr int kMaxPages = 1'000;

std::string DecodeKey(std::string_view key) {
  std::string text(key);
  std::replace(text.begin(), text.end(), '+', ' ');
  return UrlDecode(text).value_or(std::string(key));
}

/// The ETag of an object that was put in one piece, without a key of the customer's own, is its MD5.
std::string Md5OfEtag(const std::string& etag) {
  bool hex = etag.size() == 32 && std::all_of(etag.begin(), etag.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
             });
  return hex ? etag : "";
}

bool IsRefusedKey(const std::string& code) {
  return code == "InvalidAccessKeyId" || code == "SignatureDoesNotMatch" ||
         code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired" ||
         code == "InvalidTokenId" || code == "AuthorizationHeaderMalformed";
}

}  // namespace

Result<S3Page> ParseS3Page(std::string_view xml) {
  pugi::xml_document document;
  pugi::xml_node root;
  if (document.load_buffer(xml.data(), xml.size())) root = document.child("ListBucketResult");
  if (!root) return UnavailableError("the store's listing is no ListObjectsV2 answer");
  S3Page page;
  for (pugi::xml_node node : root.children("Contents")) {
    S3Page::Object object{.key = DecodeKey(node.child_value("Key"))};
    std::string_view etag = node.child_value("ETag");
    while (etag.starts_with('"')) etag.remove_prefix(1);
    while (etag.ends_with('"')) etag.remove_suffix(1);
    object.etag = std::string(etag);
    std::optional<int64_t> size = ParseInt64(node.child_value("Size"));
    if (object.key.empty() || !size || *size < 0)
      return UnavailableError("the store's listing has an object without key or size");
    object.size = *size;
    page.objects.push_back(std::move(object));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    page.next = root.child_value("NextContinuationToken");
    if (page.next.empty())
      return UnavailableError("the store's listing goes on but does not say where");
  }
  return page;
}

S3Error ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  pugi::xml_node error = document.child("Error");
  return {error.child_value("Code"), error.child_value("Message"), error.child_value("Region")};
}

S3Store::S3Store(const StoreUri& uri, const StorageOptions::S3& options, Environment environment,
                 StoreHttp& http)
    : bucket_(uri.authority),
      prefix_(uri.path.empty() ? "" : uri.path + "/"),
      options_(options),
      http_(http),
      chain_(options, environment, http),
      region_(chain_.Region()) {
  std::string endpoint = options.endpoint;
  if (endpoint.empty()) endpoint = environment("AWS_ENDPOINT_URL_S3");
  if (endpoint.empty()) endpoint = environment("AWS_ENDPOINT_URL");
  bool own = !endpoint.empty();
  if (!own) endpoint = StrCat("https://s3.", region_, ".amazonaws.com");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  using Addressing = StorageOptions::S3::Addressing;
  // A dot in the bucket's name would not match the certificate of *.s3.….
  bool path_style =
      options.addressing == Addressing::kPath ||
      (options.addressing == Addressing::kAuto && (own || bucket_.find('.') != std::string::npos));
  size_t host = endpoint.find("://") + 3;
  base_ = path_style ? StrCat(endpoint, "/", bucket_)
                     : StrCat(endpoint.substr(0, host), bucket_, ".", endpoint.substr(host));
}

Result<StoreRequest> S3Store::Request(const std::string& key, const std::string& query,
                                      AwsCredentials& credentials, const StoreCall& call) {
  StoreRequest request{.url = StrCat(base_, "/", EncodePath(key), query)};
  if (options_.anonymous) return request;
  ASSIGN_OR_RETURN(credentials, chain_.Get(call));
  request.sign = AwsSigning{credentials.access_key, credentials.secret_key,
                            credentials.session_token, region_, "s3"};
  return request;
}

Status S3Store::Refusal(const StoreAnswer& answer, const std::string& url,
                        const AwsCredentials& credentials) const {
  S3Error error = ParseS3Error(answer.body);
  if (IsRefusedKey(error.code)) {
    std::string wrong_region =
        error.region.empty() || error.region == region_
            ? ""
            : StrCat("; the bucket is in region ", error.region, " (storage.s3.region)");
    return Status(StatusCode::kUnauthenticated,
                  StrCat("S3 refused the credentials from ", credentials.origin, ": ", error.code,
                         ": ", error.message, wrong_region));
  }
  if (answer.status == 404 && error.code == "NoSuchBucket")
    return NotFoundError(StrCat("there is no bucket ", bucket_, " at ", RedactUrl(base_)));
  if (answer.status == 301 || answer.status == 307) {
    std::string region = answer.Header("x-amz-bucket-region");
    return FailedPreconditionError(
        StrCat("the bucket ", bucket_, " is elsewhere",
               region.empty() ? "" : StrCat(": set storage.s3.region: ", region)));
  }
  if (answer.status == 412)
    return AbortedError("the object was replaced while it was fetched; the store is listed anew");
  if (answer.status == 403 && !options_.anonymous) {
    return PermissionDeniedError(StrCat(RedactUrl(url),
                                        " may not be read with the credentials from ",
                                        credentials.origin, ": ", error.code, ": ", error.message));
  }
  return StatusOfAnswer(answer, url,
                        error.code.empty() ? "" : StrCat(error.code, ": ", error.message));
}

bool S3Store::AreExchanged(const Status& refusal, const AwsCredentials& used,
                           const StoreCall& call) {
  // A session that was ended by its giver is told AccessDenied, as one that never had the right.
  bool may_be_keys = refusal.code() == StatusCode::kUnauthenticated ||
                     refusal.code() == StatusCode::kPermissionDenied;
  if (!may_be_keys || options_.anonymous) return false;
  chain_.Refused(used);
  Result<AwsCredentials> now = chain_.Get(call);
  return now.ok() && (now->access_key != used.access_key || now->secret_key != used.secret_key ||
                      now->session_token != used.session_token);
}

Result<std::vector<RemoteFile>> S3Store::ListBelow(const std::string& prefix,
                                                   const StoreCall& call) {
  std::vector<RemoteFile> files;
  std::string next;
  bool refreshed = false;
  for (int pages = 0; pages < kMaxPages;) {
    std::string query = "?";
    if (!next.empty()) query += StrCat("continuation-token=", UrlEncode(next), "&");
    query += StrCat("encoding-type=url&list-type=2&prefix=", UrlEncode(prefix));
    AwsCredentials credentials;
    ASSIGN_OR_RETURN(StoreRequest request, Request("", query, credentials, call));
    ASSIGN_OR_RETURN(StoreAnswer answer, http_.Call(request, call));
    if (!answer.ok()) {
      Status refusal = Refusal(answer, request.url, credentials);
      if (refreshed || !AreExchanged(refusal, credentials, call)) return refusal;
      refreshed = true;
      continue;
    }
    Result<S3Page> page = ParseS3Page(answer.body);
    if (!page.ok()) return Annotate(page.status(), RedactUrl(request.url));
    for (S3Page::Object& object : page->objects) {
      if (!object.key.starts_with(prefix)) continue;
      RemoteFile file{.path = object.key.substr(prefix.size()), .key = std::move(object.key)};
      file.size = object.size;
      file.revision = object.etag;
      file.md5 = Md5OfEtag(object.etag);
      files.push_back(std::move(file));
    }
    if (files.size() > VersionCollector::kMaxFiles) break;
    if (page->next.empty()) return files;
    next = std::move(page->next);
    ++pages;
  }
  return ResourceExhaustedError(StrCat("there are more than ", VersionCollector::kMaxFiles,
                                       " objects below s3://", bucket_, "/", prefix));
}

Result<RemoteListing> S3Store::List(const StoreCall& call) {
  ASSIGN_OR_RETURN(std::vector<RemoteFile> files, ListBelow(prefix_, call));
  return ListingOf(std::move(files));
}

Status S3Store::ReadOnce(const RemoteFile& file, int64_t offset, AwsCredentials& credentials,
                         ReadSink& sink, const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreRequest request, Request(file.key, "", credentials, call));
  if (!file.revision.empty())
    request.headers.emplace_back("If-Match", StrCat("\"", file.revision, "\""));
  std::string url = request.url;
  return ReadByRange(
      http_, std::move(request), offset, file.size, sink, call,
      [&](const StoreAnswer& answer) { return Refusal(answer, url, credentials); },
      [&](const StoreAnswer& head) {
        // Then the ETag has 32 digits too, and is no MD5.
        bool own_key = !head.Header("x-amz-server-side-encryption-customer-algorithm").empty();
        if (own_key || head.Header("x-amz-server-side-encryption").starts_with("aws:kms"))
          sink.IgnoreMd5();
      });
}

Status S3Store::Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                     const StoreCall& call) {
  AwsCredentials used;
  Status status = ReadOnce(file, offset, used, sink, call);
  // Nothing was sent with a refusal, so the offset still holds.
  if (AreExchanged(status, used, call)) status = ReadOnce(file, offset, used, sink, call);
  return status;
}

}  // namespace leadsman
