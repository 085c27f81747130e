#include "storage/blob_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "storage/cache_folder.h"
#include "storage/digest.h"
#include "storage/verify.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr auto kPartialLife = 7 * 24h;
constexpr auto kIndexLife = 90 * 24h;  // and that of records
constexpr size_t kMaxRecordBytes = size_t{64} << 20;
constexpr size_t kSumLength = 64;

Status Rename(const std::string& from, const std::string& to) {
  return rename(from.c_str(), to.c_str()) == 0 ? OkStatus() : ErrnoStatus(errno, "rename to", to);
}

}  // namespace

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

struct BlobCache::Assembly::State {
  Mutex mutex;
  std::vector<File> files GUARDED_BY(mutex);
};

std::string BlobCache::KeyOf(std::string_view text) {
  Digest digest(Digest::Kind::kSha256);
  digest.Add(text);
  return digest.Hex().substr(0, 40);
}

std::string BlobCache::BlobPath(const std::string& sha256) const {
  return JoinPath(options_.directory, StrCat("blobs/", sha256.substr(0, 2), "/", sha256));
}

Result<std::unique_ptr<BlobCache>> BlobCache::Open(Options options, const StoreCall& call) {
  std::unique_ptr<BlobCache> cache(new BlobCache(std::move(options)));
  const std::string& root = cache->options_.directory;
  for (const char* name : {"blobs", "versions", "index", "records", "partial", "staging"})
    RETURN_IF_ERROR(Annotate(MakeFolders(JoinPath(root, name)), "the cache of fetched models"));
  ASSIGN_OR_RETURN(UniqueFd lock, LockCache(root, call));
  std::string probe = JoinPath(root, StrCat("staging/", NewName()));
  RETURN_IF_ERROR(
      Annotate(OpenFile(probe, O_WRONLY | O_CREAT).status(), "the cache of fetched models"));
  bool links = link(probe.c_str(), (probe + ".l").c_str()) == 0;
  unlink(probe.c_str());
  unlink((probe + ".l").c_str());
  if (!links) {
    return FailedPreconditionError(
        StrCat("the file system of ", root,
               " has no hard links; set storage.cache_dir to a folder on one that has"));
  }
  cache->Sweep();
  return cache;
}
BlobCache::~BlobCache() = default;

void BlobCache::Sweep() {
  std::string staging = JoinPath(options_.directory, "staging");
  for (const std::string& name : ListDirectory(staging).value_or({})) {
    // Of a published version the lock alone may be left.
    std::string folder =
        JoinPath(staging, name.ends_with(".lock") ? name.substr(0, name.size() - 5) : name);
    Result<UniqueFd> lock = OpenFile(folder + ".lock", O_RDWR);
    if (lock.ok() && !TryLock(*lock)) continue;
    RemoveAll(folder);
    unlink((folder + ".lock").c_str());
  }
  int64_t now = SystemClock().Now().time_since_epoch().count();
  EachFile(JoinPath(options_.directory, "partial"), [&](const std::string& path, const auto& info) {
    if (now - ModifiedNs(info) < Duration(kPartialLife).count()) return;
    Result<UniqueFd> fd = OpenFile(path, O_RDWR);
    if (fd.ok() && TryLock(*fd)) unlink(path.c_str());
  });
  for (const char* folder : {"index", "records"}) {
    EachFile(JoinPath(options_.directory, folder), [&](const std::string& path, const auto& info) {
      if (now - ModifiedNs(info) > Duration(kIndexLife).count()) unlink(path.c_str());
    });
  }
}

Status BlobCache::Partial::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      int error = errno;
      // What cannot be finished must not keep the disk full.
      if (error == ENOSPC || error == EDQUOT) static_cast<void>(Restart());
      return Annotate(ErrnoStatus(error, "write", path_), "the cache of fetched models");
    }
    size_ += written;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return OkStatus();
}

Status BlobCache::Partial::Restart() {
  if (ftruncate(fd_.get(), 0) != 0 || lseek(fd_.get(), 0, SEEK_SET) != 0)
    return ErrnoStatus(errno, "truncate", path_);
  size_ = 0;
  return OkStatus();
}

void BlobCache::Partial::Discard() {
  if (!fd_.valid()) return;
  unlink(path_.c_str());
  fd_.Reset();
}

