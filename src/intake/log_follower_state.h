#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/fs.h"
#include "intake/log_follower.h"

// What LogFollower keeps; seen by its own two sources only.
namespace leadsman {

/// One log's content: being read when it has a reader, else only known, so that it is recognised under
/// another name.
///
/// followed → leaving (rotated away, or deleted) → finished;  replaced: its bytes are in no known file
/// (copytruncate) until a search finds them; any → followed when its path leads to it again.
struct LogFollower::Content {
  Content(uint64_t number, size_t max_line) : id(number), cutter(max_line) {}

  const uint64_t id;
  FilePosition at;  ///< as far as lines were given
  uint64_t accepted_position = 0;
  BytesPrint accepted_tail;
  size_t outstanding = 0;  ///< batches

  std::unique_ptr<ContentReader> reader;
  LineCutter cutter;
  std::string recent;     ///< the last kTailBytes before what is read next
  uint64_t size = 0;      ///< of its file, when last seen
  uint64_t after = 0;     ///< another content, to be read to its end first
  uint64_t look = 0;      ///< the last in which a pattern led to it
  bool caught_up = true;  ///< was read to its end since it was opened
  bool queued = false;
  bool ending = false;                ///< finished once nothing is left to read
  bool away = false;                  ///< its path does not lead to it, and to nothing else either
  std::optional<SteadyTime> leaving;  ///< rotated away: since when it is silent

  bool archive() const { return reader && reader->archive(); }
  bool Is(const FileStamp& stamp) const {
    return at.inode == stamp.inode && at.device == stamp.device && stamp.inode != 0;
  }
};

/// A path that a pattern gives.
struct LogFollower::Place {
  std::optional<FileStamp> stamp;      ///< when it was dealt with last
  uint64_t content = 0;                ///< 0: a copy of what is read elsewhere
  bool seen = false;                   ///< in this look
  std::optional<FileStamp> undecided;  ///< it may be a copy in the making
  SteadyTime undecided_since{};
};

/// Looks beside a log for what rotation has made of it, for as long as a rotation may take.
struct LogFollower::Search {
  SteadyTime until{};
  /// Rotated files that nobody knows and that were written since then were never read: two rotations
  /// between two looks, or while no process ran.
  int64_t since_ns = 0;
  std::map<std::string, FileStamp> checked;
  std::map<std::string, FileStamp> undecided;  ///< copies in the making, perhaps
  std::set<uint64_t>
      copied;  ///< contents of which there are shorter copies: nothing of them is lost
};

/// As Search::since_ns: what nobody knows is left alone.
inline constexpr int64_t kOnlyKnown = std::numeric_limits<int64_t>::max();

struct LogFollower::Outstanding {
  uint64_t ticket = 0;
  uint64_t content = 0;
  uint64_t position = 0;
  BytesPrint tail;
  uint64_t bytes = 0;
};

}  // namespace leadsman
