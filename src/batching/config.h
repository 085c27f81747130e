#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace leadsman {

/// How the requests of one model wait for an instance and are put together into batches. Parsed from the
/// configuration; docs/batching.md has the same in the words of Triton and of TensorFlow Serving.
struct BatchingConfig {
  uint32_t max_batch_size = 32;  ///< rows; 1 = a queue without batches
  /// How long the first request of a batch may wait for others while an instance is idle. 0: an idle instance takes
  /// what is there, and batches grow while all instances are busy.
  std::chrono::microseconds max_delay{0};
  std::vector<uint32_t>
      preferred_sizes;  ///< ascending; a batch that has such a size does not wait any longer
  std::vector<uint32_t>
      allowed_batch_sizes;  ///< ascending; a batch is padded up to the next one; empty: any size
  std::optional<double>
      pad_ragged;  ///< requests of different lengths share a batch, padded with this value
  /// Or each with the first value of its own tensor, as TensorFlow Serving does; pad_ragged only says then that they share.
  enum class PadWith { kValue, kFirstValue };
  PadWith pad_with = PadWith::kValue;

  enum class LargeRequests { kSplit, kReject };
  LargeRequests large_requests =
      LargeRequests::kSplit;  ///< those with more rows than max_batch_size
  bool retry_singly =
      true;  ///< a batch that the model refuses as INVALID_ARGUMENT is run once more, one by one
  /// Tensors without a batch dimension. Requests share a batch only when these inputs are equal byte for byte; these
  /// outputs are given to each request of the batch as they are.
  std::vector<std::string> shared_inputs;
  std::vector<std::string> shared_outputs;

  enum class TimeoutAction { kReject, kDelay };
  struct Queue {
    size_t max_size = 1024;        ///< requests; more are refused
    size_t max_bytes = 256 << 20;  ///< that their inputs may take in memory
    /// How long a request may wait; 0 = as long as its deadline, or server.request_timeout. The earlier of the two holds.
    std::chrono::microseconds default_timeout{0};
    TimeoutAction timeout_action = TimeoutAction::kReject;
    /// Triton's word for a request that may wait for less than default_timeout, never for more: all may. Kept for clients
    /// that read a model's configuration back.
    bool allow_timeout_override = true;
  };
  Queue queue;

  /// What holds for the requests of one level in the place of the queue's.
  struct LevelTimeout {
    uint32_t level = 1;
    std::chrono::microseconds default_timeout{0};
    TimeoutAction timeout_action = TimeoutAction::kReject;
    bool allow_timeout_override = true;
  };
  struct Priorities {
    uint32_t levels = 1;                 ///< 1 is served first
    uint32_t default_level = 0;          ///< of requests that name none; 0 = the middle
    std::vector<size_t> max_sizes;       ///< by level, from 1; 0 or missing = only queue.max_size
    std::vector<LevelTimeout> timeouts;  ///< a level once at most
  };
  Priorities priorities;

  /// What holds for the requests of a level: its own size (0 = none), and its own timeout or the queue's.
  Queue QueueOf(uint32_t level) const {
    Queue own = queue;
    own.max_size = level - 1 < priorities.max_sizes.size() ? priorities.max_sizes[level - 1] : 0;
    for (const LevelTimeout& timeout : priorities.timeouts) {
      if (timeout.level != level) continue;
      own.default_timeout = timeout.default_timeout;
      own.timeout_action = timeout.timeout_action;
      own.allow_timeout_override = timeout.allow_timeout_override;
    }
    return own;
  }

  /// The level of a request that asks for `asked` (0 = nothing): never outside 1 … levels.
  uint32_t LevelOf(uint32_t asked) const {
    if (asked == 0)
      asked =
          priorities.default_level == 0 ? (priorities.levels + 1) / 2 : priorities.default_level;
    return asked > priorities.levels ? priorities.levels : asked;
  }
};

}  // namespace leadsman
