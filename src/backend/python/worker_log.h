#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace leadsman::python {

/// What one worker prints, line by line into the server's log: so many lines a second and no more, each cut to a bearable
/// length. Confined to the loop's thread.
class WorkerLog {
 public:
  WorkerLog(std::string model, int64_t version, Clock& clock)
      : model_(std::move(model)), version_(version), clock_(clock) {}

  /// Reads what there is, up to a limit that leaves the loop its time. False at the end of the stream.
  bool ReadFrom(int fd);
  /// The last line that was printed; for a worker that ended without a word.
  const std::string& last_line() const { return last_line_; }
  /// Lines dropped since the last call.
  uint64_t TakeDropped();

 private:
  void Take(std::string_view text);
  void Line();

  const std::string model_;
  const int64_t version_;
  Clock& clock_;
  std::string line_;
  std::string last_line_;
  double tokens_ = 50;
  SteadyTime refilled_{};
  uint64_t dropped_ = 0;       ///< to be taken
  uint64_t dropped_told_ = 0;  ///< to be told in the log
};

}  // namespace leadsman::python
