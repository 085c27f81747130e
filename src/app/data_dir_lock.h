#pragma once

#include <string>

#include "base/status.h"

namespace leadsman {

/// Says that this process is the one that uses a data_dir, for as long as it lives: the kernel lets
/// go when the process ends, however it ends, so a lock is never left over. Externally synchronised.
class DataDirLock {
 public:
  DataDirLock() = default;
  ~DataDirLock();
  DataDirLock(const DataDirLock&) = delete;
  DataDirLock& operator=(const DataDirLock&) = delete;

  /// FAILED_PRECONDITION when another process has it. Does not wait.
  Status Take(const std::string& data_dir);

 private:
  std::string Owner() const;

  int fd_ = -1;
};

}  // namespace leadsman
