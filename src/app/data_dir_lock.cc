#include "app/data_dir_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/fs.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr const char* kAdvice = "data_dir (another: --data-dir; empty: nothing is kept)";

}  // namespace

DataDirLock::~DataDirLock() {
  if (fd_ >= 0) close(fd_);
}

Status DataDirLock::Take(const std::string& data_dir) {
  const std::string path = JoinPath(data_dir, "lock");
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) return Annotate(ErrnoStatus(errno, "open", path), kAdvice);
  while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return Annotate(ErrnoStatus(errno, "lock", path), kAdvice);
    return FailedPreconditionError(StrCat("data_dir ", data_dir, " is in use by another leadsman",
                                          Owner(), "; give another by --data-dir"));
  }
  // Only for the message above: a full disk, which cannot take it, is no reason not to serve.
  const std::string pid = StrCat(getpid(), "\n");
  if (ftruncate(fd_, 0) != 0 || pwrite(fd_, pid.data(), pid.size(), 0) < 0) {
    LOG_DEBUG("the process id could not be written to the lock", {"path", path});
  }
  return OkStatus();
}

/// " (pid 12)", or nothing when the file does not say.
std::string DataDirLock::Owner() const {
  char text[32];
  ssize_t length = pread(fd_, text, sizeof text, 0);
  if (length <= 0) return "";
  auto pid = ParseInt64(Trim(std::string_view(text, static_cast<size_t>(length))));
  return pid ? StrCat(" (pid ", *pid, ")") : "";
}

}  // namespace leadsman
