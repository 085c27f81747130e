#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "stats/registry.h"

namespace leadsman {

/// Reads the configuration again and puts it in force, whoever asks: a signal, the file watcher, the admin API, a client. One
/// at a time; a configuration that is wrong changes nothing. What came of it is counted and kept for the status.
///
/// Thread-safe. Blocks for the file.
class Reloader {
 public:
  struct State {
    uint64_t succeeded = 0;
    uint64_t failed = 0;
    bool last_ok = true;       ///< of the start, at first
    WallTime last_success{};   ///< at first of the start
    std::string last_trigger;  ///< "signal", "file", "api", "client"; empty before the first
    std::string error;         ///< why the last one failed; empty: it did not
    std::vector<std::string> needs_restart;  ///< changed, but not in force
  };
  using Load = std::function<Result<Config>()>;
  /// Puts it in force; what needs a restart goes into the list.
  using Apply = std::function<Status(Config, std::vector<std::string>& needs_restart)>;

  Reloader(Clock& clock, Registry& registry, Load load, Apply apply);

  Status Reload(const std::string& trigger);
  /// The same with what a client sent ("client"); the next Reload goes back to that of `load`. A failure is the client's:
  /// counted, and not kept.
  Status Take(const Load& sent);
  /// Puts models that were found in force, which no configuration named: neither counted nor kept. `found` has what is in force
  /// then, or nothing when that is as it was; nothing else is put in force meanwhile.
  Status Adapt(const std::function<Result<std::optional<Config>>()>& found);
  State state() const;

 private:
  void Keep(const std::string& trigger, const Status& status,
            const std::vector<std::string>& needs_restart);
  Status PutInForce(const std::string& trigger, const Load& load,
                    std::vector<std::string>& needs_restart) REQUIRES(one_at_a_time_);

  Clock& clock_;
  const Load load_;
  const Apply apply_;
  Mutex one_at_a_time_;
  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_);
  std::vector<Registry::Registration>
      registrations_;  ///< last: no reader runs once members above go
};

}  // namespace leadsman
