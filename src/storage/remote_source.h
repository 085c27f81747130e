#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "storage/blob_cache.h"
#include "storage/remote_store.h"
#include "storage/source.h"
#include "storage/store_options.h"
#include "storage/store_record.h"

namespace leadsman {

/// A Source over a RemoteStore: lists it, fetches a version's files into the cache, several at once,
/// each resumed where it broke off, each checked against the manifest and against the store's own
/// sums, and publishes them as one folder. Thread-safe as Source says.
class RemoteSource final : public Source {
 public:
  /// `http`, `cache` and `storage` must outlive it.
  RemoteSource(std::string path, Options options, std::unique_ptr<RemoteStore> store,
               StoreHttp& http, BlobCache& cache, const StorageOptions& storage);

  Result<std::vector<VersionFolder>> List(SteadyTime now, const StoreCall& call) override;
  Result<RecalledVersions> Recall(const StoreCall& call) override;
  Result<LocalVersion> Fetch(int64_t version, FetchProgress& progress,
                             const StoreCall& call) override;
  uint64_t StampOfVersion(int64_t version) override;
  bool remote() const override { return true; }
  TritonConfigFound triton_config() const override { return triton_.found(); }

 private:
  struct Resting {
    std::string stamp;
    SteadyTime since{};
  };
  /// What one Fetch works with.
  struct Job {
    BlobCache::Assembly& assembly;
    FetchProgress& progress;
    const StoreCall& call;
    std::atomic<int64_t>& claimed;  ///< bytes of the version: known sizes, and what came beyond
  };

  using Files = std::vector<BlobCache::File>;
  /// The files beside the versions by path.
  using Beside = std::map<std::string, ListingRecord::Beside>;

  void LookAtTritonConfig(const std::vector<RemoteFile>& beside, const StoreCall& call);
  void Settle(RemoteVersion& version, bool vouched, SteadyTime now);
  Result<LocalVersion> FetchNow(const RemoteVersion& version, FetchProgress& progress,
                                const StoreCall& call);
  Status KeepWhatTheManifestLists(const Job& job, std::vector<RemoteFile>& files);
  /// Takes what the cache has, makes room for the rest once, and downloads it.
  Status FetchAll(const Job& job, const std::vector<RemoteFile>& files);
  /// Does `one` for each file, several at once, until one fails; the error names its file.
  Status ForEach(const Job& job, const std::vector<RemoteFile>& files,
                 const std::function<Status(const Job&, const RemoteFile&)>& one);
  Result<bool> TakeFromCache(const Job& job, const RemoteFile& file);
  Status FetchFile(const Job& job, const RemoteFile& file);
  Status FetchArchive(const Job& job, const RemoteFile& file);
  Result<std::string> Download(const Job& job, const RemoteFile& file, BlobCache::Partial& partial);
  std::string IndexKey(const RemoteFile& file) const;
  std::string ListingKey() const;
  std::string FilesKey(int64_t version, const std::string& stamp) const;
  /// What a start without the store would go by.
  void KeepListing(const std::map<int64_t, RemoteVersion>& listed, bool config_there);
  Result<LocalVersion> PublishAndKeep(const RemoteVersion& version, BlobCache::Assembly& assembly);
  Result<VersionFolder> RecallVersion(const ListingRecord::Version& recorded, Files& files) const;
  Result<LocalVersion> TakeRecalled(const Files& files, FetchProgress& progress,
                                    const StoreCall& call);

  const std::unique_ptr<RemoteStore> store_;
  StoreHttp& http_;
  BlobCache& cache_;
  const StorageOptions& storage_;
  std::map<int64_t, Resting> resting_;  ///< List()'s own
  TritonConfigFile triton_;
  Beside beside_;                          ///< what triton_ was made of; List()'s own
  std::optional<ListingRecord> recorded_;  ///< as it is on the disk; List()'s own
  bool unrecorded_ = false;                ///< the last one could not be written, and it was said
  Mutex mutex_;
  std::map<int64_t, RemoteVersion> listed_ GUARDED_BY(mutex_);
  /// Of the listed: what they are taken from while the store is out of reach.
  std::map<int64_t, Files> recalled_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
