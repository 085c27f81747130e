#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/status.h"

namespace leadsman {

/// One version's folder as the last look found it.
struct VersionFolder {
  int64_t version = 0;
  std::string directory;
  bool complete = false;  ///< it has a manifest, which is written last
  FileStamp manifest;     ///< of the manifest, when complete
  std::string waiting;    ///< why it is not complete: "waiting for manifest.json (…)"
};

/// The versions in a model's folder on a file system: sub-folders named by a decimal number from 1
/// on ("7", "0007"). Anything else there is ignored, and said once in the log.
///
/// Confined to one thread at a time. Every call looks anew; it blocks for as long as the file
/// system does.
class FileSource {
 public:
  explicit FileSource(std::string path) : path_(std::move(path)) {}

  /// Ascending by version. An error (no such folder, not readable) means that nothing is known, not
  /// that the versions are gone: it says so with the path, and the next call may succeed.
  Result<std::vector<VersionFolder>> List();
  const std::string& path() const { return path_; }

 private:
  void Ignore(const std::string& name, std::string_view why);

  std::string path_;
  std::set<std::string> ignored_;  ///< names that the log has had
};

/// Changes when any file below `directory` is written, added or taken away. Looks at up to 10,000
/// files; 0 when the folder cannot be read.
uint64_t StampOfFolder(const std::string& directory);

}  // namespace leadsman
