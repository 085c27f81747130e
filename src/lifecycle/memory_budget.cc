#include "lifecycle/memory_budget.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kVersionsRemembered = 64;

std::string Megabytes(int64_t bytes) { return StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

}  // namespace

MemoryBudget::Reservation::~Reservation() {
  if (owner_ == nullptr) return;
  MutexLock lock(owner_->mutex_);
  owner_->reserved_ -= bytes_;
  --owner_->under_way_;
}

int64_t MemoryBudget::NeedOf(const std::string& model, int64_t version, int64_t file_bytes) const {
  auto seen = seen_.find(model);
  if (seen != seen_.end()) {
    auto same = seen->second.versions.find(version);
    if (same != seen->second.versions.end()) return same->second;
    if (seen->second.per_file_byte > 0) {
      return static_cast<int64_t>(static_cast<double>(file_bytes) * seen->second.per_file_byte);
    }
  }
  return static_cast<int64_t>(static_cast<double>(file_bytes) * kFirstGuess);
}

Result<MemoryBudget::Reservation> MemoryBudget::Reserve(const std::string& model, int64_t version,
                                                        int64_t file_bytes) {
  const int64_t used = limit_ > 0 ? used_() : 0;
  MutexLock lock(mutex_);
  if (limit_ <= 0) return Begin(0);
  const int64_t need = NeedOf(model, version, file_bytes);
  const int64_t free = std::max<int64_t>(limit_ - used - reserved_, 0);
  if (need > free) {
    return ResourceExhaustedError(StrCat(
        "memory: needs about ", Megabytes(need), ", free ", Megabytes(free),
        " of lifecycle.memory_limit ", Megabytes(limit_),
        "; it is loaded once there is room (unload another model, raise the limit, or set swap: "
        "resource_preserving if an older version of it is in memory)"));
  }
  return Begin(need);
}

MemoryBudget::Reservation MemoryBudget::Begin(int64_t bytes) {
  Reservation room;
  room.owner_ = this;
  room.bytes_ = bytes;
  ++began_;
  if (under_way_ == 0) room.alone_until_ = began_;
  ++under_way_;
  reserved_ += bytes;
  return room;
}

MemoryBudget::Reservation MemoryBudget::BesideLoads() {
  MutexLock lock(mutex_);
  return Begin(0);
}

bool MemoryBudget::WasAlone(const Reservation& room) const {
  MutexLock lock(mutex_);
  return room.owner_ != nullptr && room.alone_until_ == began_;
}

void MemoryBudget::Measured(const Reservation& room, const std::string& model, int64_t version,
                            int64_t file_bytes, int64_t bytes) {
  MutexLock lock(mutex_);
  if (limit_ <= 0 || room.owner_ == nullptr || room.alone_until_ != began_) return;
  // A load into memory that was free already shows too little: the larger figure is kept.
  Seen& seen = seen_[model];
  int64_t& known = seen.versions[version];
  known = std::max({known, bytes, file_bytes});
  if (file_bytes > 0)
    seen.per_file_byte = static_cast<double>(known) / static_cast<double>(file_bytes);
  if (seen.versions.size() > kVersionsRemembered) seen.versions.erase(seen.versions.begin());
}

}  // namespace leadsman
