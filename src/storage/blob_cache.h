#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "storage/cache_budget.h"
#include "storage/store_http.h"

namespace leadsman {

bool IsSha256(std::string_view text);  ///< in small hex

/// A version's files on this machine. As long as `lease` lives they are not taken away.
struct LocalVersion {
  std::string directory;
  std::shared_ptr<const void> lease;
};

/// Files that came from stores, kept by their sha256, and the folders made of them.
///
///   blobs/ab/abcd…       a file, read-only, named by its sha256
///   versions/<sum>/      one version: hard links to blobs; <sum> is made from all paths and sums
///   versions/<sum>.use   locked (shared) by who uses it, its time of change is the last use
///   index/<key>          which sums an object of a store had: nothing known is read twice
///   records/<key>        what a store had and what a version was made of, for a start without the store
///   partial/<key>        as far as a download has come, locked by who downloads
///   staging/<id>/        a version being put together; <id>.lock says that somebody does, and how
///                        much is still to come
///
/// A version appears by rename, whole or not at all. A kill at any point leaves nothing but files
/// that the next Open() or eviction removes. Several processes may share the folder.
/// Thread-safe.
class BlobCache {
 public:
  struct Options {
    std::string directory;
    int64_t limit = int64_t{20} << 30;  ///< bytes, as CacheBudget counts them
  };
  struct File {
    std::string path, sha256;
    int64_t size = 0;
  };
  /// Makes the folder if need be and sweeps what killed processes left. PERMISSION_DENIED,
  /// RESOURCE_EXHAUSTED, and FAILED_PRECONDITION when the folder's file system has no hard links.
  static Result<std::unique_ptr<BlobCache>> Open(Options options, const StoreCall& call = {});
  ~BlobCache();

  /// A file on its way here. Held by one user at a time; what was written stays for the next one.
  class Partial {
   public:
    int64_t size() const { return size_; }
    Status Append(std::string_view bytes);  ///< RESOURCE_EXHAUSTED: the disk is full
    Status Restart();                       ///< back to 0 bytes
    void Discard();                         ///< what is there is wrong
    const std::string& path() const { return path_; }

   private:
    friend class BlobCache;
    Partial(std::string path, UniqueFd fd, int64_t size)
        : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
    std::string path_;
    UniqueFd fd_;
    int64_t size_;
  };
  /// Waits while another thread or process writes the same. With `resume` false it starts empty.
  Result<std::unique_ptr<Partial>> OpenPartial(const std::string& key, bool resume,
                                               const StoreCall& call);

  /// One version being put together. Confined to one thread at a time but for Add and Take.
  class Assembly {
   public:
    ~Assembly();
    /// Takes the file from the cache. False when it is not there, or was and is damaged: then it is
    /// gone now. Reads every byte of it.
    Result<bool> Take(const File& file, const std::atomic<bool>* cancel);
    /// Makes a finished download a blob and takes it.
    Status Add(std::unique_ptr<Partial> partial, const File& file);
    /// The same for a file made elsewhere inside the staging folder (an unpacked archive).
    Status AddStaged(const File& file);
    /// Takes back all that was taken.
    void Clear();
    /// All that was taken, sorted by path.
    std::vector<File> files() const;
    /// What of the cache's limit is kept free for it. Add and AddStaged release their file's part.
    CacheBudget::Reservation& room() { return room_; }
    const std::string& directory() const { return directory_; }
    /// The folder, whole. Damage to an already published one is repaired.
    Result<LocalVersion> Publish();

   private:
    friend class BlobCache;
    Assembly(BlobCache& cache, std::string directory, UniqueFd lock, const StoreCall& call);
    void Note(const File& file);
    BlobCache& cache_;
    const std::string directory_;
    const StoreCall call_;
    CacheBudget::Reservation room_;
    struct State;
    std::unique_ptr<State> state_;
  };
  /// `call` holds for the Assembly's whole life.
  Result<std::unique_ptr<Assembly>> Begin(const StoreCall& call = {});

  /// What `key` was found to hold, if it is known.
  std::optional<std::vector<File>> Lookup(const std::string& key) const;
  Status Remember(const std::string& key, const std::vector<File>& files);
  void Forget(const std::string& key);

  /// A text under a name of its own, with a sum over it. It goes when it was not touched for 90 days.
  Status WriteRecord(const std::string& key, std::string_view text);
  struct Record {
    std::string text;
    WallTime touched{};  ///< when it was written or touched last
  };
  /// NOT_FOUND, or DATA_LOSS with its file's name.
  Result<Record> ReadRecord(const std::string& key) const;
  void TouchRecord(const std::string& key) const;
  /// Whether the file is here, by its name and size alone.
  bool Has(const File& file) const;

  CacheBudget::Usage GetUsage() const { return budget_.GetUsage(); }

  /// A name made from anything: 40 hex digits.
  static std::string KeyOf(std::string_view text);

 private:
  explicit BlobCache(Options options)
      : options_(std::move(options)), budget_(options_.directory, options_.limit) {}
  std::string BlobPath(const std::string& sha256) const;
  std::string RecordPath(const std::string& key) const;
  Status LinkBlob(const std::string& from, const File& file, const std::string& to);
  void Sweep();
  Result<LocalVersion> LeaseOf(const std::string& name);

  const Options options_;
  CacheBudget budget_;
};

}  // namespace leadsman
