#include "intake/glob.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr int kMaxDepth = 32;

struct Entry {
  std::string name;
  bool folder = false;  ///< itself, not through a link
  bool link = false;
};

class Expansion {
 public:
  Expansion(GlobResult& result, size_t max_paths) : result_(result), max_paths_(max_paths) {}

  void Run(const std::string& folder, const std::vector<std::string>& parts, size_t at) {
    if (result_.truncated) return;
    // Names without wildcards need no look at their folder.
    std::string path = folder;
    while (at < parts.size() && parts[at].find_first_of("*?[") == std::string::npos) {
      path = path.empty() ? parts[at] : JoinPath(path, parts[at]);
      ++at;
    }
    if (at == parts.size()) return Found(path);
    if (parts[at] == "**") return AnyDepth(path, parts, at, 0);
    const bool last = at + 1 == parts.size();
    for (const Entry& entry : List(path)) {
      if (fnmatch(parts[at].c_str(), entry.name.c_str(), FNM_PERIOD) != 0) continue;
      const std::string found = path.empty() ? entry.name : JoinPath(path, entry.name);
      if (last) {
        if (!entry.folder) Found(found);
      } else if (entry.folder || (entry.link && IsDirectory(found))) {
        Run(found, parts, at + 1);
      }
    }
  }

 private:
  void AnyDepth(const std::string& folder, const std::vector<std::string>& parts, size_t at,
                int depth) {
    if (at + 1 == parts.size()) return;  // "**" at the end names no file
    Run(folder, parts, at + 1);
    if (depth == kMaxDepth) return;
    for (const Entry& entry : List(folder)) {
      if (!entry.folder || entry.name.front() == '.') continue;
      AnyDepth(folder.empty() ? entry.name : JoinPath(folder, entry.name), parts, at, depth + 1);
    }
  }

  std::vector<Entry> List(const std::string& folder) {
    struct Closer {
      void operator()(DIR* d) const { closedir(d); }
    };
    const std::string path = folder.empty() ? "." : folder;
    std::unique_ptr<DIR, Closer> directory(opendir(path.c_str()));
    std::vector<Entry> entries;
    if (!directory) {
      if (errno != ENOENT && errno != ENOTDIR && result_.problems.size() < 100) {
        result_.problems.push_back(ErrnoStatus(errno, "list", path));
      }
      return entries;
    }
    while (const dirent* entry = readdir(directory.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      Entry found{std::string(name), entry->d_type == DT_DIR, entry->d_type == DT_LNK};
      if (entry->d_type == DT_UNKNOWN) {
        struct stat info;
        if (lstat(JoinPath(path, name).c_str(), &info) != 0) continue;
        found.folder = S_ISDIR(info.st_mode);
        found.link = S_ISLNK(info.st_mode);
      }
      entries.push_back(std::move(found));
    }
    return entries;
  }

  void Found(const std::string& path) {
    if (!seen_.insert(path).second) return;
    if (seen_.size() > max_paths_) {
      result_.truncated = true;
      return;
    }
    result_.paths.push_back(path);
  }

  GlobResult& result_;
  const size_t max_paths_;
  std::set<std::string> seen_;  ///< "**" twice finds a path on several ways
};

}  // namespace

GlobResult ExpandGlob(const std::string& pattern, size_t max_paths) {
  GlobResult result;
  std::vector<std::string> parts;
  for (std::string_view part : Split(pattern, '/')) {
    if (!part.empty()) parts.emplace_back(part);
  }
  if (parts.empty()) return result;
  Expansion(result, max_paths).Run(pattern.starts_with('/') ? "/" : "", parts, 0);
  std::sort(result.paths.begin(), result.paths.end());
  return result;
}

namespace {
/// A number, a date, a time: what stands between the parts of a log's name once it is rotated.
bool IsRotationMark(std::string_view mark) {
  if (mark.size() < 2 || (mark[0] != '.' && mark[0] != '-' && mark[0] != '_')) return false;
  mark.remove_prefix(1);
  if (mark == "old") return true;
  return mark.find_first_of("0123456789") != std::string_view::npos &&
         mark.find_first_not_of("0123456789.-_:+TZ") == std::string_view::npos;
}
}  // namespace

bool IsRotatedName(std::string_view name, std::string_view log) {
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name == log) return true;  // access.log.gz
  if (name.starts_with(log)) return IsRotationMark(name.substr(log.size()));
  const size_t dot = log.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view stem = log.substr(0, dot), ending = log.substr(dot);
  if (name.size() < log.size() || !name.starts_with(stem) || !name.ends_with(ending)) return false;
  return IsRotationMark(name.substr(dot, name.size() - log.size()));
}

}  // namespace leadsman
