#include "storage/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"
#include "base/unique_fd.h"
#include "storage/remote_store.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHarmless = int64_t{64} << 20;  // however small the archive is
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

/// The names so far, as a file system sees them that takes capitals and small letters for the same.
class Names {
 public:
  Status AddFile(const std::string& path) {
    auto [at, added] = names_.try_emplace(Folded(path), Name{path, /*folder=*/false});
    if (!added) return Clash(path, at->second);
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      std::string folder = path.substr(0, slash);
      auto [above, new_folder] = names_.try_emplace(Folded(folder), Name{folder, /*folder=*/true});
      if (new_folder || (above->second.folder && above->second.path == folder)) continue;
      return Clash(path, above->second);
    }
    return OkStatus();
  }

 private:
  struct Name {
    std::string path;
    bool folder;
  };
  static std::string Folded(std::string text) {
    for (char& c : text) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return text;
  }
  static Status Clash(const std::string& path, const Name& other) {
    if (path == other.path && !other.folder) return Refuse(path, "comes twice");
    if (path == other.path || path.starts_with(other.path + "/"))
      return Refuse(path, StrCat("needs ", other.path, " to be both a file and a folder"));
    return Refuse(path, StrCat("differs only by case from ", other.path, "; rename one of them"));
  }
  std::map<std::string, Name> names_;
};

/// Writes files, as long as all of them together keep to the limits.
class Writer {
 public:
  Writer(struct archive* reader, int64_t packed, const ArchiveLimits& limits, const StoreCall& call)
      : reader_(reader), packed_(packed), limits_(limits), call_(call) {}

  Status Write(const std::string& to) {
    std::error_code error;
    fs::create_directories(fs::path(to).parent_path(), error);
    if (error) return ErrnoStatus(error.value(), "make the folder of", to);
    UniqueFd fd(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd.valid()) return ErrnoStatus(errno, "create", to);
    while (true) {
      if (call_.cancelled()) return CancelledError("unpacking was called off");
      if (SystemClock().SteadyNow() >= call_.deadline)
        return DeadlineExceededError("it did not finish within the time given to it");
      la_ssize_t got = archive_read_data(reader_, piece_.data(), piece_.size());
      if (got < 0) return DataLossError(StrCat("the archive is damaged: ", Trouble(reader_)));
      if (got == 0) return OkStatus();
      RETURN_IF_ERROR(Allow(got));
      RETURN_IF_ERROR(
          WriteAll(fd.get(), std::string_view(piece_.data(), static_cast<size_t>(got)), to));
    }
  }

 private:
  Status Allow(int64_t more) {
    if (written_ + more > limits_.max_bytes)
      return InvalidArgumentError("the archive holds more than storage.max_version_size");
    if (written_ + more > std::max(kHarmless, packed_ * limits_.max_ratio)) {
      return InvalidArgumentError(
          StrCat("the archive unpacks to more than ", limits_.max_ratio, " times its ", packed_,
                 " bytes; if that is meant, pack it with less compression"));
    }
    if (limits_.make_room) RETURN_IF_ERROR(limits_.make_room(more));
    written_ += more;
    return OkStatus();
  }
  static Status WriteAll(int fd, std::string_view bytes, const std::string& to) {
    while (!bytes.empty()) {
      ssize_t written = write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "write", to);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return OkStatus();
  }

  struct archive* const reader_;
  const int64_t packed_;
  const ArchiveLimits& limits_;
  const StoreCall& call_;
  std::vector<char> piece_ = std::vector<char>(1 << 18);
  int64_t written_ = 0;
};

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
  ASSIGN_OR_RETURN(FileStamp stamp, StampOf(archive));
  Writer writer(reader.get(), stamp.size, limits, call);
  std::vector<std::string> files;
  Names names;
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
    RETURN_IF_ERROR(names.AddFile(path));
    if (files.size() >= limits.max_files) {
      return InvalidArgumentError(StrCat("the archive has more than ", limits.max_files, " files"));
    }
    Status written = writer.Write(JoinPath(directory, path));
    if (!written.ok()) return Annotate(std::move(written), StrCat("unpacking ", path));
    files.push_back(std::move(path));
  }
  if (files.empty()) return InvalidArgumentError("the archive holds no file");
  RETURN_IF_ERROR(TakeOffTopFolder(directory, files));
  return files;
}

}  // namespace leadsman
