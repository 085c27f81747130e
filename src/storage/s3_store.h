#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/aws_credentials.h"
#include "storage/remote_store.h"
#include "storage/store_uri.h"

namespace leadsman {

/// One page of a ListObjectsV2 answer.
struct S3Page {
  struct Object {
    std::string key, etag;  ///< the ETag without its quotes
    int64_t size = 0;
  };
  std::vector<Object> objects;
  std::string next;  ///< continuation token; empty on the last page
};
/// Keys come URL-encoded (encoding-type=url) and are decoded. UNAVAILABLE when it is no such answer.
Result<S3Page> ParseS3Page(std::string_view xml);

/// Code and message of an S3 error answer; empty texts when it is none.
struct S3Error {
  std::string code, message, region;
};
S3Error ParseS3Error(std::string_view xml);

/// s3://bucket/prefix: ListObjectsV2 and ranged GETs, signed by SigV4. `http` and `options` must
/// outlive it.
class S3Store final : public RemoteStore {
 public:
  S3Store(const StoreUri& uri, const StorageOptions::S3& options, Environment environment,
          StoreHttp& http);

  std::string address() const override { return base_; }
  Result<RemoteListing> List(const StoreCall& call) override;
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
              const StoreCall& call) override;
  /// All objects below `prefix`, each with its path relative to it.
  Result<std::vector<RemoteFile>> ListBelow(const std::string& prefix, const StoreCall& call);

 private:
  Result<StoreRequest> Request(const std::string& key, const std::string& query,
                               AwsCredentials& credentials, const StoreCall& call);
  Status Refusal(const StoreAnswer& answer, const std::string& url,
                 const AwsCredentials& credentials) const;
  /// After a refusal: looks for credentials anew; true when there are others now.
  bool AreExchanged(const Status& refusal, const AwsCredentials& used, const StoreCall& call);
  /// `credentials` are those that were used.
  Status ReadOnce(const RemoteFile& file, int64_t offset, AwsCredentials& credentials,
                  ReadSink& sink, const StoreCall& call);

  const std::string bucket_, prefix_;
  const StorageOptions::S3& options_;
  StoreHttp& http_;
  AwsCredentialChain chain_;
  std::string base_;  ///< scheme, host and, with path style, the bucket
  std::string region_;
};

}  // namespace leadsman
