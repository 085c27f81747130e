#pragma once

#include <atomic>
#include <cstdint>

#include "intake/exchange_bodies.h"
#include "intake/source_counters.h"

namespace leadsman::intake {

/// What became of what Envoy has told. Written by its thread, read by any.
struct EnvoyCounters {
  using Counter = std::atomic<uint64_t>;
  /// Of one way: what became of its requests. Of SourceCounters only those of requests are used.
  struct Way {
    std::atomic<int64_t> streams{0};  ///< open now
    Counter messages{0};
    Counter malformed{0};  ///< messages
    SourceCounters requests;
  };
  Way access_log, ext_proc;

  Counter http_entries{0};  ///< of the access log
  Counter tcp_entries{0};
  Counter early_entries{0};  ///< of requests under way

  Counter complete{0};     ///< exchanges of ext_proc
  Counter client_gone{0};  ///< ended before the answer
  Counter cut{0};          ///< Envoy or we went away in between
  Counter timed_out{0};
  Counter left_out{0};  ///< beyond max_exchanges

  BodyCounters request_bodies, response_bodies;  ///< of predictions
  std::atomic<uint64_t> held_bytes{0};
  Counter seen_twice{0};  ///< requests of which both ways have told
};

}  // namespace leadsman::intake
