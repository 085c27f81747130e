#include "lifecycle/triton_settings.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

TritonConfig Parse(std::string_view text) {
  return ParseTritonConfig(text, [](const std::string&) { return std::string(); }).value();
}

constexpr std::string_view kEverything = R"(
platform: "onnxruntime_onnx"
max_batch_size: 8
version_policy: { specific { versions: [1, 3] } }
instance_group [ { count: 2 }, { count: 1 } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 max_queue_size: 64 }
  priority_queue_policy { key: 1 value { max_queue_size: 10 } }
  priority_queue_policy { key: 3 value { timeout_action: DELAY default_timeout_microseconds: 900 } }
}
model_warmup { count: 3 }
)";

TEST(TritonSettingsTest, WhatTheFileSaysTakesThePlaceOfDefaults) {
  ModelConfig model = WithTritonConfig({}, Parse(kEverything));
  EXPECT_EQ(model.format, "onnx");
  EXPECT_EQ(model.policy.kind, VersionPolicy::Kind::kSpecific);
  EXPECT_EQ(model.policy.specific, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(model.instances, 3);
  EXPECT_EQ(model.warmup_requests, 3);
  ASSERT_TRUE(model.batching);
  EXPECT_EQ(model.batching->max_batch_size, 8u);
  EXPECT_EQ(model.batching->max_delay, 100us);
  EXPECT_EQ(model.batching->preferred_sizes, (std::vector<uint32_t>{4, 8}));
  EXPECT_EQ(model.batching->queue.max_size, 64u);
  EXPECT_EQ(model.batching->queue.default_timeout, 5000us);
  EXPECT_EQ(model.batching->queue.timeout_action, BatchingConfig::TimeoutAction::kDelay);
  EXPECT_FALSE(model.batching->queue.allow_timeout_override);
  EXPECT_EQ(model.batching->priorities.levels, 3u);
  EXPECT_EQ(model.batching->priorities.default_level, 2u);
  EXPECT_EQ(model.batching->priorities.max_sizes, (std::vector<size_t>{10, 0, 0}));
  // The policy of a level takes the place of the default one, as in Triton.
  EXPECT_EQ(model.batching->QueueOf(1).default_timeout, 0us);
  EXPECT_EQ(model.batching->QueueOf(2).default_timeout, 5000us);
  EXPECT_EQ(model.batching->QueueOf(3).default_timeout, 900us);
  EXPECT_EQ(model.batching->QueueOf(3).timeout_action, BatchingConfig::TimeoutAction::kDelay);
  EXPECT_FALSE(model.batching->QueueOf(3).allow_timeout_override);
  EXPECT_EQ(model.batching->QueueOf(1).max_size, 10u);
  EXPECT_EQ(model.batching->QueueOf(3).max_size, 0u);
}

TEST(TritonSettingsTest, OurOwnConfigurationHasTheLastWord) {
  ModelConfig own;
  own.format = "tensorflow";
  own.policy.latest = 2;
  own.instances = 1;
  own.batching.emplace().max_batch_size = 2;
  own.warmup_requests = 7;
  ModelConfig model = WithTritonConfig(own, Parse(kEverything));
  EXPECT_EQ(model.format, "tensorflow");
  EXPECT_EQ(model.policy.kind, VersionPolicy::Kind::kLatest);
  EXPECT_EQ(model.policy.latest, 2);
  EXPECT_EQ(model.instances, 1);
  EXPECT_EQ(model.batching->max_batch_size, 2u);
  EXPECT_EQ(model.warmup_requests, 7);
}

TEST(TritonSettingsTest, AnExecutionThatIsSaidLeavesNoRoomForAQueue) {
  ModelConfig own;
  own.execution = ExecutionMode::kInline;
  EXPECT_FALSE(WithTritonConfig(own, Parse(kEverything)).HasOwnQueue());
}

TEST(TritonSettingsTest, WhatIsNotSaidStaysAsItWas) {
  ModelConfig own;
  own.policy.kind = VersionPolicy::Kind::kAll;
  ModelConfig model = WithTritonConfig(own, Parse(""));
  EXPECT_EQ(model.policy.kind, VersionPolicy::Kind::kAll);
  EXPECT_FALSE(model.HasOwnQueue());
  EXPECT_EQ(model.warmup_requests, ModelConfig().warmup_requests);
}

}  // namespace
}  // namespace leadsman
