#pragma once

#include <atomic>
#include <cstdint>

namespace leadsman::intake {

/// What became of one source's lines. Written by its thread, read by any.
struct SourceCounters {
  using Counter = std::atomic<uint64_t>;

  Counter lines{0};
  Counter predictions{0};     ///< requests that were given to the monitor
  Counter other_requests{0};  ///< for other paths than predictions, as health checks
  Counter unknown_model{0};   ///< answered "not found", of a model or version that was never found
  Counter errors{0};          ///< error events: a stack trace is one
  Counter other_lines{0};     ///< the program about itself
  Counter malformed{0};       ///< begun like a request's line, and none
  Counter unknown_segments{0};  ///< predictions that name a segmentation which their model has not
  Counter unreadable{0};        ///< fields that cannot be right, left absent
  Counter unrecognised{0};      ///< lines that no format explained
  Counter cut{0};               ///< lines that lost their end, in their file or in their envelope
  std::atomic<int64_t> last_line_ms{0};  ///< Unix time; 0: none yet
  Counter files{0};                      ///< whose format is known, now
  Counter unrecognised_files{0};         ///< whose format is not, now
};

}  // namespace leadsman::intake
