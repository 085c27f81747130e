#include "storage/given_files.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman {

namespace fs = std::filesystem;

Result<std::shared_ptr<GivenFiles>> GivenFiles::Create(const std::string& root,
                                                       std::map<std::string, std::string> files) {
  std::error_code error;
  fs::create_directories(root, error);
  if (error) return ErrnoStatus(error.value(), "make the folder", root);
  std::string folder = JoinPath(root, "leadsman-given-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make a folder in", root);
  return std::shared_ptr<GivenFiles>(new GivenFiles(std::move(folder), std::move(files)));
}

GivenFiles::GivenFiles(std::string folder, std::map<std::string, std::string> files)
    : folder_(std::move(folder)), files_(std::move(files)) {}

GivenFiles::~GivenFiles() {
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error)
    LOG_WARN("a model's files are left over", {"folder", folder_}, {"why", error.message()});
}

namespace {

Status WriteOne(const fs::path& path, const std::string& content) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) return ErrnoStatus(error.value(), "make the folder", path.parent_path().string());
  return WriteFileAtomically(path.string(), content);
}

}  // namespace

Status GivenFiles::Write() {
  MutexLock lock(mutex_);
  if (files_.empty() && !IsDirectory(folder_)) {
    return FailedPreconditionError(
        "the files of the load could not be written, or are gone; load the model again");
  }
  while (!files_.empty()) {
    const auto first = files_.begin();
    if (Status status = WriteOne(fs::path(folder_) / first->first, first->second); !status.ok()) {
      // Neither the memory nor the disk is kept for what will not be a model.
      files_.clear();
      std::error_code ignored;
      fs::remove_all(folder_, ignored);
      return Annotate(status, "the files of the load cannot be written");
    }
    files_.erase(first);
  }
  return OkStatus();
}

}  // namespace leadsman
