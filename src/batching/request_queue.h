#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "batching/padded_size.h"
#include "batching/policy.h"
#include "tensor/tensor.h"

namespace leadsman {

class BatchRules;

/// Why a request left the queue without being run.
enum class DropReason {
  kExpired,    ///< its deadline, or the time it may wait, has passed
  kCancelled,  ///< its client has gone
  kStopping    ///< the scheduler ends
};

/// One request, or a piece of one, in a queue. Owned by whoever submits it, and kept until OnDropped was called or it
/// was run.
class BatchTask {
 public:
  virtual ~BatchTask() = default;

  /// Requests share a batch only when this is the same: one version's signature.
  const BatchRules* rules = nullptr;
  bool may_join = true;  ///< false: it is run alone
  bool padded = false;   ///< its inputs are filled up to the longest in the batch
  bool cheap = false;    ///< a batch of its rules may be run by a thread that has other work too
  uint64_t key = 0;      ///< of what must be equal: unequal keys never share a batch
  std::span<const TensorView> inputs;
  uint32_t rows = 1;
  uint32_t level = 1;  ///< 1 is served first
  SteadyTime arrived{};
  std::optional<SteadyTime> deadline;    ///< afterwards nobody wants the answer
  std::optional<SteadyTime> wait_until;  ///< how long it may wait at all
  bool delay_when_late =
      false;              ///< at wait_until: served after all others, instead of being dropped
  Duration least_time{};  ///< what running it takes at least; nothing is known: 0
  Duration batch_time{};  ///< what a batch takes that it would be in
  Duration cost{};        ///< its share of an instance's time at least
  size_t bytes = 0;       ///< of memory that its inputs take

  /// It waits for others no longer than until then: its deadline less what the batch takes, and less what waking a
  /// thread and sending the answer may take, for which it keeps half of its time, at most kSpare.
  std::optional<SteadyTime> StartBy() const {
    if (!deadline) return std::nullopt;
    return *deadline - batch_time - std::clamp((*deadline - arrived) / 2, Duration::zero(), kSpare);
  }
  static constexpr Duration kSpare = std::chrono::milliseconds(5);

  /// Called once when it leaves the queue unrun, without any lock held.
  virtual void OnDropped(DropReason reason) = 0;

 private:
  friend class RequestQueue;
  BatchTask* previous_ = nullptr;
  BatchTask* next_ = nullptr;
  uint32_t list_ = 0;  ///< 0 = not in a queue; else the index of its list plus 1
};

/// Whether two tasks, with the same rules and the same key, may really share a batch.
using MayShare = bool (*)(const BatchTask& a, const BatchTask& b);

/// The requests of one scheduler that wait: bounded, by priority. Starts no thread and takes the time as an argument.
/// Externally synchronised.
///
/// Order of service: level 1 before level 2 and so on, each first in, first out; last those that have waited longer than they
/// should (delay_when_late). So that nobody starves, every kOldestEvery-th batch is led by the request that has
/// waited longest, whatever its level.
class RequestQueue {
 public:
  static constexpr uint32_t kMaxLevels = 16;
  static constexpr uint32_t kOldestEvery = 8;

  struct Limits {
    size_t max_requests = 1024;
    size_t max_bytes = 256 << 20;
    uint32_t levels = 1;
    std::vector<size_t> per_level;  ///< from level 1; 0 or missing = no limit of its own
  };
  RequestQueue(Limits limits, MayShare may_share)
      : limits_(std::move(limits)), may_share_(may_share) {}

  bool HasRoom(uint32_t level) const;
  /// Whether the inputs of a request may wait as well. An empty queue takes any.
  bool HasMemory(size_t bytes) const {
    return size_ == 0 || (bytes <= limits_.max_bytes && bytes_ <= limits_.max_bytes - bytes);
  }
  /// The caller has asked both; pieces of one request that was let in may go beyond.
  void Add(BatchTask& task);
  /// False when it is not waiting here.
  bool Remove(BatchTask& task);

  /// Takes out what has expired at `now`; moves back what is only late.
  void Sweep(SteadyTime now, std::vector<BatchTask*>& expired);
  /// When Sweep has something to do next.
  std::optional<SteadyTime> NextExpiry() const;
  /// Takes out everything, in the order of service.
  void TakeAll(std::vector<BatchTask*>& out);

  /// What an idle instance should run now. When closing, the batch is taken out of the queue into `batch`. Not to be called when
  /// empty.
  BatchDecision Ask(const BatchPolicy& policy, SteadyTime now, bool draining,
                    std::vector<BatchTask*>& batch);

  /// The request that the next batch is made around. Not to be called when empty.
  const BatchTask& Next() const { return Leader(); }
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  uint64_t rows() const { return rows_; }
  size_t bytes() const { return bytes_; }
  /// What the requests that would be served before one of `level` take of an instance's time, at least.
  Duration CostAhead(uint32_t level) const;

 private:
  static constexpr size_t kLate = kMaxLevels;  ///< index of the list of late ones
  struct List {
    BatchTask* first = nullptr;
    BatchTask* last = nullptr;
    size_t size = 0;
    Duration cost{};
  };
  void Link(BatchTask& task, size_t list);
  void Unlink(BatchTask& task);
  BatchTask& Leader() const;
  void Gather(BatchTask& leader, const BatchPolicy& policy);
  template <typename Visit>
  void ForEach(Visit visit) const;

  const Limits limits_;
  const MayShare may_share_;
  std::array<List, kMaxLevels + 1> lists_;
  size_t size_ = 0;
  uint64_t rows_ = 0;
  size_t bytes_ = 0;
  uint32_t batches_ = 0;
  SteadyTime next_expiry_ = SteadyTime::max();  ///< nothing expires before
  std::vector<BatchTask*> candidates_;          ///< of the last Gather
  std::vector<QueueView::Request> views_;       ///< the same as the policy sees them
  PaddedSize padded_size_;                      ///< of the candidates
  bool padded_out_ = false;                     ///< of the last Gather
};

}  // namespace leadsman
