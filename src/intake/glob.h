#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace leadsman {

struct GlobResult {
  std::vector<std::string> paths;  ///< sorted; a pattern without wildcards is given as it is
  std::vector<Status> problems;    ///< folders that may not be listed
  bool truncated = false;          ///< there were more than `max_paths`
};

/// Paths that fit a pattern of the shell: `*`, `?`, `[a-z]` within a name, and `**` for any number of
/// folders (links to folders are not followed there, so that there are no circles). Names that begin
/// with a dot must be asked for with one. A folder that is not there gives nothing. Looks at the disk
/// only where a wildcard stands.
GlobResult ExpandGlob(const std::string& pattern, size_t max_paths);

/// Whether `name` is what log rotation makes of `log` in the same folder: a number or a date after it
/// or before its ending, compressed or not. Both without folder.
///   access.log → access.log.1, access.log-20260301.gz, access-20260301.log, access.2.log.gz
bool IsRotatedName(std::string_view name, std::string_view log);

}  // namespace leadsman
