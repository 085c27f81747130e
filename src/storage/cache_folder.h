#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"
#include "storage/store_http.h"

// How the parts of the cache (blob_cache.h, cache_budget.h) treat its folder.
namespace leadsman {

Result<UniqueFd> OpenFile(const std::string& path, int flags);
/// False when somebody else holds it.
bool TryLock(const UniqueFd& fd);
/// Waits for it as long as `call` allows. DEADLINE_EXCEEDED says `trouble`.
Status AwaitLock(const UniqueFd& fd, std::string_view trouble, const StoreCall& call);
/// The lock of the whole cache: held for moments (renames, counting), never over a transfer.
Result<UniqueFd> LockCache(const std::string& directory, const StoreCall& call);

Status MakeFolders(const std::string& path);
void RemoveAll(const std::string& path);
/// One that no other process makes.
std::string NewName();
int64_t ModifiedNs(const struct stat& info);

/// Every plain file below `folder` with its stat.
template <typename F>
void EachFile(const std::string& folder, F&& visit) {
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat info;
    std::string path = at->path().string();
    if (lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) visit(path, info);
  }
}

}  // namespace leadsman
