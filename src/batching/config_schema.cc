#include "batching/config_schema.h"

#include <algorithm>

#include "base/strings.h"
#include "batching/request_queue.h"

namespace leadsman {
namespace {

using std::chrono::microseconds;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr uint32_t kLargestBatch = 1'000'000;

schema::TypePtr<BatchingConfig::TimeoutAction> TimeoutActionType() {
  return schema::Enum<BatchingConfig::TimeoutAction>(
      {{"reject", BatchingConfig::TimeoutAction::kReject},
       {"delay", BatchingConfig::TimeoutAction::kDelay}});
}

const schema::Struct<BatchingConfig::Queue>& QueueSchema() {
  using Queue = BatchingConfig::Queue;
  static const auto table = [] {
    schema::Struct<Queue> s("BatchingQueue", "Requests that wait for an instance of the model.");
    s.Field("max_size", &Queue::max_size, schema::Integer<size_t>(1, 1'000'000),
            "Requests; more are refused (503).");
    s.Field("max_bytes", &Queue::max_bytes, schema::Bytes<size_t>(1 << 20, int64_t{1} << 40),
            "Memory that the inputs of waiting requests may take together; more are refused (503). "
            "An empty queue takes a request of any size.");
    s.Field("default_timeout", &Queue::default_timeout, schema::Time<microseconds>(0us, 24h),
            "How long a request may wait; 0 = as long as its deadline, or server.request_timeout.");
    s.Field("timeout_action", &Queue::timeout_action, TimeoutActionType(),
            "At default_timeout: answered with an error, or served after all others.");
    s.Field(
        "allow_timeout_override", &Queue::allow_timeout_override, schema::Boolean(),
        "Triton's word for requests that may wait for less than default_timeout, never for more. "
        "All may: of default_timeout and a request's own deadline the earlier holds. Told to "
        "clients that ask for the model's configuration.");
    return s;
  }();
  return table;
}

const schema::Struct<BatchingConfig::LevelTimeout>& LevelTimeoutSchema() {
  using LevelTimeout = BatchingConfig::LevelTimeout;
  static const auto table = [] {
    schema::Struct<LevelTimeout> s("BatchingLevelTimeout",
                                   "How long requests of one level may wait.");
    s.Required("level", &LevelTimeout::level,
               schema::Integer<uint32_t>(1, RequestQueue::kMaxLevels), "Which.");
    s.Field("default_timeout", &LevelTimeout::default_timeout, schema::Time<microseconds>(0us, 24h),
            "As queue.default_timeout.");
    s.Field("timeout_action", &LevelTimeout::timeout_action, TimeoutActionType(),
            "As queue.timeout_action.");
    s.Field("allow_timeout_override", &LevelTimeout::allow_timeout_override, schema::Boolean(),
            "As queue.allow_timeout_override.");
    return s;
  }();
  return table;
}

const schema::Struct<BatchingConfig::Priorities>& PrioritiesSchema() {
  using Priorities = BatchingConfig::Priorities;
  static const auto table = [] {
    schema::Struct<Priorities> s(
        "BatchingPriorities",
        "Levels of requests: 1 is served first. Every eighth batch is led by the request that "
        "has waited longest, so that no level starves.");
    s.Field("levels", &Priorities::levels, schema::Integer<uint32_t>(1, RequestQueue::kMaxLevels),
            "How many.");
    s.Field("default_level", &Priorities::default_level,
            schema::Integer<uint32_t>(0, RequestQueue::kMaxLevels),
            "Of requests that name none; 0 = the middle one.");
    s.Field(
        "max_sizes", &Priorities::max_sizes,
        schema::List(schema::Integer<size_t>(0, 1'000'000), 0, RequestQueue::kMaxLevels),
        "Requests that may wait in each level, from level 1 on; 0 = only queue.max_size counts.");
    s.Field("timeouts", &Priorities::timeouts,
            schema::List(schema::Of(LevelTimeoutSchema()), 0, RequestQueue::kMaxLevels),
            "Of levels whose requests may wait for another time than queue says.");
    s.Check([](const Priorities& p, schema::Problems& problems) {
      if (p.default_level > p.levels) {
        problems.Add("default_level", StrCat("must be at most levels (", p.levels, ")"));
      }
      for (size_t i = 0; i < p.timeouts.size(); ++i) {
        const uint32_t level = p.timeouts[i].level;
        if (level > p.levels) {
          problems.Add(StrCat("timeouts[", i, "].level"),
                       StrCat("must be at most levels (", p.levels, ")"));
        }
        for (size_t before = 0; before < i; ++before) {
          if (p.timeouts[before].level == level)
            problems.Add(StrCat("timeouts[", i, "].level"),
                         StrCat("timeouts[", before, "] is of level ", level, " already"));
        }
      }
      if (p.max_sizes.size() > p.levels) {
        problems.Add("max_sizes",
                     StrCat("has more entries than there are levels (", p.levels, ")"));
      }
    });
    return s;
  }();
  return table;
}

void CheckSizes(const char* key, const std::vector<uint32_t>& sizes, uint32_t max,
                schema::Problems& problems) {
  if (!std::is_sorted(sizes.begin(), sizes.end()) ||
      std::adjacent_find(sizes.begin(), sizes.end()) != sizes.end()) {
    problems.Add(key, "must be ascending, each size once");
  }
  if (!sizes.empty() && sizes.back() > max) {
    problems.Add(key, StrCat("must not be more than max_batch_size (", max, ")"));
  }
}

}  // namespace

const schema::Struct<BatchingConfig>& BatchingConfigSchema() {
  using Config = BatchingConfig;
  static const auto table = [] {
    schema::Struct<Config> s("Batching",
                             "Requests of one model are put together into batches "
                             "(docs/batching.md). Absent = each is run "
                             "for itself.");
    s.Field("max_batch_size", &Config::max_batch_size, schema::Integer<uint32_t>(1, kLargestBatch),
            "Rows of a batch; 1 = a queue without batches.");
    s.Field("max_delay", &Config::max_delay, schema::Time<microseconds>(0us, 10s),
            "How long the first request of a batch may wait for others while an instance is idle. "
            "0: an idle instance "
            "takes what is there, and batches grow while all instances are busy.");
    s.Field("preferred_sizes", &Config::preferred_sizes,
            schema::List(schema::Integer<uint32_t>(1, kLargestBatch), 0, 100),
            "A batch of such a size does not wait any longer.");
    s.Field("allowed_batch_sizes", &Config::allowed_batch_sizes,
            schema::List(schema::Integer<uint32_t>(1, kLargestBatch), 0, 100),
            "A batch is padded up to the next of these, by copies of its first row; empty = any "
            "size. The last one must be "
            "max_batch_size.");
    s.Field("pad_ragged", &Config::pad_ragged, schema::Optional(schema::Number(-1e300, 1e300)),
            "Requests whose open dimensions differ share a batch, padded with this value; absent = "
            "they do not.");
    s.Field("pad_with", &Config::pad_with,
            schema::Enum<Config::PadWith>({{"value", Config::PadWith::kValue},
                                           {"first_value", Config::PadWith::kFirstValue}}),
            "Of pad_ragged: its value, or the first value of each request's own tensor, as "
            "TensorFlow Serving pads.");
    s.Field("large_requests", &Config::large_requests,
            schema::Enum<Config::LargeRequests>({{"split", Config::LargeRequests::kSplit},
                                                 {"reject", Config::LargeRequests::kReject}}),
            "A request with more rows than max_batch_size: run in pieces, or refused (400).");
    s.Field("retry_singly", &Config::retry_singly, schema::Boolean(),
            "A batch that the model refuses as invalid is run once more, one request at a time, so "
            "that one bad request "
            "does not fail the others.");
    s.Field("shared_inputs", &Config::shared_inputs, schema::List(schema::Text(), 0, 100),
            "Inputs without a batch dimension: requests share a batch only when these are equal "
            "byte for byte. Scalars and "
            "inputs with a fixed first dimension are so by themselves.");
    s.Field("shared_outputs", &Config::shared_outputs, schema::List(schema::Text(), 0, 100),
            "Outputs that do not depend on the inputs: each request gets them whole.");
    s.Nested("queue", &Config::queue, QueueSchema(), "Requests that wait.");
    s.Nested("priorities", &Config::priorities, PrioritiesSchema(), "Which of them goes first.");
    s.Check([](const Config& config, schema::Problems& problems) {
      CheckSizes("preferred_sizes", config.preferred_sizes, config.max_batch_size, problems);
      CheckSizes("allowed_batch_sizes", config.allowed_batch_sizes, config.max_batch_size,
                 problems);
      if (!config.allowed_batch_sizes.empty() &&
          config.allowed_batch_sizes.back() < config.max_batch_size) {
        problems.Add("allowed_batch_sizes",
                     StrCat("must end with max_batch_size (", config.max_batch_size,
                            "): a fuller batch would have no allowed size"));
      }
    });
    return s;
  }();
  return table;
}

}  // namespace leadsman
