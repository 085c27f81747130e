#include "intake/content_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/strings.h"
#include "intake/gzip_reader.h"

namespace leadsman {
namespace {

class PlainReader final : public ContentReader {
 public:
  PlainReader(UniqueFd fd, std::string path) : ContentReader(std::move(fd), std::move(path)) {}

  Result<size_t> ReadAt(uint64_t offset, char* into, size_t size) override {
    return ReadFileAt(offset, into, size);
  }
  uint64_t DataFrom(uint64_t offset) const override {
    const off_t data = lseek(fd(), static_cast<off_t>(offset), SEEK_DATA);
    if (data >= 0) return static_cast<uint64_t>(data);
    if (errno != ENXIO) return offset;  // a file system that knows no holes
    const off_t end = lseek(fd(), 0, SEEK_END);
    return end > 0 && static_cast<uint64_t>(end) > offset ? static_cast<uint64_t>(end) : offset;
  }
};

bool LooksLikeGzip(int fd, const std::string& path) {
  if (path.ends_with(".gz")) return true;
  unsigned char magic[3];
  return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && magic[0] == 0x1f &&
         magic[1] == 0x8b && magic[2] == 8;
}

}  // namespace

Result<std::unique_ptr<ContentReader>> ContentReader::Open(const std::string& path) {
  // O_NONBLOCK: a FIFO put where the file was would be waited for, for ever.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "look at", path);
  if (!S_ISREG(info.st_mode)) return FailedPreconditionError(StrCat(path, " is not a plain file"));
  if (LooksLikeGzip(fd.get(), path)) return GzipReader::Make(std::move(fd), path);
  return std::unique_ptr<ContentReader>(new PlainReader(std::move(fd), path));
}

Result<size_t> ContentReader::ReadFileAt(uint64_t offset, char* into, size_t size) const {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = pread(fd(), into + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "read", path_);
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Result<FileStamp> ContentReader::Stamp() const {
  struct stat info;
  if (fstat(fd(), &info) != 0) return ErrnoStatus(errno, "look at", path_);
  return FileStamp{info.st_dev, info.st_ino, info.st_size,
                   info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

bool ContentReader::Linked() const {
  struct stat info;
  return fstat(fd(), &info) == 0 && info.st_nlink > 0;
}

}  // namespace leadsman
