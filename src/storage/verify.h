#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "storage/manifest.h"

namespace leadsman {

/// Checks name, version, and every file's presence, size and sha256. DATA_LOSS names the file and
/// both values; INVALID_ARGUMENT when the manifest speaks of another model or version than the
/// folder. A file that is a link to outside the folder is PERMISSION_DENIED. Reads every byte;
/// blocks; looks at `cancel` (may be null) from piece to piece and gives up with CANCELLED.
Status VerifyFiles(const Manifest& manifest, const std::string& directory,
                   const std::string& model_name, int64_t version,
                   const std::atomic<bool>* cancel = nullptr);

/// Hex sha256 of a file, read in pieces. NOT_FOUND when there is none, FAILED_PRECONDITION when it
/// is not a plain file.
Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::atomic<bool>* cancel = nullptr);

}  // namespace leadsman
