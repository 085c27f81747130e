#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mutex.h"
#include "base/status.h"
#include "storage/manifest.h"
#include "storage/source.h"

namespace leadsman {

/// The versions in a model's folder on a file system: sub-folders named by a decimal number from 1
/// on ("7", "0007"). Anything else there is ignored, and said once in the log.
///
/// Every call looks anew, and blocks for as long as the file system does. What Fetch() returns is the
/// folder itself.
class FileSource final : public Source {
 public:
  explicit FileSource(std::string path) : FileSource(path, path, Options()) {}
  FileSource(std::string path, Options options) : FileSource(path, path, std::move(options)) {}
  /// `path` is what people wrote ("file:///models/digits"), `folder` what it means.
  FileSource(std::string path, std::string folder, Options options)
      : Source(std::move(path), std::move(options)),
        folder_(std::move(folder)),
        triton_(this->options().triton_json) {}

  /// An error (no such folder, not readable) says so with the path.
  Result<std::vector<VersionFolder>> List(SteadyTime now, const StoreCall& call) override;
  Result<LocalVersion> Fetch(int64_t version, FetchProgress& progress,
                             const StoreCall& call) override;
  uint64_t StampOfVersion(int64_t version) override;
  bool remote() const override { return false; }
  TritonConfigFound triton_config() const override { return triton_.found(); }

 private:
  struct Resting {
    uint64_t stamp = 0;
    SteadyTime since{};
  };
  void Ignore(const std::string& name, std::string_view why);
  void LookAtTritonConfig();
  VersionFolder LookAt(int64_t version, std::string directory, SteadyTime now);
  void LookWithoutManifest(VersionFolder& folder, SteadyTime now);
  Result<Manifest> Detect(const std::string& directory) const;

  std::string DirectoryOf(int64_t version);

  const std::string folder_;
  std::map<int64_t, Resting> resting_;  ///< folders without a manifest
  Status given_written_;                ///< options().given, at the last look
  bool vouched_for_ = false;            ///< in this look they need not rest
  std::set<std::string> ignored_;       ///< names that the log has had
  TritonConfigFile triton_;
  Mutex mutex_;
  std::map<int64_t, std::string> directories_ GUARDED_BY(mutex_);  ///< as last listed
};

/// Where a model's path leads to a file instead of a folder: what to give instead. Empty: there is nothing, or a folder, or
/// another store. Blocks for the file system.
std::string WhyNoModelFolder(const std::string& path);

/// Changes when any file below `directory` is written, added or taken away. Looks at up to 10,000
/// files; 0 when the folder cannot be read.
uint64_t StampOfFolder(const std::string& directory);

}  // namespace leadsman
