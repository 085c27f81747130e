#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/status.h"
#include "storage/blob_cache.h"
#include "storage/given_files.h"
#include "storage/store_http.h"
#include "storage/triton_config_file.h"

namespace leadsman {

/// One version as the last look found it.
struct VersionFolder {
  int64_t version = 0;
  std::string directory;  ///< empty when it has to be fetched
  /// It has a manifest, which is written last; or, without one, its files have rested.
  bool complete = false;
  /// Changes when the version does: of the manifest, or else made from all files. When complete.
  FileStamp manifest;
  std::string waiting;  ///< why it is not complete: what is wrong with it, or missing
};

/// What the last look at a store that worked, of this process or an earlier one, had found, as far as
/// it was fetched then.
struct RecalledVersions {
  std::vector<VersionFolder> folders;  ///< ascending; `waiting` says what of one is gone
  WallTime listed_at{};
};

/// How far a fetch has come; read while it runs.
struct FetchProgress {
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> total{0};  ///< 0: not known yet
};

/// Where a model's versions come from. Made by OpenSource() (storage/stores.h).
///
/// List() is called by one thread at a time, the others from any thread, also meanwhile. Calls block
/// until `call` says stop, on a file system for as long as that does.
class Source {
 public:
  struct Options {
    /// Versions without a manifest are never complete.
    bool require_manifest = false;
    /// How long the files of a version without a manifest must rest before it counts as complete.
    Duration settle_time = std::chrono::seconds(5);
    std::string format;      ///< as of DetectModel
    std::string model_file;  ///< the same
    /// Triton's ModelConfig as JSON, which counts instead of the config.pbtxt beside the versions; empty: that one does.
    std::string triton_json;
    /// Who has what the folder is made of; null: it is there.
    std::shared_ptr<GivenFiles> given;
    friend bool operator==(const Options&, const Options&) = default;
  };

  Source(std::string path, Options options)
      : path_(std::move(path)), options_(std::move(options)) {}
  virtual ~Source() = default;

  /// Ascending by version. An error means that nothing is known, not that the versions are gone; the
  /// next call may succeed.
  virtual Result<std::vector<VersionFolder>> List(SteadyTime now, const StoreCall& call) = 0;
  /// For a store that is out of reach while nothing is known of it: what is here without it. Fetch()
  /// gives these, from here, until a List() works. Called as List() is. NOT_FOUND: nothing is here;
  /// DATA_LOSS: what was kept is damaged.
  virtual Result<RecalledVersions> Recall(const StoreCall& call) {
    static_cast<void>(call);
    return NotFoundError("nothing of it is kept here");
  }
  /// The version's files on this machine, whole, as last listed. What it returns stays in place as
  /// long as the lease lives.
  virtual Result<LocalVersion> Fetch(int64_t version, FetchProgress& progress,
                                     const StoreCall& call) = 0;
  /// Changes when any file of the version does, also of one that is not complete; 0: not known.
  virtual uint64_t StampOfVersion(int64_t version) = 0;
  /// True when List() and Fetch() go over a network by themselves: then they are to be spared.
  virtual bool remote() const = 0;
  /// Somebody who has put the files there says that they are whole: those that the next List() recognises need not rest. From
  /// any thread.
  void Vouch() { vouched_ = true; }
  /// Of the config.pbtxt beside the versions, as of the last List().
  virtual TritonConfigFound triton_config() const { return nullptr; }

  const std::string& path() const { return path_; }
  const Options& options() const { return options_; }

 protected:
  /// For List(): whether somebody has vouched since the last one began.
  bool TakeVouched() { return vouched_.exchange(false); }

 private:
  const std::string path_;
  const Options options_;
  std::atomic<bool> vouched_{false};
};

}  // namespace leadsman
