#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fs.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace leadsman {

/// A log file's content, open: plain as it lies there, or what comes out of a gzip archive. Stays
/// readable when the file is renamed or deleted. Confined to one thread; reading blocks for the disk,
/// opening never waits for anybody (a FIFO is refused).
class ContentReader {
 public:
  /// An archive is known by ".gz" or by its first bytes. FAILED_PRECONDITION when `path` is no plain
  /// file, else as ErrnoStatus says.
  static Result<std::unique_ptr<ContentReader>> Open(const std::string& path);
  virtual ~ContentReader() = default;

  /// Reads `size` bytes unless the content ends before; 0 at its end.
  virtual Result<size_t> ReadAt(uint64_t offset, char* into, size_t size) = 0;
  virtual bool archive() const { return false; }
  /// False while what has been read to its end may be an archive that is still being written.
  virtual bool whole() const { return true; }
  /// The first offset from `offset` on that is not in a hole; the file's size when there is none.
  virtual uint64_t DataFrom(uint64_t offset) const { return offset; }

  /// As the file is now.
  Result<FileStamp> Stamp() const;
  /// False when no name leads to the file any more.
  bool Linked() const;
  const std::string& path() const { return path_; }

 protected:
  ContentReader(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Result<size_t> ReadFileAt(uint64_t offset, char* into, size_t size) const;
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::string path_;
};

}  // namespace leadsman
