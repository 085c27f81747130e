#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "storage/store_http.h"

namespace leadsman {

struct ArchiveLimits {
  int64_t max_bytes = int64_t{64} << 30;  ///< unpacked
  size_t max_files = 10'000;
};

/// Unpacks a .tar, .tar.gz, .tar.zst or .zip into the empty folder `directory` and returns the files'
/// paths. One folder around everything is taken off.
///
/// Only plain files and folders are unpacked. INVALID_ARGUMENT names the entry for links, devices,
/// pipes, sparse and encrypted files, paths that leave the folder, names that come twice, more files
/// than allowed; RESOURCE_EXHAUSTED for more bytes; DATA_LOSS when the archive is damaged or cut.
/// Then `directory` may hold some of it.
Result<std::vector<std::string>> UnpackArchive(const std::string& archive,
                                               const std::string& directory,
                                               const ArchiveLimits& limits, const StoreCall& call);

/// True for names that UnpackArchive takes: by their ending.
bool IsArchiveName(std::string_view name);

}  // namespace leadsman
