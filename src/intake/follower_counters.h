#pragma once

#include <atomic>
#include <cstdint>

namespace leadsman {

/// What a LogFollower has done. Written by its thread, read by any.
struct FollowerCounters {
  using Counter = std::atomic<uint64_t>;

  Counter files{0};       ///< open now
  Counter lag_bytes{0};   ///< written and not accepted yet, of plain files, at the last look
  Counter left_out{0};    ///< files that the patterns name beyond FollowerOptions::max_files, now
  Counter lines{0};       ///< given
  Counter bytes{0};       ///< of them, newlines included
  Counter cut_lines{0};   ///< were longer than max_line_bytes
  Counter cut_bytes{0};   ///< left out of them
  Counter unfinished{0};  ///< lines given without their newline, when their file had ended
  Counter nul_bytes{0};   ///< skipped in front of lines, without holes
  Counter renamed{0};     ///< rotations by renaming, or a link that leads elsewhere
  Counter truncated{0};   ///< rotations by copytruncate, or a file that was emptied or written anew
  Counter deleted{0};
  Counter archives{0};   ///< rotated files that were read because nobody had read them whole before
  Counter lost{0};       ///< contents that were gone before they were read to their end
  Counter forgotten{0};  ///< positions dropped because there were more than max_positions
  Counter errors{0};     ///< looks and reads that failed
};

}  // namespace leadsman
