#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/labels/label_store.h"
#include "monitor/labels/redis_connection.h"

namespace leadsman {

/// One thing that a RedisLabelStore does.
struct RedisLabelTask {
  enum class Kind { kKeep, kFind, kClaim };
  Kind kind = Kind::kKeep;
  uint64_t ticket = 0;
  KeptPrediction prediction = {};  ///< of kFind id and row alone
  std::string label = {};
  size_t bytes() const;
};

/// Says tasks in Redis' commands, and reads the replies. Two keys an id and row:
///
///   PREFIX p:ROW:ID   the prediction; set only if it is not there (NX), deleted by the claim
///   PREFIX l:ROW:ID   "TOKEN:LABEL" of the first claim (NX), until no label of the row is in time any more
///
/// Both end by themselves (PX). Whose token is in the second one counts the label: a task may be done again at any time, and a
/// claim whose reply was lost finds itself. Pure; immutable.
class RedisLabelTaskCodec {
 public:
  /// `token` is of this process and of no other.
  RedisLabelTaskCodec(const RedisOptions& options, std::string token)
      : options_(options), token_(std::move(token)) {}

  void AddCommands(const RedisLabelTask& task, WallTime wall,
                   std::vector<RedisConnection::Command>& commands) const;
  static size_t CommandsOf(RedisLabelTask::Kind kind);

  /// What has become of a task.
  struct Outcome {
    std::optional<LabelStore::Answer> answer = {};  ///< of kFind and kClaim
    Status again = {};    ///< not OK: Redis takes nothing now, and the task is to be done again
    Status strange = {};  ///< not OK: this task alone cannot be done, ever
  };
  Outcome Read(const RedisLabelTask& task, std::span<const RedisConnection::Reply> replies) const;

 private:
  std::string KeyOf(char kind, const KeptPrediction& of) const;
  std::string TokenOf(const RedisLabelTask& task) const;
  Status Foreign(char kind) const;
  Outcome ReadFind(const RedisLabelTask& task,
                   std::span<const RedisConnection::Reply> replies) const;
  Outcome ReadClaim(const RedisLabelTask& task,
                    std::span<const RedisConnection::Reply> replies) const;

  const RedisOptions& options_;
  const std::string token_;
};

}  // namespace leadsman
