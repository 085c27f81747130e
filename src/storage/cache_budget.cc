#include "storage/cache_budget.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"
#include "storage/cache_folder.h"

namespace leadsman {
namespace {

constexpr int64_t kSpareDiskBytes = int64_t{16} << 20;
constexpr int64_t kPortion = int64_t{64} << 20;  // of what grows

std::string HumanBytes(int64_t bytes) {
  constexpr std::pair<int64_t, const char*> kUnits[] = {
      {int64_t{1} << 30, " GiB"}, {int64_t{1} << 20, " MiB"}, {int64_t{1} << 10, " KiB"}};
  for (auto [unit, name] : kUnits) {
    if (bytes >= unit) return StrCat(bytes / unit, ".", bytes % unit * 10 / unit, name);
  }
  return StrCat(bytes, " bytes");
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool SomebodyHolds(const std::string& path) {
  Result<UniqueFd> fd = OpenFile(path, O_RDWR);
  return fd.ok() && !TryLock(*fd);
}

}  // namespace

Status CacheBudget::Reservation::Reserve(int64_t bytes, const std::set<std::string>& partials,
                                         const StoreCall& call) {
  MutexLock lock(mutex_);
  return Extend(bytes, partials, call);
}

Status CacheBudget::Reservation::Grow(int64_t bytes, const StoreCall& call) {
  MutexLock lock(mutex_);
  if (bytes > ungrown_) {
    int64_t missing = bytes - ungrown_;
    int64_t portion = std::max(missing, std::min(kPortion, budget_.limit_ / 64));
    Status extended = Extend(portion, {}, call);
    if (extended.code() == StatusCode::kResourceExhausted && portion > missing) {
      portion = missing;  // the last of it is not given away for the portion's sake
      extended = Extend(portion, {}, call);
    }
    RETURN_IF_ERROR(extended);
    ungrown_ += portion;
  }
  ungrown_ -= bytes;
  return OkStatus();
}

Status CacheBudget::Reservation::Use(int64_t bytes, const StoreCall& call,
                                     const std::function<Status()>& become_blob) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(UniqueFd cache_lock, LockCache(budget_.directory_, call));
  RETURN_IF_ERROR(become_blob());
  return Note(std::max<int64_t>(0, reserved_ - bytes));
}

void CacheBudget::Reservation::Release(int64_t bytes) {
  MutexLock lock(mutex_);
  static_cast<void>(Note(std::max<int64_t>(0, reserved_ - bytes)));
}

Status CacheBudget::Reservation::Extend(int64_t bytes, const std::set<std::string>& partials,
                                        const StoreCall& call) {
  ASSIGN_OR_RETURN(UniqueFd cache_lock, LockCache(budget_.directory_, call));
  RETURN_IF_ERROR(budget_.MakeRoom(bytes, partials));
  return Note(reserved_ + bytes);
}

Status CacheBudget::Reservation::Note(int64_t reserved) {
  reserved_ = reserved;
  if (pwrite(lock_.get(), &reserved_, sizeof(reserved_), 0) != sizeof(reserved_))
    return ErrnoStatus(errno, "write to", StrCat("a lock in ", budget_.Folder("staging")));
  return OkStatus();
}

std::string CacheBudget::Folder(const char* name) const { return JoinPath(directory_, name); }

CacheBudget::Usage CacheBudget::GetUsage() const {
  Usage usage;
  for (const char* part : {"blobs", "partial"}) {
    EachFile(Folder(part),
             [&](const std::string&, const auto& info) { usage.bytes += info.st_size; });
  }
  for (const std::string& name : ListDirectory(Folder("versions")).value_or({}))
    usage.versions += name.ends_with(".use") ? 0 : 1;
  return usage;
}

Status CacheBudget::MakeRoom(int64_t bytes, const std::set<std::string>& partials) {
  if (bytes > limit_) {
    return ResourceExhaustedError(StrCat("it needs ", HumanBytes(bytes),
                                         ", more than the whole storage.cache_limit of ",
                                         HumanBytes(limit_)));
  }
  Content content = Count(partials);
  if (Fits(bytes, content)) return OkStatus();
  auto fits_now = [&] {
    DropUnusedBlobs();
    content = Count(partials);
    return Fits(bytes, content);
  };
  if (fits_now()) return OkStatus();
  for (const Evictable& which : LongestUnusedFirst(partials)) {
    if (Evict(which) && fits_now()) return OkStatus();
  }
  return Refusal(bytes, content);
}

CacheBudget::Content CacheBudget::Count(const std::set<std::string>& partials) const {
  Content content;
  EachFile(Folder("blobs"),
           [&](const std::string&, const auto& info) { content.blobs += info.st_size; });
  EachFile(Folder("partial"), [&](const std::string& path, const auto& info) {
    bool mine = partials.contains(NameOf(path));
    (SomebodyHolds(path) ? content.written
     : mine              ? content.resumed
                         : content.abandoned) += info.st_size;
  });
  // What an archive has been unpacked to and is no blob yet.
  EachFile(Folder("staging"), [&](const std::string&, const auto& info) {
    if (info.st_nlink == 1) content.written += info.st_size;
  });
  content.reserved = Reserved();
  return content;
}

int64_t CacheBudget::Reserved() const {
  int64_t all = 0;
  for (const std::string& name : ListDirectory(Folder("staging")).value_or({})) {
    if (!name.ends_with(".lock")) continue;
    Result<UniqueFd> fd = OpenFile(JoinPath(Folder("staging"), name), O_RDWR);
    if (!fd.ok() || TryLock(*fd)) continue;  // of a process that is gone
    int64_t one = 0;
    if (pread(fd->get(), &one, sizeof(one), 0) == sizeof(one)) all += std::max<int64_t>(0, one);
  }
  return all;
}

bool CacheBudget::Fits(int64_t bytes, const Content& content) const {
  if (content.used() + bytes > limit_) return false;
  int64_t others = std::max<int64_t>(0, content.reserved - content.written);
  return bytes == 0 || DiskFree() >= bytes - content.resumed + others + kSpareDiskBytes;
}

void CacheBudget::DropUnusedBlobs() const {
  EachFile(Folder("blobs"), [](const std::string& path, const auto& info) {
    if (info.st_nlink == 1) unlink(path.c_str());
  });
}

std::vector<CacheBudget::Evictable> CacheBudget::LongestUnusedFirst(
    const std::set<std::string>& partials) const {
  std::vector<Evictable> all;
  for (const std::string& name : ListDirectory(Folder("versions")).value_or({})) {
    if (name.ends_with(".use")) continue;
    std::string path = JoinPath(Folder("versions"), name);
    struct stat info;
    bool used = stat((path + ".use").c_str(), &info) == 0;
    all.push_back({.last_use_ns = used ? ModifiedNs(info) : 0, .path = std::move(path)});
  }
  EachFile(Folder("partial"), [&](const std::string& path, const auto& info) {
    if (partials.contains(NameOf(path))) return;
    all.push_back({.last_use_ns = ModifiedNs(info), .path = path, .partial = true});
  });
  std::sort(all.begin(), all.end(),
            [](const Evictable& a, const Evictable& b) { return a.last_use_ns < b.last_use_ns; });
  return all;
}

bool CacheBudget::Evict(const Evictable& which) const {
  const std::string& path = which.path;
  if (which.partial) {
    Result<UniqueFd> fd = OpenFile(path, O_RDWR);
    if (!fd.ok() || !TryLock(*fd)) return false;  // somebody writes it
    if (unlink(path.c_str()) != 0) return false;
    LOG_INFO("removed a partial file that nobody writes from the cache", {"file", path});
    return true;
  }
  Result<UniqueFd> use = OpenFile(path + ".use", O_RDWR | O_CREAT);
  if (!use.ok() || !TryLock(*use)) return false;  // somebody serves it
  std::string trash = JoinPath(Folder("staging"), NewName());
  if (rename(path.c_str(), trash.c_str()) != 0) return false;
  RemoveAll(trash);
  unlink((path + ".use").c_str());
  LOG_INFO("evicted a version that nobody uses from the cache", {"folder", path});
  return true;
}

int64_t CacheBudget::DiskFree() const {
  struct statvfs disk;
  if (statvfs(directory_.c_str(), &disk) != 0) return INT64_MAX;
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

Status CacheBudget::Refusal(int64_t bytes, const Content& content) const {
  if (content.used() + bytes > limit_) {
    return ResourceExhaustedError(StrCat(
        "it needs ", HumanBytes(bytes), " more, and of storage.cache_limit (", HumanBytes(limit_),
        ") ", HumanBytes(content.blobs), " are taken by versions in use and ",
        HumanBytes(content.abandoned + content.reserved),
        " by files on their way here; raise the limit or serve fewer versions"));
  }
  return ResourceExhaustedError(StrCat("it needs ", HumanBytes(bytes - content.resumed),
                                       " more, and the disk of ", directory_, " has ",
                                       HumanBytes(DiskFree()), " free"));
}

}  // namespace leadsman
