#include "storage/file_source.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/rng.h"
#include "base/strings.h"
#include "storage/detect.h"
#include "storage/manifest.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

constexpr size_t kMaxRememberedNames = 1'000;
constexpr int kMaxStampedFiles = 10'000;

uint64_t Number(const FileStamp& stamp) {
  uint64_t one = Rng::Mix(stamp.inode);
  for (uint64_t part :
       {static_cast<uint64_t>(stamp.size), static_cast<uint64_t>(stamp.modified_ns)})
    one = Rng::Mix(one ^ part);
  return one;
}

}  // namespace

void FileSource::LookAtTritonConfig() {
  triton_.Look({.stamp = [this](const std::string& path) -> Result<uint64_t> {
                  ASSIGN_OR_RETURN(FileStamp stamp, StampOf(JoinPath(folder_, path)));
                  return Number(stamp);
                },
                .read =
                    [this](const std::string& path) {
                      return ReadFile(JoinPath(folder_, path), kMaxBesideBytes);
                    }});
}

Result<Manifest> FileSource::Detect(const std::string& directory) const {
  TritonConfigFound triton = triton_.found();
  return DetectModel(directory, options().format, options().model_file,
                     triton && triton->ok() ? &triton->value() : nullptr);
}

VersionFolder FileSource::LookAt(int64_t version, std::string directory, SteadyTime now) {
  VersionFolder folder{.version = version, .directory = std::move(directory)};
  Result<FileStamp> stamp = StampOf(JoinPath(folder.directory, kManifestFileName));
  if (stamp.ok()) {
    folder.complete = true;
    folder.manifest = *stamp;
  } else if (stamp.status().code() != StatusCode::kNotFound) {
    folder.waiting = StrCat("waiting for ", kManifestFileName, ": ", stamp.status().message());
  } else if (options().require_manifest) {
    folder.waiting = StrCat("waiting for ", kManifestFileName, " (still being copied?)");
  } else {
    LookWithoutManifest(folder, now);
  }
  return folder;
}

void FileSource::LookWithoutManifest(VersionFolder& folder, SteadyTime now) {
  Result<Manifest> found = Detect(folder.directory);
  // Where something is said that cannot be, the load is what tells why, not that no model was recognised.
  TritonConfigFound triton = triton_.found();
  bool told_by_load = !options().model_file.empty() ||
                      (triton && (!triton->ok() || triton->value().NamesModelFile()));
  if (!found.ok() && !told_by_load) {
    resting_.erase(folder.version);
    folder.waiting =
        StrCat(found.status().message(), " (still being copied?); a ", kManifestFileName, " or `",
               options().format.empty() ? "format" : "model_file", "` would say what it is");
    return;
  }
  const uint64_t stamp = StampOfFolder(folder.directory);
  auto [it, added] = resting_.try_emplace(folder.version, Resting{stamp, now});
  if (it->second.stamp != stamp) it->second = {stamp, now};
  if (vouched_for_) it->second.since = now - options().settle_time;
  if (stamp == 0 || now - it->second.since < options().settle_time) {
    folder.waiting =
        StrCat("its files have to rest for ", ToSeconds(options().settle_time),
               " s (settle_time), for it has no ", kManifestFileName, " (still being copied?)");
    return;
  }
  folder.complete = true;
  folder.manifest.inode = stamp;
}

