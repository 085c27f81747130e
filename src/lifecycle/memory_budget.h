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
/// What a version needs is what it was measured to need last time; else what another version of the model needed, by the size of
/// their files; else kFirstGuess times the size of its files.
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
    Reservation(MemoryBudget* owner, int64_t bytes) : owner_(owner), bytes_(bytes) {}
    Reservation(Reservation&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation();

   private:
    MemoryBudget* owner_ = nullptr;
    int64_t bytes_ = 0;
  };

  /// RESOURCE_EXHAUSTED, "memory: needs about X, free Y …", when there is no room now; there may be later.
  Result<Reservation> Reserve(const std::string& model, int64_t version, int64_t file_bytes);
  /// What a version has turned out to need.
  void Measured(const std::string& model, int64_t version, int64_t file_bytes, int64_t bytes);

 private:
  int64_t NeedOf(const std::string& model, int64_t version, int64_t file_bytes) const
      REQUIRES(mutex_);

  const int64_t limit_;
  const std::function<int64_t()> used_;
  mutable Mutex mutex_;
  int64_t reserved_ GUARDED_BY(mutex_) = 0;
  struct Seen {
    std::map<int64_t, int64_t> versions;  ///< version → bytes
    double per_file_byte = 0;             ///< of the last one
  };
  std::map<std::string, Seen> seen_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
