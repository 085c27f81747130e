#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "rollout/step.h"

namespace leadsman {

/// What is known of a model beyond its rollouts.
struct ModelRecord {
  std::string model;
  int64_t stable = 0;  ///< 0: no version has ever been ready
  std::set<int64_t>
      rejected;  ///< rolled back, aborted, or left for an older version: not to be loaded again
  friend bool operator==(const ModelRecord&, const ModelRecord&) = default;
};

/// One rollout as it stands in the journal.
struct RolloutRecord {
  int64_t id = 0;
  RolloutState state;  ///< after the last journaled tick
};

/// The rollouts' memory: an SQLite file (WAL, every commit synced) with the first state of each
/// rollout, every tick's input, the state after it, and each model's stable version. The controller
/// writes a tick before it acts on it, so that what happened can always be computed again from what
/// is written.
///
/// Thread-safe; calls may block for the disk, and up to a second for another process's lock.
/// Errors: UNAVAILABLE when it cannot be written just now (disk full, locked), nothing of that call
/// is written then; DATA_LOSS when what is in it cannot be read.
class Journal {
 public:
  /// `path` empty: in memory.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path);
  ~Journal();

  Result<std::vector<ModelRecord>> Models();
  /// All rollouts kept, newest first.
  Result<std::vector<RolloutRecord>> Rollouts();
  /// NOT_FOUND.
  Result<RolloutState> FirstState(int64_t id);
  Result<RolloutState> LastState(int64_t id);
  /// The first `count` at most.
  Result<std::vector<StepInput>> Inputs(int64_t id, uint64_t count = INT64_MAX);
  /// One more than the highest id ever given.
  Result<int64_t> NextId();

  Status SaveModel(const ModelRecord& model);
  /// Writes a new rollout and its model in one transaction; forgets ended rollouts of this model
  /// beyond the newest 100.
  Status Begin(int64_t id, const RolloutState& first, const ModelRecord& model);
  /// Writes one tick, the state after it and, when the tick ended the rollout, what became of the
  /// model, in one transaction.
  Status AppendTick(int64_t id, const StepInput& input, const StepOutput& output,
                    const std::optional<ModelRecord>& model);

  /// Lets the file grow to this many pages of 4 KiB; beyond it the journal is full.
  void LimitPages(int64_t pages);

 private:
  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A rollout computed again.
struct Replay {
  RolloutState final_state;
  RolloutState stored;  ///< when it began to read: ticks that came since are not looked at
  bool agrees = false;  ///< with the state that was stored, to the bit
};

/// Computes a rollout again from its first state and its journaled inputs, and shows every tick to
/// `visit` (which may be empty). NOT_FOUND, DATA_LOSS.
Result<Replay> ReplayRollout(Journal& journal, int64_t id,
                             const std::function<void(const StepInput&, const StepOutput&)>& visit);

}  // namespace leadsman
