#include "storage/cache_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "base/strings.h"
#include "storage/digest.h"

namespace leadsman {

using namespace std::chrono_literals;  // NOLINT: literals

Result<UniqueFd> OpenFile(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  return fd;
}

bool TryLock(const UniqueFd& fd) { return flock(fd.get(), LOCK_EX | LOCK_NB) == 0; }

Status AwaitLock(const UniqueFd& fd, std::string_view trouble, const StoreCall& call) {
  Mutex mutex;
  CondVar never;
  while (!TryLock(fd)) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return ErrnoStatus(errno, "lock", "a file of the cache");
    if (call.cancelled()) return CancelledError("called off");
    if (SystemClock().SteadyNow() >= call.deadline)
      return DeadlineExceededError(std::string(trouble));
    MutexLock lock(mutex);
    never.WaitFor(mutex, 20ms);
  }
  return OkStatus();
}

Result<UniqueFd> LockCache(const std::string& directory, const StoreCall& call) {
  std::string path = JoinPath(directory, "lock");
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path, O_RDWR | O_CREAT));
  RETURN_IF_ERROR(AwaitLock(
      fd, StrCat("somebody else holds the cache's lock, ", path, ", and does not let go"), call));
  return fd;
}

Status MakeFolders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? ErrnoStatus(error.value(), "make the folder", path) : OkStatus();
}

void RemoveAll(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string NewName() {
  return StrCat(getpid(), "-", ToHex(std::to_string(RandomSeed())).substr(0, 24));
}

int64_t ModifiedNs(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

}  // namespace leadsman
