#include "lifecycle/triton_settings.h"

#include <utility>

namespace leadsman {
namespace {

VersionPolicy PolicyOf(const TritonConfig::Versions& from) {
  using Kind = TritonConfig::Versions::Kind;
  VersionPolicy policy;
  policy.latest = from.latest;
  policy.specific = from.specific;
  policy.kind = from.kind == Kind::kAll        ? VersionPolicy::Kind::kAll
                : from.kind == Kind::kSpecific ? VersionPolicy::Kind::kSpecific
                                               : VersionPolicy::Kind::kLatest;
  return policy;
}

BatchingConfig::TimeoutAction ActionOf(const TritonConfig::Queue& queue) {
  return queue.delay_when_late ? BatchingConfig::TimeoutAction::kDelay
                               : BatchingConfig::TimeoutAction::kReject;
}

BatchingConfig BatchingOf(const TritonConfig& triton) {
  const TritonConfig::DynamicBatching& from = *triton.dynamic_batching;
  BatchingConfig to;
  to.max_batch_size = static_cast<uint32_t>(triton.max_batch_size);
  to.max_delay = from.max_delay;
  to.preferred_sizes = from.preferred_sizes;
  if (from.queue) {
    to.queue.timeout_action = ActionOf(*from.queue);
    to.queue.default_timeout = from.queue->default_timeout;
    to.queue.allow_timeout_override = from.queue->allow_timeout_override;
    if (from.queue->max_size > 0) to.queue.max_size = from.queue->max_size;
  }
  if (from.priority_levels > 0) {
    to.priorities.levels = from.priority_levels;
    to.priorities.default_level = from.default_level;
    to.priorities.max_sizes.assign(from.priority_levels, 0);
    for (const auto& [level, queue] : from.level_queues) {
      to.priorities.max_sizes[level - 1] = queue.max_size;
      to.priorities.timeouts.push_back({.level = level,
                                        .default_timeout = queue.default_timeout,
                                        .timeout_action = ActionOf(queue),
                                        .allow_timeout_override = queue.allow_timeout_override});
    }
  }
  return to;
}

}  // namespace

ModelConfig WithTritonConfig(const ModelConfig& own, const TritonConfig& triton) {
  const ModelConfig defaults;
  ModelConfig to = own;
  if (to.format.empty()) to.format = triton.format;
  const bool policy_said =
      own.policy.kind != defaults.policy.kind || own.policy.latest != defaults.policy.latest;
  if (!policy_said && triton.versions.kind != TritonConfig::Versions::Kind::kNotSaid)
    to.policy = PolicyOf(triton.versions);
  // Threads of its own, and a queue, are what `execution` says no to.
  if (own.execution == ExecutionMode::kAuto) {
    if (to.instances == 0) to.instances = triton.instances;
    if (!to.batching && triton.dynamic_batching) to.batching = BatchingOf(triton);
  }
  if (own.warmup_requests == defaults.warmup_requests && triton.warmup_requests > 0)
    to.warmup_requests = triton.warmup_requests;
  return to;
}

}  // namespace leadsman
