#include "storage/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>

#include "base/fs.h"
#include "base/strings.h"
#include "storage/remote_store.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kEndings = {".tar.gz", ".tgz", ".tar.zst", ".tar",
                                                      ".zip"};

struct ReadDeleter {
  void operator()(struct archive* a) const { archive_read_free(a); }
};
using Reader = std::unique_ptr<struct archive, ReadDeleter>;

std::string Trouble(struct archive* reader) {
  const char* text = archive_error_string(reader);
  return text == nullptr ? "it cannot be read" : text;
}

Status Refuse(std::string_view path, std::string_view why) {
  return InvalidArgumentError(StrCat("the archive's entry \"", path.substr(0, 200), "\" ", why));
}

/// The entry's path without "./" in front and "/" behind; "" for the archive's root.
Result<std::string> PathOf(struct archive_entry* entry) {
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  std::string_view path = name == nullptr ? "" : name;
  std::string_view whole = path;
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.ends_with('/')) path.remove_suffix(1);
  if ((path.empty() && !whole.empty() && whole[0] != '/') || path == ".") return std::string();
  if (!IsInsidePath(path))
    return Refuse(whole, "has a path that leaves its folder or cannot be one");
  return std::string(path);
}

Status CheckKind(struct archive_entry* entry, const std::string& path) {
  if (archive_entry_hardlink(entry) != nullptr)
    return Refuse(path, "is a link; put the file itself there");
  if (archive_entry_is_encrypted(entry) != 0) return Refuse(path, "is encrypted");
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      break;
    case AE_IFDIR:
      return OkStatus();
    case AE_IFLNK:
      return Refuse(path, "is a link; put the file itself there");
    default:
      return Refuse(path, "is neither a file nor a folder");
  }
  if (archive_entry_sparse_count(entry) > 0)
    return Refuse(path, "is a sparse file; store it whole");
  return OkStatus();
}

Status WriteEntry(struct archive* reader, const std::string& to, int64_t& left,
                  const StoreCall& call) {
  std::error_code error;
  fs::create_directories(fs::path(to).parent_path(), error);
  if (error) return ErrnoStatus(error.value(), "make the folder of", to);
  int fd = open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return ErrnoStatus(errno, "create", to);
  struct Closer {
    int fd;
    ~Closer() { close(fd); }
  } closer{fd};
  std::vector<char> piece(1 << 18);
  while (true) {
    if (call.cancelled()) return CancelledError("unpacking was called off");
    la_ssize_t got = archive_read_data(reader, piece.data(), piece.size());
    if (got < 0) return DataLossError(StrCat("the archive is damaged: ", Trouble(reader)));
    if (got == 0) return OkStatus();
    left -= got;
    if (left < 0)
      return ResourceExhaustedError("the archive holds more than storage.max_version_size");
    for (la_ssize_t at = 0; at < got;) {
      ssize_t written = write(fd, piece.data() + at, static_cast<size_t>(got - at));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "write", to);
      at += written;
    }
  }
}

/// A folder that holds everything else is taken off.
Status TakeOffTopFolder(const std::string& directory, std::vector<std::string>& files) {
  if (files.empty()) return OkStatus();
  size_t slash = files[0].find('/');
  if (slash == std::string::npos) return OkStatus();
  std::string top = files[0].substr(0, slash + 1);
  for (const std::string& file : files) {
    if (!file.starts_with(top)) return OkStatus();
  }
  // By way of a name that no entry has, for the folder may hold one of its own name.
  std::string aside = directory + "/.leadsman-top";
  std::error_code error;
  fs::rename(JoinPath(directory, top.substr(0, slash)), aside, error);
  if (error) return ErrnoStatus(error.value(), "rename", aside);
  for (fs::directory_iterator at(aside, error), end; !error && at != end; at.increment(error)) {
    std::string to = JoinPath(directory, at->path().filename().string());
    // An empty folder beside the top one may stand in the way.
    std::error_code ignored;
    fs::remove(to, ignored);
    if (rename(at->path().c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "rename to", to);
  }
  if (error) return ErrnoStatus(error.value(), "list", aside);
  fs::remove(aside, error);
  for (std::string& file : files) file = file.substr(top.size());
  return OkStatus();
}

}  // namespace

bool IsArchiveName(std::string_view name) {
  for (std::string_view ending : kEndings) {
    if (name.ends_with(ending) && name.size() > ending.size()) return true;
  }
  return false;
}

Result<std::vector<std::string>> UnpackArchive(const std::string& archive,
                                               const std::string& directory,
                                               const ArchiveLimits& limits, const StoreCall& call) {
  Reader reader(archive_read_new());
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_zip(reader.get());
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  if (archive_read_open_filename(reader.get(), archive.c_str(), 1 << 18) != ARCHIVE_OK) {
    return DataLossError(
        StrCat("it is no .tar, .tar.gz, .tar.zst or .zip archive: ", Trouble(reader.get())));
  }
  std::vector<std::string> files;
  std::set<std::string> seen;
  int64_t left = limits.max_bytes;
  size_t entries = 0;
  struct archive_entry* entry = nullptr;
  while (true) {
    int code = archive_read_next_header(reader.get(), &entry);
    if (code == ARCHIVE_EOF) break;
    if (code < ARCHIVE_WARN)
      return DataLossError(StrCat("the archive is damaged: ", Trouble(reader.get())));
    if (++entries > 2 * limits.max_files) {
      return InvalidArgumentError(StrCat("the archive has more than ", limits.max_files, " files"));
    }
    ASSIGN_OR_RETURN(std::string path, PathOf(entry));
    RETURN_IF_ERROR(CheckKind(entry, path));
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    if (path.empty()) return Refuse("", "has no name");
    if (!seen.insert(path).second) return Refuse(path, "comes twice");
    if (files.size() >= limits.max_files) {
      return InvalidArgumentError(StrCat("the archive has more than ", limits.max_files, " files"));
    }
    Status written = WriteEntry(reader.get(), JoinPath(directory, path), left, call);
    if (!written.ok()) return Annotate(std::move(written), StrCat("unpacking ", path));
    files.push_back(std::move(path));
  }
  if (files.empty()) return InvalidArgumentError("the archive holds no file");
  RETURN_IF_ERROR(TakeOffTopFolder(directory, files));
  return files;
}

}  // namespace leadsman
