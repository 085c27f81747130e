#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "storage/store_http.h"

namespace leadsman {

/// One file of a version as its store knows it.
struct RemoteFile {
  std::string path;      ///< relative to the version's folder, checked: no "..", no leading slash
  std::string key;       ///< what the store calls it
  int64_t size = -1;     ///< -1: not known before it is read
  std::string revision;  ///< ETag, generation, time of change; empty: parts cannot be resumed
  std::string sha256;    ///< of the content as far as known before it is read, in small hex
  std::string md5;
  std::optional<uint32_t> crc32c;
};

struct RemoteVersion {
  int64_t version = 0;
  bool complete = false;          ///< it has a manifest, or its store says that it never changes
  std::string waiting;            ///< why it is not complete
  bool refused = false;           ///< it cannot become complete by resting: `waiting` says why
  std::string key;                ///< the store's word for it
  std::string stamp;              ///< changes when any of it does
  std::vector<RemoteFile> files;  ///< as of the listing; empty when only Files() knows them
  bool archive = false;  ///< the one file is a .tar.gz or .zip that holds the version's files
};

/// What a look at a store found of a model.
struct RemoteListing {
  std::vector<RemoteVersion> versions;
  std::vector<RemoteFile> beside;  ///< files beside the versions, where the store lists any
};

/// Takes the bytes of one file, in order.
class ReadSink {
 public:
  virtual ~ReadSink() = default;
  /// The store sends from the beginning although asked for a later part: what was taken is void.
  virtual Status Restart() = 0;
  virtual Status Append(std::string_view bytes) = 0;
  /// What RemoteFile calls md5 is none after all (an object encrypted by a key service).
  virtual void IgnoreMd5() {}
  /// The store does not want to be asked again sooner (Retry-After).
  virtual void AskedToWait(Duration at_least) { static_cast<void>(at_least); }
};

/// A service that holds versions. Implementations know one protocol each; caching, retries in the
/// middle of a file, checksums and publishing are RemoteSource's work.
///
/// Thread-safe but for List(), which one thread at a time calls. Calls block until `call` says stop.
/// UNAVAILABLE and DEADLINE_EXCEEDED may pass; UNAUTHENTICATED names where the credentials came from;
/// ABORTED: the file is no longer what was listed.
class RemoteStore {
 public:
  virtual ~RemoteStore() = default;

  /// Tells a service from others that a path could mean: what the settings and the environment say of its address. Holds
  /// no secret.
  virtual std::string address() const { return ""; }
  virtual Result<RemoteListing> List(const StoreCall& call) = 0;
  virtual Result<std::vector<RemoteFile>> Files(const RemoteVersion& version, const StoreCall&) {
    return version.files;
  }
  /// One attempt: the bytes from `offset` to the end.
  virtual Status Read(const RemoteFile& file, int64_t offset, ReadSink& sink,
                      const StoreCall& call) = 0;
};

/// Collects flat listings ("7/model.onnx", "7/variables/x") into versions, complete where a
/// manifest is among the files. What lies in folders that are no version is counted, not kept.
class VersionCollector {
 public:
  static constexpr size_t kMaxFiles = 200'000;
  /// `path` is relative to the model's folder. RESOURCE_EXHAUSTED beyond kMaxFiles.
  Status Add(std::string_view path, RemoteFile file);
  RemoteListing Finish();

 private:
  static constexpr size_t kMaxBeside = 1'000;
  std::vector<RemoteFile> beside_;  ///< the first so many
  std::map<int64_t, RemoteVersion> versions_;
  size_t files_ = 0;
};

/// The same of a whole listing, whose paths are relative to the model's folder.
Result<RemoteListing> ListingOf(std::vector<RemoteFile> files);

/// True for a path that stays inside its folder and has no part that is empty, "." or "..".
bool IsInsidePath(std::string_view path);

/// Reads a small file whole.
Result<std::string> ReadWhole(RemoteStore& store, const RemoteFile& file, size_t max_bytes,
                              const StoreCall& call);

/// A ranged GET as every HTTP store answers it: 206 from `offset`, or 200 from the beginning (then
/// the sink restarts), 416 when nothing is left. Other answers go to `refuse`, whose status is
/// returned.
Status ReadByRange(StoreHttp& http, StoreRequest request, int64_t offset, int64_t size,
                   ReadSink& sink, const StoreCall& call,
                   const std::function<Status(const StoreAnswer&)>& refuse,
                   const std::function<void(const StoreAnswer&)>& on_head = nullptr);

}  // namespace leadsman
