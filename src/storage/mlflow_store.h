#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "storage/gcs_store.h"
#include "storage/remote_store.h"
#include "storage/s3_store.h"
#include "storage/store_options.h"
#include "storage/store_uri.h"

namespace leadsman {

/// A registered model's version as the registry's REST API tells it.
struct MlflowVersion {
  int64_t version = 0;
  std::string status;  ///< READY, PENDING_REGISTRATION, FAILED_REGISTRATION
  std::string message;
  int64_t created_ms = 0;
};
struct MlflowPage {
  std::vector<MlflowVersion> versions;
  std::string next;
};
/// Answers of model-versions/search (many), model-versions/get and registered-models/alias (one).
Result<MlflowPage> ParseMlflowVersions(std::string_view json);

/// Answers of the artifact proxy's listing: names relative to the folder that was asked for.
struct MlflowArtifact {
  std::string name;
  bool folder = false;
  int64_t size = -1;
};
Result<std::vector<MlflowArtifact>> ParseMlflowArtifacts(std::string_view json);

/// models:/name, models:/name/3, models:/name@alias: versions from an MLflow registry, their files
/// from its artifact proxy, or from s3:// or gs:// when the server stores them there and does not
/// proxy. `http` and `options` must outlive it.
class MlflowStore final : public RemoteStore {
 public:
  static Result<std::unique_ptr<MlflowStore>> Create(const StoreUri& uri,
                                                     const StorageOptions& options,
                                                     Environment environment, StoreHttp& http);

  std::string address() const override { return server_; }
  Result<RemoteListing> List(const StoreCall& call) override;
  Result<std::vector<RemoteFile>> Files(const RemoteVersion& version,
                                        const StoreCall& call) override;
  Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
              const StoreCall& call) override;

 private:
  MlflowStore(const StoreUri& uri, const StorageOptions& options, Environment environment,
              std::string server, StoreHttp& http);
  struct Credentials {
    std::string authorization;  ///< empty: none
    std::string password;
    std::string origin;  ///< for messages
  };
  Result<Credentials> FindCredentials() const;
  Result<StoreRequest> Request(const std::string& path) const;
  Status Refusal(const StoreAnswer& answer, const std::string& url) const;
  Result<std::string> Get(const std::string& path, const StoreCall& call);
  Status CollectArtifacts(const std::string& root, const std::string& relative, int depth,
                          const std::string& revision, std::vector<RemoteFile>& files,
                          const StoreCall& call);
  RemoteStore* OtherStore(const std::string& key, std::string& inner);

  const StoreUri uri_;
  const StorageOptions& options_;
  const Environment environment_;
  const std::string server_;
  StoreHttp& http_;
  Mutex mutex_;
  /// By bucket: where the server's artifacts are when it does not hand them out itself.
  std::map<std::string, std::unique_ptr<S3Store>> s3_ GUARDED_BY(mutex_);
  std::map<std::string, std::unique_ptr<GcsStore>> gcs_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
