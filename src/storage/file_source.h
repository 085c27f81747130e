#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/status.h"

namespace leadsman {

/// One version's folder as the last look found it.
struct VersionFolder {
  int64_t version = 0;
  std::string directory;
  /// It has a manifest, which is written last; or, without one, a model that is recognised and whose files have rested.
  bool complete = false;
  /// Changes when the version does: of the manifest, or else made from all files. When complete.
  FileStamp manifest;
  std::string waiting;  ///< why it is not complete: "waiting for manifest.json (…)"
};

/// The versions in a model's folder on a file system: sub-folders named by a decimal number from 1
/// on ("7", "0007"). Anything else there is ignored, and said once in the log.
///
/// Confined to one thread at a time. Every call looks anew; it blocks for as long as the file
/// system does.
class FileSource {
 public:
  struct Options {
    /// Folders without a manifest are never complete.
    bool require_manifest = false;
    /// How long the files of a folder without a manifest must rest before it counts as complete.
    Duration settle_time = std::chrono::seconds(5);
    std::string format;  ///< as of DetectModel
    friend bool operator==(const Options&, const Options&) = default;
  };
  explicit FileSource(std::string path) : FileSource(std::move(path), Options()) {}
  FileSource(std::string path, Options options)
      : path_(std::move(path)), options_(std::move(options)) {}

  /// Ascending by version. An error (no such folder, not readable) means that nothing is known, not
  /// that the versions are gone: it says so with the path, and the next call may succeed.
  Result<std::vector<VersionFolder>> List(SteadyTime now);
  const std::string& path() const { return path_; }
  const Options& options() const { return options_; }

 private:
  struct Resting {
    uint64_t stamp = 0;
    SteadyTime since{};
  };
  void Ignore(const std::string& name, std::string_view why);
  VersionFolder LookAt(int64_t version, std::string directory, SteadyTime now);
  void LookWithoutManifest(VersionFolder& folder, SteadyTime now);

  std::string path_;
  Options options_;
  std::map<int64_t, Resting> resting_;  ///< folders without a manifest
  std::set<std::string> ignored_;       ///< names that the log has had
};

/// Changes when any file below `directory` is written, added or taken away. Looks at up to 10,000
/// files; 0 when the folder cannot be read.
uint64_t StampOfFolder(const std::string& directory);

}  // namespace leadsman
