#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"

namespace leadsman {

/// Whether there is room in memory for one more version: what the process uses, plus what loads under way will need, against
/// `lifecycle.memory_limit`.
///
/// What a version needs is what it was measured to need before; else what another version of the model needed, by the size of
/// their files; else kFirstGuess times the size of its files. Only a load with no other beside it, and no unload, is a
/// measurement: what is measured is the growth of the whole process.
///
/// Thread-safe; never blocks.
class MemoryBudget {
 public:
  static constexpr double kFirstGuess = 1.5;

  /// `limit` 0: there is none. `used` tells the process's resident memory.
  MemoryBudget(int64_t limit, std::function<int64_t()> used)
      : limit_(limit), used_(std::move(used)) {}

  /// Room for one load, given back when it ends.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept { *this = std::move(other); }
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(bytes_, other.bytes_);
      std::swap(alone_until_, other.alone_until_);
      return *this;
    }
    ~Reservation();

   private:
    friend class MemoryBudget;
    MemoryBudget* owner_ = nullptr;
    int64_t bytes_ = 0;
    uint64_t alone_until_ = 0;  ///< the owner's `began_` when it began; 0: beside others
  };

  /// For an unload: what is measured meanwhile shows too little.
  Reservation BesideLoads();
  /// Whether the growth of the process from Reserve() to now is that of this load: nothing else has been loaded or unloaded
  /// meanwhile.
  bool WasAlone(const Reservation& room) const;
  /// RESOURCE_EXHAUSTED, "memory: needs about X, free Y …", when there is no room now; there may be later.
  Result<Reservation> Reserve(const std::string& model, int64_t version, int64_t file_bytes);
  /// What a version has turned out to need: so much more is used than when `room` was reserved for it. Only where
  /// WasAlone() says so.
  void Measured(const Reservation& room, const std::string& model, int64_t version,
                int64_t file_bytes, int64_t bytes);

 private:
  Reservation Begin(int64_t bytes) REQUIRES(mutex_);
  int64_t NeedOf(const std::string& model, int64_t version, int64_t file_bytes) const
      REQUIRES(mutex_);

  const int64_t limit_;
  const std::function<int64_t()> used_;
  mutable Mutex mutex_;
  int64_t reserved_ GUARDED_BY(mutex_) = 0;
  int under_way_ GUARDED_BY(mutex_) = 0;
  uint64_t began_ GUARDED_BY(mutex_) = 0;  ///< loads and unloads ever
  struct Seen {
    std::map<int64_t, int64_t> versions;  ///< version → bytes
    double per_file_byte = 0;             ///< of the last one
  };
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
