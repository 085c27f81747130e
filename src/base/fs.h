#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace leadsman {

/// Small, blocking file helpers. Errors say what was tried and on which path: NOT_FOUND,
/// PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full, too many files, or larger than allowed),
/// FAILED_PRECONDITION (not what it should be), else INTERNAL. Thread-safe: they keep no state.

/// A plain file's whole content. Pipes and devices are refused rather than waited for.
Result<std::string> ReadFile(const std::string& path, size_t max_bytes);

/// The content is on the disk under `path` wholly or not at all: written beside it, synced, renamed
/// over it.
Status WriteFileAtomically(const std::string& path, std::string_view content);

/// The names in a folder, sorted, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const std::string& path);

/// True for a folder and for a link to one.
bool IsDirectory(const std::string& path);

/// What changes when somebody writes to a file or puts another in its place.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;
  int64_t modified_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
/// Of the file that a link points to. NOT_FOUND when there is none, FAILED_PRECONDITION when it is
/// not a plain file.
Result<FileStamp> StampOf(const std::string& path);

/// Turns errno into a Status: ErrnoStatus(errno, "open", "/models/1/manifest.json").
Status ErrnoStatus(int error, std::string_view what, std::string_view path);

/// "a/b": joined by exactly one slash.
std::string JoinPath(std::string_view folder, std::string_view name);

}  // namespace leadsman
