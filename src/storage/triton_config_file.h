#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "storage/triton_config.h"

namespace leadsman {

/// A file beside the versions that is longer is not read: one of labels has a class a line.
inline constexpr size_t kMaxBesideBytes = size_t{16} << 20;

/// What stands in a model's folder of a config.pbtxt: null when there is none, an error when it cannot be honoured.
using TritonConfigFound = std::shared_ptr<const Result<TritonConfig>>;

/// What a source knows of the config.pbtxt beside a model's versions: read again when it, or a file that it names, has
/// changed. Look() by one thread at a time, the rest from any.
class TritonConfigFile {
 public:
  TritonConfigFile() = default;
  /// Not empty: what a client has given, as JSON, counts instead of the file.
  explicit TritonConfigFile(std::string given_json) : given_(std::move(given_json)) {}

  /// The model's folder, by paths relative to it. Both: NOT_FOUND when there is no such file.
  struct Folder {
    std::function<Result<uint64_t>(const std::string& path)> stamp;  ///< changes when the file does
    ReadBesideConfig read;
  };
  void Look(const Folder& folder);
  /// Whether the configuration that was looked at names this file, or one in a folder of this name. Like Look().
  bool Names(std::string_view name) const;

  /// Another pointer only when something has changed.
  TritonConfigFound found() const;
  /// Changes when the file, or what counts in its stead, does; 0 when there is none.
  uint64_t stamp() const;

 private:
  uint64_t StampNamed(const Folder& folder, uint64_t stamp) const;
  void Set(TritonConfigFound found, uint64_t stamp);

  const std::string given_;
  std::vector<std::string> named_;  ///< the files that the configuration names; Look()'s own
  mutable Mutex mutex_;
  TritonConfigFound found_ GUARDED_BY(mutex_);
  uint64_t stamp_ GUARDED_BY(mutex_) = 0;
};

}  // namespace leadsman
