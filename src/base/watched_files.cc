#include "base/watched_files.h"

#include <algorithm>
#include <utility>

namespace leadsman {

WatchedFiles::WatchedFiles(std::vector<std::string> paths, Clock& clock)
    : paths_(std::move(paths)), clock_(clock) {
  std::erase(paths_, "");
  seen_ = Look();
}

bool WatchedFiles::NeedReading() {
  Stamps stamps = Look();
  const bool changed = stamps != seen_;
  if (changed) problem_ = Problem::kNone;
  const bool need = changed || young_ || problem_ == Problem::kSeen;
  young_ = AnyYoung(stamps);
  seen_ = std::move(stamps);
  return need;
}

bool WatchedFiles::Bad() {
  const bool tell = problem_ == Problem::kSeen;
  problem_ = problem_ == Problem::kNone ? Problem::kSeen : Problem::kTold;
  return tell;
}

WatchedFiles::Stamps WatchedFiles::Look() const {
  Stamps stamps;
  for (const std::string& path : paths_) {
    auto stamp = StampOf(path);
    stamps.push_back(stamp.ok() ? std::optional(*stamp) : std::nullopt);
  }
  return stamps;
}

bool WatchedFiles::AnyYoung(const Stamps& stamps) const {
  return std::any_of(stamps.begin(), stamps.end(), [&](const std::optional<FileStamp>& stamp) {
    return stamp && clock_.Now() - WallTime(std::chrono::nanoseconds(stamp->modified_ns)) <
                        std::chrono::seconds(2);
  });
}

}  // namespace leadsman
