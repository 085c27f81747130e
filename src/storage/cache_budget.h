#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "storage/store_http.h"

namespace leadsman {

/// How full the cache's folder (storage/blob_cache.h) is, and what goes when something new comes.
///
/// Three things count: blobs; partial files that nobody writes at the moment, for what broke off
/// stays; and what fetches under way have reserved. A fetch reserves before it begins, so that of
/// several at once none counts on room that another one has been given:
///
///   CacheBudget::Reservation room(budget, std::move(lock_of_my_staging_folder));
///   RETURN_IF_ERROR(room.Reserve(total, partial_keys, call));
///   RETURN_IF_ERROR(room.Use(file.size, call, [&] { … }));  // it becomes a blob
///
/// What goes is what was unused longest: versions that nobody holds, partial files that nobody
/// writes. Processes that share the folder see each other's reservations. Thread-safe.
class CacheBudget {
 public:
  struct Usage {
    int64_t bytes = 0;  ///< of blobs and partial files
    int64_t versions = 0;
  };

  CacheBudget(std::string directory, int64_t limit)
      : directory_(std::move(directory)), limit_(limit) {}

  /// What one fetch will still bring. Ends with its life; a process that is killed leaves none.
  class Reservation {
   public:
    /// `lock` is that of the fetch's staging folder, held: the number stands in this file.
    Reservation(CacheBudget& budget, UniqueFd lock) : budget_(budget), lock_(std::move(lock)) {}

    /// Room for files of known size, with what is in `partials` (their keys) already; these stay.
    /// RESOURCE_EXHAUSTED names the limit, or the disk that has not enough room.
    Status Reserve(int64_t bytes, const std::set<std::string>& partials, const StoreCall& call);
    /// Room for `bytes` more of what has no known size. Called before every write: it counts the
    /// cache for large portions only.
    Status Grow(int64_t bytes, const StoreCall& call);
    /// Lets `become_blob` make a blob of what was reserved. Nobody counts in between: it would count
    /// twice, as a blob and as reserved.
    Status Use(int64_t bytes, const StoreCall& call, const std::function<Status()>& become_blob);
    /// So many bytes will not come.
    void Release(int64_t bytes);

   private:
    Status Extend(int64_t bytes, const std::set<std::string>& partials, const StoreCall& call)
        REQUIRES(mutex_);
    Status Note(int64_t reserved) REQUIRES(mutex_);

    CacheBudget& budget_;
    const UniqueFd lock_;
    Mutex
        mutex_;  ///< held while room is made: others of this fetch would only count the same again
    int64_t reserved_ GUARDED_BY(mutex_) = 0;
    int64_t ungrown_ GUARDED_BY(mutex_) = 0;  ///< of these, not used by Grow() yet
  };

  Usage GetUsage() const;

 private:
  /// What is there, by the reasons for which it counts.
  struct Content {
    int64_t blobs = 0;
    int64_t abandoned = 0;  ///< partial files that nobody writes
    int64_t resumed = 0;    ///< partial files of the fetch that asks, which nobody writes
    int64_t written = 0;    ///< what is there of what was reserved
    int64_t reserved = 0;
    int64_t used() const { return blobs + abandoned + reserved; }
  };
  /// Something that may go, unless somebody holds its lock.
  struct Evictable {
    int64_t last_use_ns = 0;
    std::string path;
    bool partial = false;
  };

  /// With the cache's lock held.
  Status MakeRoom(int64_t bytes, const std::set<std::string>& partials);
  Content Count(const std::set<std::string>& partials) const;
  int64_t Reserved() const;
  void DropUnusedBlobs() const;
  std::vector<Evictable> LongestUnusedFirst(const std::set<std::string>& partials) const;
  bool Evict(const Evictable& which) const;
  bool Fits(int64_t bytes, const Content& content) const;
  Status Refusal(int64_t bytes, const Content& content) const;
  int64_t DiskFree() const;
  std::string Folder(const char* name) const;

  const std::string directory_;
  const int64_t limit_;
};

}  // namespace leadsman
