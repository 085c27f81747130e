#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/store_http.h"

namespace leadsman {

struct ArchiveLimits {
  int64_t max_bytes = int64_t{64} << 30;  ///< unpacked
  size_t max_files = 10'000;
  /// Unpacked bytes to those of the archive, beyond the first 64 MiB. Weights reach 10, trees as text 30.
  int64_t max_ratio = 200;
  /// Makes room for so many more unpacked bytes. Asked before each piece is written; not OK ends the unpacking with that
  /// status. Empty: there is room.
  std::function<Status(int64_t bytes)> make_room;
};

/// Unpacks a .tar, .tar.gz, .tar.zst or .zip into the empty folder `directory` and returns the files'
/// paths. One folder around everything is taken off.
///
/// Only plain files and folders are unpacked. INVALID_ARGUMENT names the entry for links, devices,
/// pipes, sparse and encrypted files, paths that leave the folder, names that come twice or differ
/// only by case (some file systems take them for one), names of both a file and a folder, more files
/// than allowed; RESOURCE_EXHAUSTED for more bytes, or far more than the archive has; CANCELLED and
/// DEADLINE_EXCEEDED as `call` says; DATA_LOSS when the archive is damaged or cut. Then `directory` may
/// hold some of it.
Result<std::vector<std::string>> UnpackArchive(const std::string& archive,
                                               const std::string& directory,
                                               const ArchiveLimits& limits, const StoreCall& call);

/// True for names that UnpackArchive takes: by their ending.
bool IsArchiveName(std::string_view name);

}  // namespace leadsman
