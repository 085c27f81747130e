#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/gcs_credentials.h"
#include "storage/remote_store.h"
#include "storage/store_uri.h"

namespace leadsman {

/// One page of the JSON API's object listing.
struct GcsPage {
  struct Object {
    std::string name, generation, md5;  ///< md5 in hex
    std::optional<uint32_t> crc32c;
    int64_t size = 0;
  };
  std::vector<Object> objects;
  std::string next;
};
Result<GcsPage> ParseGcsPage(std::string_view json);

/// gs://bucket/prefix over the JSON API of Google Cloud Storage. `http` and `options` must outlive
/// it.
class GcsStore final : public RemoteStore {
 public:
  GcsStore(const StoreUri& uri, const StorageOptions::Gcs& options, const Environment& environment,
           StoreHttp& http);

  std::string address() const override { return endpoint_; }
  Result<RemoteListing> List(const StoreCall& call) override;
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
              const StoreCall& call) override;
  Result<std::vector<RemoteFile>> ListBelow(const std::string& prefix, const StoreCall& call);

 private:
  Status Refusal(const StoreAnswer& answer, const std::string& url, const GoogleToken& token);
  Status ReadOnce(const RemoteFile& file, int64_t offset, ReadSink& sink, const StoreCall& call);

  const std::string bucket_, prefix_;
  StoreHttp& http_;
  std::string endpoint_;
  GoogleTokens tokens_;
};

}  // namespace leadsman
