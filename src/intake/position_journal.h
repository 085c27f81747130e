#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "intake/content_mark.h"

namespace leadsman {

/// How far one log's content has been taken.
struct FilePosition {
  std::string path;       ///< as its glob gave it, before any rotation
  std::string real_path;  ///< links followed: rotated files lie beside it
  uint64_t device = 0;    ///< of the file that has it now; 0 when none is known
  uint64_t inode = 0;
  ContentMark mark;
  int64_t modified_ns = 0;  ///< of its file when it was read last
  int64_t seen_hour = 0;    ///< hours since 1970: when there was last a file with it
  bool current = false;     ///< it was what `path` led to
  bool finished = false;    ///< read to its end, and nobody writes to it any more
  friend bool operator==(const FilePosition&, const FilePosition&) = default;
};

/// A log was rotated, and what rotation has left beside it is not all known yet.
struct OpenSearch {
  std::string real_path;
  int64_t since_ns = 0;  ///< unknown rotated files that were written since then are to be read
  friend bool operator==(const OpenSearch&, const OpenSearch&) = default;
};

struct Positions {
  std::vector<std::string>
      globs;  ///< files of a pattern that is new at a start begin as at a first start
  std::vector<FilePosition> files;
  std::vector<OpenSearch> searches;
  friend bool operator==(const Positions&, const Positions&) = default;
};

/// Text, with a sum at its end: for a file, or for a row in the consumer's own database.
std::string SerializePositions(const Positions& positions);
/// DATA_LOSS for what is damaged or cut off, FAILED_PRECONDITION for what a newer program has written.
Result<Positions> ParsePositions(std::string_view text);

/// The file that remembers positions from one start to the next. One process at a time; confined to
/// one thread but for the counters.
///
///   ASSIGN_OR_RETURN(std::optional<Positions> positions, journal.Load());
///   …                                                        // LogFollower(…, positions)
///   journal.SaveIfDue([&] { return follower.Accepted(); });  // with every turn; once a second at most
///   (void)journal.Save(follower.Accepted());                 // at the end
class PositionJournal {
 public:
  PositionJournal(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}

  /// Nothing at the first start. A damaged journal is put aside as "<path>.broken-<ms>", said, and
  /// begun anew. FAILED_PRECONDITION when a newer program has written it, else why it cannot be read:
  /// to go on without it would be to read everything again.
  Result<std::optional<Positions>> Load();

  /// On the disk wholly or not at all. What has not changed is not written.
  Status Save(const Positions& positions);
  /// Saves what `positions` gives when the last time is a second ago; nothing: not now. A disk that is
  /// full or fails is said once, counted, and tried again a second later.
  void SaveIfDue(const std::function<std::optional<Positions>()>& positions);

  uint64_t saves() const { return saves_; }
  uint64_t failures() const { return failures_; }

 private:
  void RemoveLeftovers() const;

  const std::string path_;
  const Clock& clock_;
  std::string saved_;  ///< what the file holds
  std::optional<SteadyTime> last_try_;
  bool failing_ = false;
  std::atomic<uint64_t> saves_{0};
  std::atomic<uint64_t> failures_{0};
};

}  // namespace leadsman
