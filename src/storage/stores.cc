#include "storage/stores.h"

#include <utility>

#include "base/strings.h"
#include "storage/file_source.h"
#include "storage/gcs_store.h"
#include "storage/http_store.h"
#include "storage/mlflow_store.h"
#include "storage/remote_source.h"
#include "storage/s3_store.h"
#include "storage/store_uri.h"
#include "storage/webhdfs_store.h"

namespace leadsman {

Stores::Stores(StorageOptions options, Environment environment)
    : options_(std::move(options)),
      environment_(std::move(environment)),
      http_({.connect_timeout = options_.connect_timeout,
             .stall_timeout = options_.stall_timeout,
             .retries = options_.retries,
             .retry_delay = options_.retry_delay,
             .ca_file = options_.ca_file}) {}
Stores::~Stores() = default;

Result<BlobCache*> Stores::Cache(const StoreCall& call) {
  MutexLock lock(mutex_);
  if (!cache_) {
    if (options_.cache_dir.empty()) {
      return InvalidArgumentError(
          "fetched models need a folder: set storage.cache_dir, or data_dir");
    }
    ASSIGN_OR_RETURN(cache_, BlobCache::Open({options_.cache_dir, options_.cache_limit}, call));
  }
  return cache_.get();
}

/// Opens its store when it is first listed: that may touch a disk and may fail.
class Stores::LateSource final : public Source {
 public:
  LateSource(std::string path, Options options, Stores& stores)
      : Source(std::move(path), std::move(options)), stores_(stores) {}

  Result<std::vector<VersionFolder>> List(SteadyTime now, const StoreCall& call) override {
    ASSIGN_OR_RETURN(std::shared_ptr<Source> source, Opened(call));
    return source->List(now, call);
  }
  Result<RecalledVersions> Recall(const StoreCall& call) override {
    ASSIGN_OR_RETURN(std::shared_ptr<Source> source, Opened(call));
    return source->Recall(call);
  }
  Result<LocalVersion> Fetch(int64_t version, FetchProgress& progress,
                             const StoreCall& call) override {
    std::shared_ptr<Source> source = Get();
    if (!source) return NotFoundError(StrCat(RedactUrl(path()), " was not listed yet"));
    return source->Fetch(version, progress, call);
  }
  uint64_t StampOfVersion(int64_t version) override {
    std::shared_ptr<Source> source = Get();
    return source ? source->StampOfVersion(version) : 0;
  }
  bool remote() const override { return true; }
  TritonConfigFound triton_config() const override {
    std::shared_ptr<Source> source = Get();
    return source ? source->triton_config() : nullptr;
  }

 private:
  std::shared_ptr<Source> Get() const {
    MutexLock lock(mutex_);
    return source_;
  }
  Result<std::shared_ptr<Source>> Opened(const StoreCall& call) {
    std::shared_ptr<Source> source = Get();
    if (source) return source;
    ASSIGN_OR_RETURN(source, stores_.OpenNow(path(), options(), call));
    MutexLock lock(mutex_);
    source_ = source;
    return source;
  }
  Stores& stores_;
  mutable Mutex mutex_;
  std::shared_ptr<Source> source_ GUARDED_BY(mutex_);
};

std::shared_ptr<Source> Stores::Open(const std::string& path, Source::Options options) {
  Result<StoreUri> uri = ParseStoreUri(path);
  if (uri.ok() && uri->kind == StoreUri::Kind::kFile)
    return std::make_shared<FileSource>(path, uri->path, std::move(options));
  return std::make_shared<LateSource>(path, std::move(options), *this);
}

Result<std::shared_ptr<Source>> Stores::OpenNow(const std::string& path, Source::Options options,
                                                const StoreCall& call) {
  ASSIGN_OR_RETURN(StoreUri uri, ParseStoreUri(path));
  std::unique_ptr<RemoteStore> store;
  switch (uri.kind) {
    case StoreUri::Kind::kS3:
      store = std::make_unique<S3Store>(uri, options_.s3, environment_, http_);
      break;
    case StoreUri::Kind::kGcs:
      store = std::make_unique<GcsStore>(uri, options_.gcs, environment_, http_);
      break;
    case StoreUri::Kind::kHdfs: {
      ASSIGN_OR_RETURN(store, WebHdfsStore::Create(uri, options_.hdfs, environment_, http_));
      break;
    }
    case StoreUri::Kind::kMlflow: {
      ASSIGN_OR_RETURN(store, MlflowStore::Create(uri, options_, environment_, http_));
      break;
    }
    case StoreUri::Kind::kFile:
    case StoreUri::Kind::kHttp:
      store = std::make_unique<HttpStore>(uri, options_.http, environment_, http_);
      break;
  }
  ASSIGN_OR_RETURN(BlobCache * cache, Cache(call));
  return std::shared_ptr<Source>(std::make_shared<RemoteSource>(
      path, std::move(options), std::move(store), http_, *cache, options_));
}

std::string CheckModelPath(const std::string& path) {
  Result<StoreUri> uri = ParseStoreUri(path);
  return uri.ok() ? "" : std::string(uri.status().message());
}

}  // namespace leadsman
