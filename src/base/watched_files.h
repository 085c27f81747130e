#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"

namespace leadsman {

/// Says when files that belong together are to be read again, and when to complain about them. Files are written one after
/// the other and not always at once: what is no good at first sight may be a moment later, so only what two checks in a
/// row have found is told, and that once.
///
///   if (!files_.NeedReading()) return;            // every few seconds: a stat of each
///   auto read = ReadThemAll();
///   if (read.ok()) { files_.Good(); Use(*read); }
///   else if (files_.Bad()) { count and LOG_WARN }  // what was in force stays
///
/// Externally synchronised. Make it before the files are read for the first time: what is written meanwhile is seen then.
class WatchedFiles {
 public:
  /// Empty paths are left out.
  WatchedFiles(std::vector<std::string> paths, Clock& clock);

  bool NeedReading();
  void Good() { problem_ = Problem::kNone; }
  /// True when it is time to tell.
  bool Bad();

 private:
  /// Of each file; empty where there is none.
  using Stamps = std::vector<std::optional<FileStamp>>;
  enum class Problem { kNone, kSeen, kTold };

  Stamps Look() const;
  bool AnyYoung(const Stamps& stamps) const;

  std::vector<std::string> paths_;
  Clock& clock_;
  Stamps seen_;
  /// A file that is written twice within one tick of its clock has the same stamp: looked at once more.
  bool young_ = true;
  Problem problem_ = Problem::kNone;
};

}  // namespace leadsman