Result<std::unique_ptr<BlobCache::Partial>> BlobCache::OpenPartial(const std::string& key,
                                                                   bool resume,
                                                                   const StoreCall& call) {
  std::string path = JoinPath(options_.directory, StrCat("partial/", key));
  while (true) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDWR | O_CREAT | O_APPEND));
    RETURN_IF_ERROR(
        AwaitLock(fd, "somebody else is fetching the same file and does not finish", call));
    struct stat mine, there;
    // Whoever had it may have moved it away meanwhile: then this is another file's lock.
    bool same = fstat(fd.get(), &mine) == 0 && stat(path.c_str(), &there) == 0 &&
                mine.st_ino == there.st_ino;
    if (!same) continue;
    std::unique_ptr<Partial> partial(new Partial(path, std::move(fd), mine.st_size));
    if (!resume && partial->size() > 0) RETURN_IF_ERROR(partial->Restart());
    return partial;
  }
}

Result<std::unique_ptr<BlobCache::Assembly>> BlobCache::Begin(const StoreCall& call) {
  ASSIGN_OR_RETURN(UniqueFd lock, LockCache(options_.directory, call));
  std::string folder = JoinPath(options_.directory, StrCat("staging/", NewName()));
  ASSIGN_OR_RETURN(UniqueFd mine, OpenFile(folder + ".lock", O_RDWR | O_CREAT));
  CHECK(TryLock(mine));  // nobody else knows its name
  RETURN_IF_ERROR(MakeFolders(folder));
  return std::unique_ptr<Assembly>(new Assembly(*this, folder, std::move(mine), call));
}

BlobCache::Assembly::Assembly(BlobCache& cache, std::string directory, UniqueFd lock,
                              const StoreCall& call)
    : cache_(cache),
      directory_(std::move(directory)),
      call_(call),
      room_(cache.budget_, std::move(lock)),
      state_(std::make_unique<State>()) {}

BlobCache::Assembly::~Assembly() {
  RemoveAll(directory_);
  unlink((directory_ + ".lock").c_str());
}

void BlobCache::Assembly::Clear() {
  MutexLock lock(state_->mutex);
  state_->files.clear();
  std::error_code ignored;
  for (fs::directory_iterator at(directory_, ignored), end; !ignored && at != end;
       at.increment(ignored)) {
    RemoveAll(at->path().string());
  }
}

void BlobCache::Assembly::Note(const File& file) {
  MutexLock lock(state_->mutex);
  state_->files.push_back(file);
}

