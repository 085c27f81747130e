#include "storage/verify.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/fs.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "storage/digest.h"

namespace leadsman {
namespace {

/// Opens a plain file to be read from begin to end.
Result<UniqueFd> OpenPlainFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return FailedPreconditionError(StrCat(path, " is not a plain file"));
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return fd;
}

/// The real place of `path` must be below the real place of `directory`.
Status CheckStaysInside(const std::string& directory, const std::string& path) {
  std::error_code error;
  std::filesystem::path folder = std::filesystem::canonical(directory, error);
  if (error)
    return NotFoundError(StrCat("cannot find the folder ", directory, ": ", error.message()));
  std::filesystem::path real = std::filesystem::canonical(JoinPath(directory, path), error);
  if (error)
    return DataLossError(
        StrCat("the file ", path, " that manifest.json lists cannot be found: ", error.message()));
  auto [end, ignored] = std::mismatch(folder.begin(), folder.end(), real.begin(), real.end());
  if (end != folder.end()) {
    return PermissionDeniedError(
        StrCat("the file ", path,
               " is a link to outside its version's folder; put the file itself there"));
  }
  return OkStatus();
}

Status VerifyFile(const Manifest::File& file, const std::string& directory,
                  const std::atomic<bool>* cancel) {
  RETURN_IF_ERROR(CheckStaysInside(directory, file.path));
  std::string path = JoinPath(directory, file.path);
  Result<FileStamp> stamp = StampOf(path);
  if (!stamp.ok())
    return DataLossError(
        StrCat("the file ", file.path, " cannot be read: ", stamp.status().message()));
  if (stamp->size != file.size_bytes) {
    return DataLossError(
        StrCat("the file ", file.path, " has ", stamp->size, " bytes, manifest.json says ",
               file.size_bytes,
               stamp->size < file.size_bytes ? ": truncated, or still being copied" : ""));
  }
  Result<std::string> sha256 = Sha256OfFile(path, cancel);
  if (!sha256.ok()) {
    if (sha256.status().code() == StatusCode::kCancelled) return sha256.status();
    return DataLossError(
        StrCat("the file ", file.path, " cannot be read: ", sha256.status().message()));
  }
  if (*sha256 != file.sha256) {
    return DataLossError(StrCat("the file ", file.path, " has sha256 ", *sha256,
                                ", manifest.json says ", file.sha256,
                                ": it was changed after the manifest was written"));
  }
  return OkStatus();
}

}  // namespace

Status VerifyFiles(const Manifest& manifest, const std::string& directory,
                   const std::string& model_name, int64_t version,
                   const std::atomic<bool>* cancel) {
  if (manifest.name != model_name) {
    return InvalidArgumentError(StrCat(
        "name in manifest.json is \"", manifest.name, "\", but it is served as \"", model_name,
        "\": configure the model by the manifest's name, or write the manifest for this one (a "
        "manifest speaks of one model, so that none is served in another's place)"));
  }
  if (manifest.version != version) {
    return InvalidArgumentError(StrCat("version in manifest.json is ", manifest.version,
                                       ", but the folder is that of version ", version));
  }
  for (const Manifest::File& file : manifest.files)
    RETURN_IF_ERROR(VerifyFile(file, directory, cancel));
  return OkStatus();
}

Result<std::string> Sha256OfFile(const std::string& path, const std::atomic<bool>* cancel) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenPlainFile(path));
  Digest digest(Digest::Kind::kSha256);
  std::vector<char> piece(1 << 18);
  while (true) {
    if (cancel != nullptr && cancel->load())
      return CancelledError(StrCat("reading ", path, " was called off"));
    ssize_t n = read(fd.get(), piece.data(), piece.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "read", path);
    }
    if (n == 0) return digest.Hex();
    digest.Add(piece.data(), static_cast<size_t>(n));
  }
}

}  // namespace leadsman