Result<std::vector<VersionFolder>> FileSource::List(SteadyTime now, const StoreCall&) {
  vouched_for_ = TakeVouched();
  // Files that could not be written once are not tried again: they are gone.
  if (options().given && given_written_.ok()) given_written_ = options().given->Write();
  RETURN_IF_ERROR(given_written_);
  LookAtTritonConfig();
  Result<std::vector<std::string>> names = ListDirectory(folder_);
  if (std::string why = WhyNoModelFolder(folder_); !names.ok() && !why.empty())
    return FailedPreconditionError(std::move(why));
  if (!names.ok()) {
    return Annotate(names.status(), "the model's folder cannot be read and is looked for again");
  }
  // "7" comes before "007": of two names of one version the shorter counts.
  std::sort(names->begin(), names->end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::map<int64_t, VersionFolder> found;
  for (const std::string& name : *names) {
    int64_t version = VersionNumber(name);
    std::string directory = JoinPath(folder_, name);
    if (version == 0) {
      Ignore(name, "its name is not a version number");
    } else if (!IsDirectory(directory)) {
      Ignore(name, "it is not a folder");
    } else if (found.contains(version)) {
      Ignore(name, "another folder has the same version");
    } else {
      found.emplace(version, LookAt(version, std::move(directory), now));
    }
  }
  // An MLflow folder, a lone model.onnx: what lies in the model's folder itself is its version 1.
  if (found.empty() && !options().require_manifest && Detect(folder_).ok()) {
    VersionFolder folder{.version = 1, .directory = folder_};
    LookWithoutManifest(folder, now);
    found.emplace(1, std::move(folder));
  }
  std::erase_if(resting_, [&](const auto& entry) { return !found.contains(entry.first); });
  std::vector<VersionFolder> folders;
  MutexLock lock(mutex_);
  directories_.clear();
  for (auto& [version, folder] : found) {
    directories_[version] = folder.directory;
    folders.push_back(std::move(folder));
  }
  return folders;
}

std::string FileSource::DirectoryOf(int64_t version) {
  MutexLock lock(mutex_);
  auto it = directories_.find(version);
  return it == directories_.end() ? "" : it->second;
}

Result<LocalVersion> FileSource::Fetch(int64_t version, FetchProgress&, const StoreCall&) {
  std::string directory = DirectoryOf(version);
  if (directory.empty())
    return NotFoundError(StrCat("version ", version, " is no longer in ", path()));
  return LocalVersion{.directory = std::move(directory)};
}

uint64_t FileSource::StampOfVersion(int64_t version) {
  std::string directory = DirectoryOf(version);
  uint64_t stamp = directory.empty() ? 0 : StampOfFolder(directory);
  // What could not be honoured may be so now, and be the reason why the version failed.
  return stamp == 0 ? 0 : Rng::Mix(stamp ^ triton_.stamp()) | 1;
}

void FileSource::Ignore(const std::string& name, std::string_view why) {
  if (name.starts_with('.') || name == kTritonConfigName || triton_.Names(name)) return;
  if (ignored_.size() >= kMaxRememberedNames) return;
  if (!ignored_.insert(name).second) return;
  LOG_INFO("ignored in a model's folder", {"path", path()}, {"name", name}, {"why", why});
}

std::string WhyNoModelFolder(const std::string& path) {
  Result<StoreUri> uri = ParseStoreUri(path);
  if (!uri.ok() || uri->kind != StoreUri::Kind::kFile) return "";
  std::error_code error;
  if (!std::filesystem::is_regular_file(uri->path, error)) return "";
  const std::filesystem::path file(uri->path);
  const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
  if (VersionNumber(file.parent_path().filename().string()) > 0) {
    const std::string above = file.parent_path().parent_path().string();
    return StrCat(path, " is a file; give the folder with the model's versions: ",
                  above.empty() ? "." : above);
  }
  return StrCat(
      path, " is a file; give the folder that it is in, ", folder,
      ", where it stands for version 1, or the folder with the model's versions, DIR for DIR/1/",
      file.filename().string());
}

uint64_t StampOfFolder(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  if (error) return 0;
  uint64_t sum = 1;
  for (int seen = 0; at != fs::recursive_directory_iterator() && seen < kMaxStampedFiles; ++seen) {
    Result<FileStamp> stamp = StampOf(at->path().string());
    if (stamp.ok()) {
      // Added up, so that the order of the listing does not matter.
      uint64_t one = std::hash<std::string>()(at->path().string());
      for (uint64_t part : {stamp->inode, static_cast<uint64_t>(stamp->size),
                            static_cast<uint64_t>(stamp->modified_ns)}) {
        one = Rng::Mix(one ^ part);
      }
      sum += one;
    }
    at.increment(error);
    if (error) return 0;
  }
  return sum;
}

}  // namespace leadsman
