#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace leadsman {

/// Sees that something has changed, as a file's content, by looking at it: also through the symbolic links that Kubernetes swaps
/// under a mounted ConfigMap, and on network file systems, where nobody tells. Confined.
class ConfigWatcher {
 public:
  /// What is in `path` now is what is in force.
  explicit ConfigWatcher(std::string path);
  /// Of anything else: `look` makes a number of what is there; nothing when that is not known.
  explicit ConfigWatcher(std::function<std::optional<uint64_t>()> look);

  /// True once for each new content that two looks in a row have found: a file that is being written is left alone. A file
  /// that cannot be read has not changed.
  bool Poll();

  /// What Poll() found could not be put in force, for a reason that may pass: it is found again, after 1, 2, 4 … further looks.
  void TryAgain();

 private:
  const std::function<std::optional<uint64_t>()> look_;
  std::optional<uint64_t> in_force_;
  std::optional<uint64_t> seen_;
  std::optional<uint64_t> tried_;  ///< that TryAgain() was called for
  int tries_ = 0;                  ///< of it, in a row
  int looks_to_skip_ = 0;
};

}  // namespace leadsman