Status BlobCache::LinkBlob(const std::string& from, const File& file, const std::string& to) {
  std::string path = JoinPath(to, file.path);
  RETURN_IF_ERROR(MakeFolders(fs::path(path).parent_path().string()));
  if (link(from.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "link", path);
  return OkStatus();
}

Result<bool> BlobCache::Assembly::Take(const File& file, const std::atomic<bool>* cancel) {
  std::string blob = cache_.BlobPath(file.sha256);
  Result<FileStamp> stamp = StampOf(blob);
  if (!stamp.ok()) return false;
  Result<std::string> sum = Sha256OfFile(blob, cancel);
  if (sum.status().code() == StatusCode::kCancelled) return sum.status();
  if (!sum.ok() || *sum != file.sha256) {
    LOG_WARN("a file in the cache is damaged; it is fetched anew", {"sha256", file.sha256},
             {"path", blob});
    unlink(blob.c_str());
    return false;
  }
  Status linked = cache_.LinkBlob(blob, file, directory_);
  if (linked.code() == StatusCode::kNotFound) return false;  // evicted just now
  RETURN_IF_ERROR(linked);
  Note(file);
  return true;
}

Status BlobCache::Assembly::Add(std::unique_ptr<Partial> partial, const File& file) {
  std::string blob = cache_.BlobPath(file.sha256);
  RETURN_IF_ERROR(MakeFolders(fs::path(blob).parent_path().string()));
  // First the link into the version: a blob with one name only may be evicted.
  RETURN_IF_ERROR(cache_.LinkBlob(partial->path(), file, directory_));
  RETURN_IF_ERROR(room_.Use(file.size, call_, [&] { return Rename(partial->path(), blob); }));
  // Not before: a partial file that was left read-only could not be taken up again.
  fchmod(partial->fd_.get(), 0444);
  Note(file);
  return OkStatus();
}

Status BlobCache::Assembly::AddStaged(const File& file) {
  std::string blob = cache_.BlobPath(file.sha256);
  RETURN_IF_ERROR(MakeFolders(fs::path(blob).parent_path().string()));
  std::string from = JoinPath(directory_, file.path);
  std::string beside = StrCat(blob, ".", NewName());
  chmod(from.c_str(), 0444);
  if (link(from.c_str(), beside.c_str()) != 0) return ErrnoStatus(errno, "link", beside);
  Status used = room_.Use(file.size, call_, [&] { return Rename(beside, blob); });
  if (!used.ok()) {
    unlink(beside.c_str());
    return used;
  }
  Note(file);
  return OkStatus();
}

std::vector<BlobCache::File> BlobCache::Assembly::files() const {
  MutexLock lock(state_->mutex);
  std::vector<File> files = state_->files;
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

Result<LocalVersion> BlobCache::Assembly::Publish() {
  const std::vector<File> files = this->files();
  std::string text;
  for (const File& file : files) text += StrCat(file.path, '\0', file.sha256, "\n");
  std::string name = KeyOf(text);
  std::string target = JoinPath(cache_.options_.directory, StrCat("versions/", name));
  ASSIGN_OR_RETURN(UniqueFd lock, LockCache(cache_.options_.directory, call_));
  if (!IsDirectory(target)) {
    RETURN_IF_ERROR(Rename(directory_, target));
  } else {
    for (const File& file : files) {
      std::string mine = JoinPath(directory_, file.path), there = JoinPath(target, file.path);
      struct stat a, b;
      if (stat(mine.c_str(), &a) == 0 && stat(there.c_str(), &b) == 0 && a.st_ino == b.st_ino)
        continue;
      RETURN_IF_ERROR(MakeFolders(fs::path(there).parent_path().string()));
      RETURN_IF_ERROR(Rename(mine, there));
    }
  }
  return cache_.LeaseOf(name);
}

Result<LocalVersion> BlobCache::LeaseOf(const std::string& name) {
  std::string path = JoinPath(options_.directory, StrCat("versions/", name));
  ASSIGN_OR_RETURN(UniqueFd use, OpenFile(path + ".use", O_RDWR | O_CREAT));
  if (flock(use.get(), LOCK_SH | LOCK_NB) != 0) return ErrnoStatus(errno, "lock", path + ".use");
  futimens(use.get(), nullptr);  // the last use is now
  return LocalVersion{path, std::make_shared<const UniqueFd>(std::move(use))};
}

std::optional<std::vector<BlobCache::File>> BlobCache::Lookup(const std::string& key) const {
  Result<std::string> text =
      ReadFile(JoinPath(options_.directory, StrCat("index/", key)), size_t{64} << 20);
  if (!text.ok()) return std::nullopt;
  std::vector<File> files;
  for (std::string_view line : Split(*text, '\n')) {
    if (line == "end") return files;  // a torn file has no end
    std::vector<std::string_view> parts = Split(line, '\t');
    if (parts.size() != 3 || !IsSha256(parts[0])) return std::nullopt;
    std::optional<int64_t> size = ParseInt64(parts[1]);
    if (!size) return std::nullopt;
    files.push_back({std::string(parts[2]), std::string(parts[0]), *size});
  }
  return std::nullopt;
}

Status BlobCache::Remember(const std::string& key, const std::vector<File>& files) {
  std::string text;
  for (const File& file : files)
    text += StrCat(file.sha256, "\t", file.size, "\t", file.path, "\n");
  return WriteFileAtomically(JoinPath(options_.directory, StrCat("index/", key)), text + "end\n");
}

void BlobCache::Forget(const std::string& key) {
  unlink(JoinPath(options_.directory, StrCat("index/", key)).c_str());
}

std::string BlobCache::RecordPath(const std::string& key) const {
  return JoinPath(options_.directory, StrCat("records/", key));
}

Status BlobCache::WriteRecord(const std::string& key, std::string_view text) {
  if (text.size() + kSumLength + 1 > kMaxRecordBytes) {
    return ResourceExhaustedError(
        StrCat("it has ", text.size(), " bytes, more than ", kMaxRecordBytes));
  }
  Digest sum(Digest::Kind::kSha256);
  sum.Add(text);
  return WriteFileAtomically(RecordPath(key), StrCat(sum.Hex(), "\n", text));
}

Result<BlobCache::Record> BlobCache::ReadRecord(const std::string& key) const {
  const std::string path = RecordPath(key);
  ASSIGN_OR_RETURN(FileStamp stamp, StampOf(path));
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxRecordBytes));
  std::string_view content = text;
  content.remove_prefix(std::min(kSumLength + 1, content.size()));
  Digest sum(Digest::Kind::kSha256);
  sum.Add(content);
  if (!std::string_view(text).starts_with(sum.Hex() + "\n"))
    return DataLossError(StrCat("the cache's record ", path, " is damaged"));
  return Record{std::string(content), WallTime(std::chrono::nanoseconds(stamp.modified_ns))};
}

void BlobCache::TouchRecord(const std::string& key) const {
  utimensat(AT_FDCWD, RecordPath(key).c_str(), nullptr, 0);
}

bool BlobCache::Has(const File& file) const {
  Result<FileStamp> stamp = StampOf(BlobPath(file.sha256));
  return stamp.ok() && stamp->size == file.size;
}

}  // namespace leadsman
