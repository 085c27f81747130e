#include "storage/remote_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "storage/archive.h"
#include "storage/digest.h"
#include "storage/manifest.h"
#include "storage/store_uri.h"
#include "storage/verify.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

Status NoSuchFileBeside(const std::string& path, const std::string& model) {
  return NotFoundError(StrCat("there is no ", path, " beside the versions in ", RedactUrl(model)));
}
uint64_t StampOfBeside(const std::string& revision, int64_t size) {
  return std::hash<std::string>()(StrCat(revision, "\n", size));
}

/// The stamp of a version that is complete, as a look shows it.
FileStamp ShownStamp(const std::string& stamp) {
  return {.inode = std::hash<std::string>()(stamp)};
}

/// What has neither a sum nor a revision may be another file the next time.
bool CanBeResumed(const RemoteFile& file) { return !file.sha256.empty() || !file.revision.empty(); }

/// Writes what comes into a partial file and keeps its sums.
class SummingSink final : public ReadSink {
 public:
  SummingSink(BlobCache::Partial& partial, const RemoteFile& file, FetchProgress& progress,
              CacheBudget::Reservation& room, std::atomic<int64_t>& claimed, const StoreCall& call,
              int64_t max_bytes)
      : partial_(partial),
        file_(file),
        progress_(progress),
        room_(room),
        claimed_(claimed),
        call_(call),
        max_bytes_(max_bytes),
        reserved_(std::max<int64_t>(0, file.size)) {}

