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

Status GivenFiles::Write() {
  MutexLock lock(mutex_);
  while (!files_.empty()) {
    const auto first = files_.begin();
    const fs::path path = fs::path(folder_) / first->first;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) return ErrnoStatus(error.value(), "make the folder", path.parent_path().string());
    RETURN_IF_ERROR(WriteFileAtomically(path.string(), first->second));
    files_.erase(first);
  }
  return OkStatus();
}

}  // namespace leadsman
