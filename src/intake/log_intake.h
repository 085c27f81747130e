#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/prediction_event.h"
#include "intake/log_source.h"
#include "intake/source_view.h"
#include "stats/registry.h"

namespace leadsman {
class Redactor;
}

namespace leadsman::intake {

/// Follows the log files of all sources on one thread of its own and gives the predictions that they tell of to a sink.
///
///   ASSIGN_OR_RETURN(auto intake, LogIntake::Create({clock, sink, registry, settle}, options));
///   intake->Start();
///   …
///   intake->Stop();
///
/// Where to go on after a restart is kept in `data_dir`, one file a source, and written once a second after `settle` has said
/// that what was given to the sink is safe: a crash counts the lines of the last second or two once more, and loses none.
///
/// Thread-safe but for Start and Stop, which belong to the owner.
class LogIntake {
 public:
  struct Deps {
    const Clock& clock;
    Sink& sink;
    Registry& registry;
    /// Makes safe what the sink was given; false: not yet. May block for seconds.
    std::function<bool()> settle;
    const Redactor* redactor = nullptr;  ///< of paths and lines that are told; null: as they are
  };
  struct Options {
    std::vector<LogSource> sources;
    std::string data_dir;  ///< empty: positions are not kept, each start is the first
  };
  /// FAILED_PRECONDITION or what the disk says when positions are there and cannot be read.
  static Result<std::unique_ptr<LogIntake>> Create(Deps deps, Options options);
  ~LogIntake();
  LogIntake(const LogIntake&) = delete;
  LogIntake& operator=(const LogIntake&) = delete;

  /// Says what each file is, then follows.
  void Start();
  /// Reads no further; what was read is given to the sink and its positions are kept. The sink must live on meanwhile.
  void Stop();
  /// True once each source has been looked for.
  bool looked() const;

  std::vector<SourceView> views() const;

 private:
  struct Impl;
  explicit LogIntake(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::intake
