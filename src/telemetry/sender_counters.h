#pragma once

#include <cstdint>

namespace leadsman {

/// What became of the messages of one sender.
struct SenderCounters {
  uint64_t sent = 0;
  uint64_t failed = 0;   ///< tries that failed
  uint64_t dropped = 0;  ///< given up, or there was no room
  uint64_t waiting = 0;  ///< not delivered yet
};

}  // namespace leadsman
