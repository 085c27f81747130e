#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "storage/given_files.h"

namespace leadsman {

/// Makes the folders of models that clients send, bounds what all of them hold together, and deletes those that are done with on
/// a thread of its own: whoever lets go last may hold a lock. Thread-safe.
class GivenFolders {
 public:
  /// They lie in `root`; `max_bytes` of files at most. Without `own_thread` they are deleted by DeleteHere().
  GivenFolders(std::string root, int64_t max_bytes, bool own_thread);
  /// Deletes what waits for it. Folders that are still held go with those who hold them.
  ~GivenFolders();

  /// As GivenFiles::Create. RESOURCE_EXHAUSTED names the setting: the bytes come back once the folder is deleted.
  Result<std::shared_ptr<GivenFiles>> Create(std::map<std::string, std::string> files);
  /// For tests.
  void DeleteHere();

 private:
  struct Shared;
  struct Held;
  const std::string root_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace leadsman