  /// Takes over what an earlier attempt, or an earlier process, has left in the file.
  Status Resume() {
    Reset();
    if (partial_.size() == 0) return OkStatus();
    RETURN_IF_ERROR(MakeRoom(partial_.size()));
    UniqueFd fd(open(partial_.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return ErrnoStatus(errno, "open", partial_.path());
    std::vector<char> piece(1 << 18);
    Status status;
    int64_t seen = 0;
    while (status.ok() && seen < partial_.size()) {
      ssize_t got = read(fd.get(), piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) status = ErrnoStatus(got < 0 ? errno : EIO, "read", partial_.path());
      if (got > 0) Sum(std::string_view(piece.data(), static_cast<size_t>(got)));
      if (call_.cancelled()) status = CancelledError("called off");
      seen += std::max<ssize_t>(got, 0);
    }
    Count(seen);
    return status;
  }
  Status Restart() override {
    RETURN_IF_ERROR(partial_.Restart());
    Reset();
    return OkStatus();
  }
  Status Append(std::string_view bytes) override {
    int64_t size = partial_.size() + static_cast<int64_t>(bytes.size());
    if (file_.size >= 0 && size > file_.size) {
      return DataLossError(StrCat("the store sends more than the ", file_.size,
                                  " bytes that it or the manifest speaks of"));
    }
    RETURN_IF_ERROR(MakeRoom(size));
    RETURN_IF_ERROR(partial_.Append(bytes));
    Sum(bytes);
    Count(static_cast<int64_t>(bytes.size()));
    return OkStatus();
  }
  void IgnoreMd5() override {
    ignore_md5_ = true;
    md5_.reset();
  }
  void AskedToWait(Duration at_least) override { asked_to_wait_ = at_least; }
  Duration asked_to_wait() const { return asked_to_wait_; }
  /// Ends the sums; DATA_LOSS says which does not agree. `sha256` is what came.
  Status Check(std::string& sha256) {
    sha256 = sha256_->Hex();
    if (!file_.sha256.empty() && sha256 != file_.sha256)
      return Wrong("sha256", sha256, file_.sha256);
    if (std::string md5 = md5_ ? md5_->Hex() : file_.md5; md5 != file_.md5)
      return Wrong("MD5", md5, file_.md5);
    if (file_.crc32c && crc32c_ != *file_.crc32c)
      return Wrong("CRC32C", std::to_string(crc32c_), std::to_string(*file_.crc32c));
    return OkStatus();
  }
  /// Takes this file's part of the progress back.
  void Uncount() { Count(-counted_); }

 private:
  /// Only what has no known size needs any: for the rest there is room already.
  Status MakeRoom(int64_t size) {
    if (size <= reserved_) return OkStatus();
    int64_t more = size - reserved_;
    if (claimed_.fetch_add(more) + more > max_bytes_) {  // the version's files come side by side
      return ResourceExhaustedError(
          StrCat("the version has more than storage.max_version_size (", max_bytes_, " bytes)"));
    }
    RETURN_IF_ERROR(room_.Grow(more, call_));
    reserved_ = size;
    return OkStatus();
  }
  Status Wrong(std::string_view what, const std::string& is, const std::string& should) {
    return DataLossError(StrCat("what came has the ", what, " ", is, ", not ", should,
                                ": it was changed on its way, or after its manifest was written"));
  }
  void Reset() {
    Uncount();
    sha256_ = std::make_unique<Digest>(Digest::Kind::kSha256);
    bool md5 = !file_.md5.empty() && !ignore_md5_ && Digest::Available(Digest::Kind::kMd5);
    md5_ = md5 ? std::make_unique<Digest>(Digest::Kind::kMd5) : nullptr;
    crc32c_ = 0;
    asked_to_wait_ = Duration::zero();
  }
  void Sum(std::string_view bytes) {
    sha256_->Add(bytes);
    if (md5_) md5_->Add(bytes);
    if (file_.crc32c) crc32c_ = Crc32c(crc32c_, bytes);
  }
  void Count(int64_t bytes) {
    counted_ += bytes;
    progress_.done += bytes;
  }

  BlobCache::Partial& partial_;
  const RemoteFile& file_;
  FetchProgress& progress_;
  CacheBudget::Reservation& room_;
  std::atomic<int64_t>& claimed_;
  const StoreCall& call_;
  const int64_t max_bytes_;  ///< of the whole version
  int64_t reserved_;
  std::unique_ptr<Digest> sha256_;
  std::unique_ptr<Digest> md5_;  ///< null: there is nothing to compare with, or no MD5 here
  uint32_t crc32c_ = 0;
  bool ignore_md5_ = false;
  Duration asked_to_wait_{};
  int64_t counted_ = 0;
};

}  // namespace

RemoteSource::RemoteSource(std::string path, Options options, std::unique_ptr<RemoteStore> store,
                           StoreHttp& http, BlobCache& cache, const StorageOptions& storage)
    : Source(std::move(path), std::move(options)),
      store_(std::move(store)),
      http_(http),
      cache_(cache),
      storage_(storage),
      triton_(this->options().triton_json) {}

void RemoteSource::LookAtTritonConfig(const std::vector<RemoteFile>& beside,
                                      const StoreCall& call) {
  auto find = [&](const std::string& path) -> Result<const RemoteFile*> {
    for (const RemoteFile& file : beside) {
      if (file.path == path) return &file;
    }
    return NoSuchFileBeside(path, this->path());
  };
  triton_.Look({.stamp = [&](const std::string& path) -> Result<uint64_t> {
                  ASSIGN_OR_RETURN(const RemoteFile* file, find(path));
                  return StampOfBeside(file->revision, file->size);
                },
                .read = [&](const std::string& path) -> Result<std::string> {
                  if (path == kTritonConfigName) beside_.clear();
                  ASSIGN_OR_RETURN(const RemoteFile* file, find(path));
                  ASSIGN_OR_RETURN(std::string content,
                                   ReadWhole(*store_, *file, kMaxBesideBytes, call));
                  beside_[path] = {path, file->revision, file->size, content};
                  return content;
                }});
  if (!find(kTritonConfigName).ok()) beside_.clear();
}

void RemoteSource::Settle(RemoteVersion& version, bool vouched, SteadyTime now) {
  bool may_rest = !version.complete && !version.refused && !version.files.empty();
  if (!may_rest || options().require_manifest) return;
  auto [it, added] = resting_.try_emplace(version.version, Resting{version.stamp, now});
  if (it->second.stamp != version.stamp) it->second = {version.stamp, now};
  if (vouched) it->second.since = now - options().settle_time;
  if (now - it->second.since < options().settle_time) {
    version.waiting =
        StrCat("its files have to rest for ", ToSeconds(options().settle_time),
               " s (settle_time), for it has no ", kManifestFileName, " (still being copied?)");
  } else {
    version.complete = true;
  }
}

Result<std::vector<VersionFolder>> RemoteSource::List(SteadyTime now, const StoreCall& call) {
  const bool vouched = TakeVouched();
  ASSIGN_OR_RETURN(RemoteListing listing, store_->List(call));
  LookAtTritonConfig(listing.beside, call);
  bool config_there = std::any_of(listing.beside.begin(), listing.beside.end(),
                                  [](const auto& f) { return f.path == kTritonConfigName; });
  std::map<int64_t, RemoteVersion> listed;
  std::vector<VersionFolder> folders;
  for (RemoteVersion& version : listing.versions) {
    version.stamp = BlobCache::KeyOf(version.stamp);  // it may hold the query of a URL
    Settle(version, vouched, now);
    VersionFolder folder{.version = version.version, .complete = version.complete};
    folder.waiting = version.waiting;
    folder.manifest = ShownStamp(version.stamp);
    folders.push_back(std::move(folder));
    listed[version.version] = std::move(version);
  }
  std::erase_if(resting_, [&](const auto& entry) { return !listed.contains(entry.first); });
  std::sort(folders.begin(), folders.end(),
            [](const auto& a, const auto& b) { return a.version < b.version; });
  KeepListing(listed, config_there);
  MutexLock lock(mutex_);
  listed_ = std::move(listed);
  recalled_.clear();
  return folders;
}

std::string RemoteSource::ListingKey() const {
  return BlobCache::KeyOf(StrCat("listing\n", store_->address(), "\n", path()));
}

std::string RemoteSource::FilesKey(int64_t version, const std::string& stamp) const {
  return BlobCache::KeyOf(
      StrCat("files\n", store_->address(), "\n", path(), "\n", version, "\n", stamp));
}

void RemoteSource::KeepListing(const std::map<int64_t, RemoteVersion>& listed, bool config_there) {
  const bool unread = config_there && !beside_.contains(kTritonConfigName);
  // It could not be read: what an earlier look kept of it is better than a record without it.
  const bool instead = !options().triton_json.empty();
  if (unread && !instead) return;
  if (!recorded_) {
    Result<BlobCache::Record> kept = cache_.ReadRecord(ListingKey());
    recorded_ = kept.ok() ? ParseListingRecord(kept->text).value_or({}) : ListingRecord();
  }
  std::map<int64_t, std::string> before;
  for (const ListingRecord::Version& version : recorded_->versions)
    before[version.version] = version.stamp;
  ListingRecord record;
  for (const auto& [number, version] : listed) {
    // One that rests again because this process is new was complete before.
    auto known = before.find(number);
    bool rested = known != before.end() && known->second == version.stamp;
    if (version.complete || rested) record.versions.push_back({number, version.stamp});
  }
  if (unread) {
    // It is not read while a load's configuration counts: what is known of it stays.
    record.beside = recorded_->beside;
    if (std::none_of(record.beside.begin(), record.beside.end(),
                     [](const auto& file) { return file.path == kTritonConfigName; }))
      return;
  } else {
    for (const auto& [path, file] : beside_) record.beside.push_back(file);
  }
  for (const ListingRecord::Version& version : record.versions)
    cache_.TouchRecord(FilesKey(version.version, version.stamp));
  if (record == *recorded_) return cache_.TouchRecord(ListingKey());
  Status written = cache_.WriteRecord(ListingKey(), ToJson(record));
  if (written.ok()) {
    recorded_ = std::move(record);
  } else if (!unrecorded_) {
    LOG_WARN("a listing cannot be kept; a start without the store would not know of it",
             {"path", RedactUrl(path())}, {"status", written});
  }
  unrecorded_ = !written.ok();
}

Result<RecalledVersions> RemoteSource::Recall(const StoreCall&) {
  ASSIGN_OR_RETURN(BlobCache::Record kept, cache_.ReadRecord(ListingKey()));
  Result<ListingRecord> parsed = ParseListingRecord(kept.text);
  if (!parsed.ok()) return Annotate(parsed.status(), "the cache's record of the last listing");
  ListingRecord record = std::move(parsed).value();
  RecalledVersions recalled{.listed_at = kept.touched};
  std::map<int64_t, RemoteVersion> listed;
  std::map<int64_t, Files> files;
  for (const ListingRecord::Version& one : record.versions) {
    Result<VersionFolder> folder = RecallVersion(one, files[one.version]);
    if (folder.status().code() == StatusCode::kNotFound) continue;  // never fetched, or evicted
    RETURN_IF_ERROR(folder.status());
    recalled.folders.push_back(*folder);
    listed[one.version] = {.version = one.version, .complete = folder->complete};
    listed[one.version].stamp = one.stamp;
  }
  beside_.clear();
  for (ListingRecord::Beside& file : record.beside) beside_[file.path] = std::move(file);
  auto find = [this](const std::string& path) -> Result<const ListingRecord::Beside*> {
    auto it = beside_.find(path);
    if (it == beside_.end()) return NoSuchFileBeside(path, this->path());
    return &it->second;
  };
  triton_.Look({.stamp = [&](const std::string& path) -> Result<uint64_t> {
                  ASSIGN_OR_RETURN(const ListingRecord::Beside* file, find(path));
                  return StampOfBeside(file->revision, file->size);
                },
                .read = [&](const std::string& path) -> Result<std::string> {
                  ASSIGN_OR_RETURN(const ListingRecord::Beside* file, find(path));
                  return file->content;
                }});
  MutexLock lock(mutex_);
  listed_ = std::move(listed);
  recalled_ = std::move(files);
  return recalled;
}

Result<VersionFolder> RemoteSource::RecallVersion(const ListingRecord::Version& recorded,
                                                  Files& files) const {
  VersionFolder folder{.version = recorded.version};
  folder.manifest = ShownStamp(recorded.stamp);
  Result<BlobCache::Record> kept = cache_.ReadRecord(FilesKey(recorded.version, recorded.stamp));
  if (kept.status().code() == StatusCode::kNotFound) return kept.status();
  Result<Files> parsed = kept.ok() ? ParseFilesRecord(kept->text) : kept.status();
  if (!parsed.ok()) {
    folder.waiting = StrCat("not served from the cache: ", parsed.status().message());
    return folder;
  }
  auto has = [this](const BlobCache::File& file) { return cache_.Has(file); };
  auto manifest = std::find_if(parsed->begin(), parsed->end(), [](const BlobCache::File& file) {
    return file.path == kManifestFileName;
  });
  const bool has_manifest = manifest != parsed->end();
  // Weights may be another version's too, a manifest is its own.
  const bool evicted =
      has_manifest ? !has(*manifest) : std::none_of(parsed->begin(), parsed->end(), has);
  if (evicted) return NotFoundError("it is no longer in the cache");
  auto missing = std::find_if_not(parsed->begin(), parsed->end(), has);
  if (missing != parsed->end())
    folder.waiting = StrCat("not whole in the cache: ", missing->path, " is missing");
  if (!has_manifest && options().require_manifest)
    folder.waiting = StrCat("without ", kManifestFileName, ", and require_manifest is set");
  folder.complete = folder.waiting.empty();
  files = std::move(*parsed);
  return folder;
}

Result<LocalVersion> RemoteSource::TakeRecalled(const Files& files, FetchProgress& progress,
                                                const StoreCall& call) {
  ASSIGN_OR_RETURN(std::unique_ptr<BlobCache::Assembly> assembly, cache_.Begin(call));
  std::vector<RemoteFile> wanted;
  progress.done = progress.total = 0;
  for (const BlobCache::File& file : files) {
    wanted.push_back({.path = file.path, .size = file.size, .sha256 = file.sha256});
    progress.total += file.size;
  }
  std::atomic<int64_t> claimed{0};
  Job job{*assembly, progress, call, claimed};
  RETURN_IF_ERROR(ForEach(job, wanted, [&](const Job& part, const RemoteFile& file) -> Status {
    ASSIGN_OR_RETURN(bool taken, TakeFromCache(part, file));
    if (taken) return OkStatus();
    return UnavailableError(
        "it is missing or damaged in the cache, and the store cannot be reached: it is fetched "
        "once "
        "that answers");
  }));
  return assembly->Publish();
}

uint64_t RemoteSource::StampOfVersion(int64_t version) {
  MutexLock lock(mutex_);
  auto it = listed_.find(version);
  if (it == listed_.end()) return 0;
  return Rng::Mix(std::hash<std::string>()(it->second.stamp) ^ triton_.stamp()) | 1;
}

Result<LocalVersion> RemoteSource::Fetch(int64_t version, FetchProgress& progress,
                                         const StoreCall& call) {
  RemoteVersion wanted;
  std::optional<Files> recalled;
  {
    MutexLock lock(mutex_);
    auto it = listed_.find(version);
    if (it == listed_.end())
      return NotFoundError(StrCat("version ", version, " is no longer in ", RedactUrl(path())));
    wanted = it->second;
    if (auto here = recalled_.find(version); here != recalled_.end()) recalled = here->second;
  }
  Result<LocalVersion> local =
      recalled ? TakeRecalled(*recalled, progress, call) : FetchNow(wanted, progress, call);
  if (!local.ok()) return Annotate(local.status(), StrCat("fetch from ", RedactUrl(path())));
  return local;
}

Result<LocalVersion> RemoteSource::FetchNow(const RemoteVersion& version, FetchProgress& progress,
                                            const StoreCall& call) {
  ASSIGN_OR_RETURN(std::unique_ptr<BlobCache::Assembly> assembly, cache_.Begin(call));
  ASSIGN_OR_RETURN(std::vector<RemoteFile> files, store_->Files(version, call));
  if (files.empty()) return NotFoundError("the version has no files");
  std::atomic<int64_t> claimed{0};
  Job job{*assembly, progress, call, claimed};
  progress.done = progress.total = 0;
  if (version.archive) {
    claimed = std::max<int64_t>(files[0].size, 0);
    RETURN_IF_ERROR(FetchArchive(job, files[0]));
    return PublishAndKeep(version, *assembly);
  }
  RETURN_IF_ERROR(KeepWhatTheManifestLists(job, files));
  int64_t total = progress.done;
  for (const RemoteFile& file : files) total += std::max<int64_t>(file.size, 0);
  if (total > storage_.max_version_size) {
    return ResourceExhaustedError(StrCat("its files have ", total,
                                         " bytes, more than storage.max_version_size (",
                                         storage_.max_version_size, ")"));
  }
  claimed = total;
  progress.total = total;
  RETURN_IF_ERROR(FetchAll(job, files));
  return PublishAndKeep(version, *assembly);
}

Result<LocalVersion> RemoteSource::PublishAndKeep(const RemoteVersion& version,
                                                  BlobCache::Assembly& assembly) {
  ASSIGN_OR_RETURN(LocalVersion local, assembly.Publish());
  Status kept =
      cache_.WriteRecord(FilesKey(version.version, version.stamp), ToJson(assembly.files()));
  if (!kept.ok()) {
    LOG_WARN("a version's files cannot be noted; a start without the store would not know them",
             {"path", RedactUrl(path())}, {"version", version.version}, {"status", kept});
  }
  return local;
}

Status RemoteSource::KeepWhatTheManifestLists(const Job& job, std::vector<RemoteFile>& files) {
  auto at = std::find_if(files.begin(), files.end(),
                         [](const RemoteFile& file) { return file.path == kManifestFileName; });
  if (at == files.end()) return OkStatus();
  if (at->size > static_cast<int64_t>(kMaxManifestBytes)) {
    return InvalidArgumentError(
        StrCat(kManifestFileName, " must be at most ", kMaxManifestBytes, " bytes long"));
  }
  RETURN_IF_ERROR(FetchAll(job, {*at}));
  ASSIGN_OR_RETURN(std::string json, ReadFile(JoinPath(job.assembly.directory(), kManifestFileName),
                                              kMaxManifestBytes));
  Result<Manifest> manifest = ParseManifest(json);
  if (!manifest.ok()) return Annotate(manifest.status(), kManifestFileName);
  std::map<std::string, RemoteFile> there;
  for (RemoteFile& file : files) there[file.path] = std::move(file);
  files.clear();
  for (const Manifest::File& listed : manifest->files) {
    if (listed.path == kManifestFileName) continue;
    auto it = there.find(listed.path);
    if (it == there.end()) {
      return DataLossError(
          StrCat("the file ", listed.path, " that manifest.json lists is not in the store"));
    }
    RemoteFile file = std::move(it->second);
    if (file.size >= 0 && file.size != listed.size_bytes) {
      return DataLossError(StrCat("the file ", listed.path, " has ", file.size,
                                  " bytes in the store, manifest.json says ", listed.size_bytes));
    }
    file.size = listed.size_bytes;
    file.sha256 = listed.sha256;
    files.push_back(std::move(file));
  }
  return OkStatus();
}

Status RemoteSource::FetchAll(const Job& job, const std::vector<RemoteFile>& files) {
  Mutex mutex;
  std::vector<RemoteFile> missing;
  // First all that is here: what is taken cannot be evicted while room is made for the rest.
  RETURN_IF_ERROR(ForEach(job, files, [&](const Job& part, const RemoteFile& file) -> Status {
    ASSIGN_OR_RETURN(bool taken, TakeFromCache(part, file));
    if (taken) return OkStatus();
    MutexLock lock(mutex);
    missing.push_back(file);
    return OkStatus();
  }));
  if (missing.empty()) return OkStatus();
  int64_t bytes = 0;
  std::set<std::string> partials;
  for (const RemoteFile& file : missing) {
    bytes += std::max<int64_t>(0, file.size);
    if (CanBeResumed(file)) partials.insert(IndexKey(file));
  }
  RETURN_IF_ERROR(job.assembly.room().Reserve(bytes, partials, job.call));
  return ForEach(job, missing,
                 [&](const Job& part, const RemoteFile& file) { return FetchFile(part, file); });
}

Status RemoteSource::ForEach(const Job& job, const std::vector<RemoteFile>& files,
                             const std::function<Status(const Job&, const RemoteFile&)>& one) {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  Mutex mutex;
  Status first;
  StoreCall call = job.call;
  call.stop = &failed;
  Job mine{job.assembly, job.progress, call, job.claimed};
  auto work = [&] {
    for (size_t i = next++; i < files.size() && !failed.load(); i = next++) {
      Status status = one(mine, files[i]);
      if (status.ok()) continue;
      MutexLock lock(mutex);
      if (!failed.exchange(true)) first = Annotate(std::move(status), files[i].path);
    }
  };
  size_t threads = std::min<size_t>(files.size(), static_cast<size_t>(storage_.parallel_downloads));
  std::vector<std::thread> pool;
  try {
    for (size_t i = 1; i < threads; ++i) pool.emplace_back(work);
  } catch (const std::system_error& e) {  // a limit of processes or memory
    LOG_WARN("fewer files are fetched at once: no thread can be started",
             {"at_once", pool.size() + 1}, {"why", e.what()});
  }
  work();
  for (std::thread& thread : pool) thread.join();
  return first;
}

std::string RemoteSource::IndexKey(const RemoteFile& file) const {
  return BlobCache::KeyOf(
      StrCat(path(), "\n", file.key, "\n", file.revision, "\n", file.size, "\n", file.sha256));
}

Result<bool> RemoteSource::TakeFromCache(const Job& job, const RemoteFile& file) {
  BlobCache::File local{.path = file.path, .sha256 = file.sha256, .size = file.size};
  if (local.sha256.empty() && CanBeResumed(file)) {
    auto remembered = cache_.Lookup(IndexKey(file));
    if (remembered && remembered->size() == 1) local.sha256 = (*remembered)[0].sha256;
  }
  if (local.sha256.empty()) return false;
  ASSIGN_OR_RETURN(bool taken, job.assembly.Take(local, job.call.cancel));
  if (taken) job.progress.done += std::max<int64_t>(file.size, 0);
  return taken;
}

Status RemoteSource::FetchFile(const Job& job, const RemoteFile& file) {
  std::string key = IndexKey(file);
  ASSIGN_OR_RETURN(std::unique_ptr<BlobCache::Partial> partial,
                   cache_.OpenPartial(key, CanBeResumed(file), job.call));
  if (partial->size() == 0) {
    // Whoever was waited for may have brought it.
    ASSIGN_OR_RETURN(bool taken, TakeFromCache(job, file));
    if (taken) {
      partial->Discard();
      job.assembly.room().Release(std::max<int64_t>(0, file.size));
      return OkStatus();
    }
  }
  BlobCache::File local{.path = file.path};
  ASSIGN_OR_RETURN(local.sha256, Download(job, file, *partial));
  local.size = partial->size();
  RETURN_IF_ERROR(job.assembly.Add(std::move(partial), local));
  if (file.sha256.empty() && CanBeResumed(file)) RETURN_IF_ERROR(cache_.Remember(key, {local}));
  return OkStatus();
}

Result<std::string> RemoteSource::Download(const Job& job, const RemoteFile& file,
                                           BlobCache::Partial& partial) {
  SummingSink sink(partial, file, job.progress, job.assembly.room(), job.claimed, job.call,
                   storage_.max_version_size);
  bool damaged_before = false;
  for (int attempt = 1;; ++attempt) {
    if (file.size >= 0 && partial.size() > file.size) RETURN_IF_ERROR(partial.Restart());
    RETURN_IF_ERROR(sink.Resume());
    int64_t begin = partial.size();
    Status status = store_->Read(file, begin, sink, job.call);
    if (status.ok() && file.size >= 0 && partial.size() < file.size) {
      status = UnavailableError(
          StrCat("the store sent ", partial.size(), " of ", file.size, " bytes and ended"));
    }
    if (status.ok()) {
      std::string sha256;
      status = sink.Check(sha256);
      if (status.ok()) return sha256;
    }
    if (status.code() == StatusCode::kDataLoss) {
      // Once more, from the beginning: it may have happened on the way.
      sink.Uncount();
      RETURN_IF_ERROR(partial.Restart());
      if (damaged_before) return status;
      damaged_before = true;
      continue;
    }
    if (status.code() != StatusCode::kUnavailable) {
      sink.Uncount();
      return status;
    }
    if (partial.size() > begin) attempt = 1;  // it goes on, if haltingly: the deadline ends that
    if (attempt > http_.retries()) {
      sink.Uncount();
      return status;
    }
    Status waited = http_.WaitBeforeRetry(attempt, sink.asked_to_wait(), job.call);
    if (!waited.ok()) {
      sink.Uncount();
      return waited.code() == StatusCode::kCancelled ? waited : status;
    }
  }
}

Status RemoteSource::FetchArchive(const Job& job, const RemoteFile& file) {
  std::string key = IndexKey(file);
  bool known = CanBeResumed(file);
  if (file.size > storage_.max_version_size) {
    return ResourceExhaustedError(StrCat("it has ", file.size,
                                         " bytes, more than storage.max_version_size (",
                                         storage_.max_version_size, ")"));
  }
  if (auto remembered = known ? cache_.Lookup(key) : std::nullopt) {
    bool all = true;
    for (size_t i = 0; all && i < remembered->size(); ++i) {
      ASSIGN_OR_RETURN(all, job.assembly.Take((*remembered)[i], job.call.cancel));
    }
    if (all) return OkStatus();
    job.assembly.Clear();
  }
  job.progress.total = std::max<int64_t>(0, file.size);
  std::set<std::string> partials;
  if (known) partials.insert(key);
  RETURN_IF_ERROR(job.assembly.room().Reserve(std::max<int64_t>(0, file.size), partials, job.call));
  ASSIGN_OR_RETURN(std::unique_ptr<BlobCache::Partial> partial,
                   cache_.OpenPartial(key, known, job.call));
  Result<std::string> sha256 = Download(job, file, *partial);
  if (!sha256.ok()) return Annotate(sha256.status(), file.path);
  const std::string& directory = job.assembly.directory();
  ArchiveLimits limits{.max_bytes = storage_.max_version_size};
  // It is here twice for a while: packed, which counts already, and unpacked.
  limits.make_room = [&job](int64_t bytes) { return job.assembly.room().Grow(bytes, job.call); };
  Result<std::vector<std::string>> paths =
      UnpackArchive(partial->path(), directory, limits, job.call);
  job.assembly.room().Release(partial->size());
  partial->Discard();
  if (!paths.ok()) return Annotate(paths.status(), file.path);
  std::vector<BlobCache::File> unpacked;
  for (const std::string& path : *paths) {
    ASSIGN_OR_RETURN(std::string sum, Sha256OfFile(JoinPath(directory, path), job.call.cancel));
    ASSIGN_OR_RETURN(FileStamp stamp, StampOf(JoinPath(directory, path)));
    unpacked.push_back({path, std::move(sum), stamp.size});
    RETURN_IF_ERROR(job.assembly.AddStaged(unpacked.back()));
  }
  return known ? cache_.Remember(key, unpacked) : OkStatus();
}

}  // namespace leadsman
