#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <thread>

#include "base/turn.h"
#include "serving/predictor.h"
#include "serving/testing/serving_world.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// A model y[i] = 2 * x[i][0] + 1, s[i] = text of x[i][0]; rows whose value is negative are refused.
class BatchedPredictionTest : public ::testing::Test {
 protected:
  BatchedPredictionTest() {
    FakeBackend& backend = world_.backend();
    backend.signature.inputs = {{"x", DataType::kFp32, {-1, 2}}};
    backend.signature.outputs = {{"y", DataType::kFp32, {-1}}, {"s", DataType::kBytes, {-1}}};
    backend.run = [this](int64_t, std::span<const TensorView> inputs,
                         std::vector<Tensor>& outputs) -> Status {
      const int64_t rows = inputs[0].shape[0];
      {
        MutexLock lock(mutex_);
        sizes_.push_back(rows);
        if (rows > 0) first_values_.push_back(inputs[0].as<float>()[0]);
        ++inside_;
        entered_.NotifyAll();
        while (held_ && (held_rows_ == 0 || held_rows_ == rows)) released_.WaitFor(mutex_, 10s);
        --inside_;
      }
      auto x = inputs[0].as<float>();
      for (int64_t i = 0; i < rows; ++i) {
        float value = x[static_cast<size_t>(2 * i)];
        if (value == -1) return InvalidArgumentError("x must not be -1");
        outputs[0].Push(2 * value + 1);
        outputs[1].PushString(std::to_string(static_cast<int64_t>(value)));
      }
      const int64_t answered = one_row_ ? 1 : rows;
      outputs[0].shape() = {answered};
      outputs[1].shape() = {answered};
      return OkStatus();
    };
  }
  void TearDown() override { Hold(false); }

  BatchingConfig& AddModel() {
    ModelConfig& model = world_.AddModel("m", {1});
    model.execution = ExecutionMode::kAuto;
    model.batching.emplace();
    return *model.batching;
  }
  /// `rows`: batches of this size alone.
  void Hold(bool held, int64_t rows = 0) {
    MutexLock lock(mutex_);
    held_ = held;
    held_rows_ = rows;
    released_.NotifyAll();
  }
  void AwaitInside() {
    MutexLock lock(mutex_);
    while (inside_ == 0) entered_.WaitFor(mutex_, 10s);
  }
  std::vector<int64_t> Sizes() {
    MutexLock lock(mutex_);
    return sizes_;
  }
  /// Of each run the first row's value, in the order of the runs.
  std::vector<float> FirstValues() {
    MutexLock lock(mutex_);
    return first_values_;
  }

  struct Client {
    PredictionCall call;
    std::promise<void> end;
    std::future<void> ended = end.get_future();
    bool finished_at_once = false;
  };
  /// One call; each value becomes a row.
  void Begin(Client& client, const std::vector<float>& values, std::optional<Duration> timeout = {},
             uint32_t priority = 0) {
    client.call.Reset();
    client.call.received = world_.clock.SteadyNow();
    client.call.priority = priority;
    if (timeout) client.call.deadline = client.call.received + *timeout;
    ASSERT_TRUE(world_.predictor().Admit({.model = "m"}, client.call).ok());
    client.call.inputs.resize(1);
    client.call.inputs[0].Reset("x", DataType::kFp32);
    client.call.inputs[0].shape() = {static_cast<int64_t>(values.size()), 2};
    for (float value : values) {
      client.call.inputs[0].Push(value);
      client.call.inputs[0].Push(0.5f);
    }
    client.call.input_count = 1;
    client.call.rows = static_cast<uint32_t>(values.size());
    client.finished_at_once =
        world_.predictor().Execute(client.call, [&client] { client.end.set_value(); });
  }
  /// Waits, compares the answer with the rows, and finishes the call.
  Status End(Client& client, const std::vector<float>& values) {
    CHECK(client.ended.wait_for(60s) == std::future_status::ready);
    Status status = client.call.status;
    if (status.ok()) {
      EXPECT_EQ(client.call.outputs.size(), 2u);
      auto y = client.call.outputs[0].as<float>();
      auto s = client.call.outputs[1].as<std::string_view>();
      EXPECT_EQ(client.call.outputs[0].shape, (Shape{static_cast<int64_t>(values.size())}));
      EXPECT_EQ(y.size(), values.size());
      for (size_t i = 0; i < std::min(y.size(), values.size()); ++i) {
        EXPECT_EQ(y[i], 2 * values[i] + 1);
        EXPECT_EQ(s[i], std::to_string(static_cast<int64_t>(values[i])));
      }
    }
    world_.predictor().Finish(client.call, status, 1);
    return status;
  }

  void Stress(ModelConfig& model);

  Mutex mutex_;
  CondVar entered_, released_;
  std::vector<float> first_values_;
  std::vector<int64_t> sizes_;
  int inside_ = 0;
  bool held_ = false;
  int64_t held_rows_ = 0;
  std::atomic<bool> one_row_{false};
  ServingWorld world_;
};

TEST_F(BatchedPredictionTest, RunsWhatWaitsTogetherAndGivesEachItsOwnRows) {
  AddModel().max_batch_size = 8;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(4);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2, 3});
  Begin(clients[2], {4});
  Begin(clients[3], {5, 6, 7});
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[1], {2, 3}).ok());
  EXPECT_TRUE(End(clients[2], {4}).ok());
  EXPECT_TRUE(End(clients[3], {5, 6, 7}).ok());
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{1, 6}));

  ModelStatistics s = world_.predictor().Statistics("m").at(0);
  EXPECT_EQ(s.inference_count, 7u);
  EXPECT_EQ(s.execution_count, 2u);
  EXPECT_EQ(s.success.count, 4u);
  ASSERT_EQ(s.batches.size(), 2u);
  EXPECT_EQ(s.batches[1].batch_size, 6u);
  EXPECT_EQ(s.batches[1].compute_infer.count, 1u);
}

TEST_F(BatchedPredictionTest, PadsToAnAllowedSize) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 8;
  batching.allowed_batch_sizes = {4, 8};
  world_.Start();
  Client client;
  Begin(client, {3, 4, 5});
  EXPECT_TRUE(End(client, {3, 4, 5}).ok());
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{4}));
}

TEST_F(BatchedPredictionTest, OneBadRequestDoesNotFailTheOthers) {
  AddModel();
  world_.Start();
  Hold(true);
  std::deque<Client> clients(4);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2});
  Begin(clients[2], {-1});
  Begin(clients[3], {3});
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[1], {2}).ok());
  EXPECT_EQ(End(clients[2], {}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(End(clients[3], {3}).ok());
}

TEST_F(BatchedPredictionTest, SplitsARequestThatIsLargerThanABatch) {
  AddModel().max_batch_size = 4;
  world_.Start();
  std::vector<float> many;
  for (int i = 0; i < 11; ++i) many.push_back(static_cast<float>(i));
  Client client;
  Begin(client, many);
  EXPECT_TRUE(End(client, many).ok());
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{4, 4, 3}));
  // And again on the same connection.
  Client next;
  next.call = std::move(client.call);
  Begin(next, {1, 2});
  EXPECT_TRUE(End(next, {1, 2}).ok());
}

TEST_F(BatchedPredictionTest, OrRefusesItWhenToldSo) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 2;
  batching.large_requests = BatchingConfig::LargeRequests::kReject;
  world_.Start();
  Client client;
  Begin(client, {1, 2, 3});
  EXPECT_TRUE(client.finished_at_once);
  Status status = End(client, {});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("3 rows"), std::string::npos) << status;
}

TEST_F(BatchedPredictionTest, ARequestIsNotCutIntoPiecesWithoutEnd) {
  AddModel().max_batch_size = 2;
  world_.Start();
  Client client;
  Begin(client, std::vector<float>(2 * 16'384 + 1));
  EXPECT_TRUE(client.finished_at_once);
  Status status = End(client, {});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("takes at most 32768 at once"), std::string::npos) << status;
}

TEST_F(BatchedPredictionTest, AModelThatAnswersInOtherRowsIsNotBatchedAnyMore) {
  AddModel();
  one_row_ = true;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(3);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2});
  Begin(clients[2], {3});
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[1], {2}).ok());
  EXPECT_TRUE(End(clients[2], {3}).ok());
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{1, 2, 1, 1}));
}

TEST_F(BatchedPredictionTest, ACancelledCallLeavesTheQueue) {
  AddModel().max_batch_size = 1;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(2);
  Begin(clients[0], {1});
  AwaitInside();
  EXPECT_FALSE(world_.predictor().Cancel(clients[0].call));
  Begin(clients[1], {2});
  EXPECT_TRUE(world_.predictor().Cancel(clients[1].call));
  EXPECT_EQ(End(clients[1], {}).code(), StatusCode::kCancelled);
  EXPECT_FALSE(world_.predictor().Cancel(clients[1].call));
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_EQ(Sizes().size(), 1u);
}

TEST_F(BatchedPredictionTest, ExpiresInTheQueueWhileTheModelRuns) {
  AddModel().max_batch_size = 1;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(2);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2}, 5ms);
  world_.clock.Advance(5ms);
  EXPECT_EQ(End(clients[1], {}).code(), StatusCode::kDeadlineExceeded);
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
}

TEST_F(BatchedPredictionTest, ServesHigherPrioritiesFirst) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 1;
  batching.priorities.levels = 2;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(3);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2}, {}, 2);
  Begin(clients[2], {3}, {}, 1);
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[1], {2}).ok());
  EXPECT_TRUE(End(clients[2], {3}).ok());
  EXPECT_EQ(FirstValues(), (std::vector<float>{1, 3, 2}));
}

TEST_F(BatchedPredictionTest, RequestsOfALevelWaitForAsLongAsItsOwnTimeoutSays) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 1;
  batching.queue.default_timeout = 20ms;
  batching.priorities.levels = 3;
  batching.priorities.timeouts = {{.level = 1}, {.level = 3, .default_timeout = 5ms}};
  world_.Start();
  Hold(true);
  std::deque<Client> clients(4);
  Begin(clients[0], {1});
  AwaitInside();
  for (uint32_t level : {1u, 2u, 3u}) Begin(clients[level], {2}, {}, level);
  world_.clock.Advance(5ms);
  EXPECT_EQ(End(clients[3], {}).code(), StatusCode::kDeadlineExceeded);
  world_.clock.Advance(15ms);
  EXPECT_EQ(End(clients[2], {}).code(), StatusCode::kDeadlineExceeded);
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[1], {2}).ok()) << "level 1 has no timeout but the deadline";
}

TEST_F(BatchedPredictionTest, ADeadlineShortensTheWaitThatTheQueueAllowsAndNeverMakesItLonger) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 1;
  batching.queue.default_timeout = 20ms;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(3);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2}, 5ms);
  Begin(clients[2], {3}, 60s);
  world_.clock.Advance(5ms);
  EXPECT_EQ(End(clients[1], {}).code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(clients[2].ended.wait_for(0s), std::future_status::ready);
  world_.clock.Advance(15ms);
  EXPECT_EQ(End(clients[2], {}).code(), StatusCode::kDeadlineExceeded);
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
}

TEST_F(BatchedPredictionTest, WhoHasWaitedTooLongIsServedAfterAllOthersWhereTheQueueSaysSo) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 1;
  batching.queue.default_timeout = 5ms;
  batching.queue.timeout_action = BatchingConfig::TimeoutAction::kDelay;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(4);
  Begin(clients[0], {1});
  AwaitInside();
  Begin(clients[1], {2}, 60s);
  world_.clock.Advance(4ms);
  Begin(clients[2], {3}, 60s);
  Begin(clients[3], {4}, 2ms);
  world_.clock.Advance(2ms);
  EXPECT_EQ(End(clients[3], {}).code(), StatusCode::kDeadlineExceeded)
      << "its own deadline is none of the queue's";
  Hold(false);
  EXPECT_TRUE(End(clients[0], {1}).ok());
  EXPECT_TRUE(End(clients[2], {3}).ok());
  EXPECT_TRUE(End(clients[1], {2}).ok());
  EXPECT_EQ(FirstValues(), (std::vector<float>{1, 3, 2}));
}

TEST_F(BatchedPredictionTest, InstancesAreThereBeforeTheFirstRequest) {
  AddModel();
  world_.AddModel("with_instances", {1}).instances = 3;
  world_.AddModel("plain", {1});
  world_.Start();
  auto instances = [&](const std::string& name) {
    const Handle version = world_.lifecycle().table().Get()->models.at(name).ready.at(1);
    EXPECT_TRUE(world_.predictor().Prepare(*version).ok());
    return world_.metrics.batching.Of(name, 1)->instances.load();
  };
  EXPECT_EQ(instances("m"), 1);
  EXPECT_EQ(instances("with_instances"), 3);
  EXPECT_EQ(instances("plain"), 0);
}

TEST_F(BatchedPredictionTest, InstancesRunAtOnceAndNoMoreThanThat) {
  ModelConfig& model = world_.AddModel("m", {1});
  model.execution = ExecutionMode::kAuto;
  model.instances = 2;
  world_.Start();
  Hold(true);
  std::deque<Client> clients(3);
  for (Client& client : clients) Begin(client, {1});
  {
    MutexLock lock(mutex_);
    while (inside_ < 2) entered_.WaitFor(mutex_, 10s);
    EXPECT_EQ(inside_, 2);
  }
  Hold(false);
  for (Client& client : clients) EXPECT_TRUE(End(client, {1}).ok());
}

/// A thread's event loop whose turn ends when the test says so.
class ManualTurn final : public Turn {
 public:
  void AtEnd(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  size_t End() {
    std::vector<std::function<void()>> tasks;
    tasks.swap(tasks_);
    for (const auto& task : tasks) task();
    return tasks.size();
  }

 private:
  std::vector<std::function<void()>> tasks_;
  TurnScope scope_{*this};
};

TEST_F(BatchedPredictionTest, WhatOneTurnBringsIsOneBatchOnItsOwnThread) {
  ModelConfig& model = world_.AddModel("m", {1});
  model.execution = ExecutionMode::kInline;
  model.batching.emplace();
  world_.Start();
  // The instance has to do: otherwise it may take what the turn brings before the turn has ended.
  Hold(true, 5);
  Client before;
  Begin(before, {1, 2, 3, 4, 5});
  AwaitInside();
  ManualTurn turn;
  std::deque<Client> clients(3);
  for (size_t i = 0; i < 3; ++i) Begin(clients[i], {static_cast<float>(i + 1)});
  EXPECT_EQ(Sizes(), std::vector<int64_t>{5}) << "it waits for the end of the turn";
  EXPECT_EQ(turn.End(), 1u);
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{5, 3}));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(clients[i].ended.wait_for(0s), std::future_status::ready);
    EXPECT_EQ(End(clients[i], {static_cast<float>(i + 1)}), OkStatus());
  }
  Client alone;
  Begin(alone, {7});
  EXPECT_EQ(turn.End(), 1u) << "promised anew";
  EXPECT_EQ(End(alone, {7}), OkStatus());
  Client gone;
  Begin(gone, {8});
  EXPECT_TRUE(world_.predictor().Cancel(gone.call));
  EXPECT_EQ(turn.End(), 1u);
  EXPECT_EQ(End(gone, {8}).code(), StatusCode::kCancelled);
  EXPECT_EQ(Sizes(), (std::vector<int64_t>{5, 3, 1}));
  Hold(false);
  EXPECT_EQ(End(before, {1, 2, 3, 4, 5}), OkStatus());
}

TEST_F(BatchedPredictionTest, InstancesOfItsOwnRunWhatATurnBrings) {
  ModelConfig& model = world_.AddModel("m", {1});
  model.execution = ExecutionMode::kInline;
  model.instances = 1;
  model.batching.emplace();
  world_.Start();
  ManualTurn turn;
  Client client;
  Begin(client, {1});
  EXPECT_EQ(End(client, {1}), OkStatus());
  EXPECT_EQ(turn.End(), 0u);
}

/// Cheap models without any batching of their own, as most are.
class AutoBatchingTest : public BatchedPredictionTest {
 protected:
  AutoBatchingTest() {
    FakeBackend& backend = world_.backend();
    inner_ = std::move(backend.run);
    backend.run = [this](int64_t version, std::span<const TensorView> inputs,
                         std::vector<Tensor>& outputs) {
      world_.clock.Advance(50us);
      // What a call costs whatever its rows are: else it is not worth while.
      if (slow_) std::this_thread::sleep_for(20ms);  // however busy the machine is
      const auto end = std::chrono::steady_clock::now() + 100us;
      while (trying_ && std::chrono::steady_clock::now() < end) {
      }
      return inner_(version, inputs, outputs);
    };
  }
  ModelConfig& AddCheapModel() {
    ModelConfig& model = world_.AddModel("m", {1});
    model.execution = ExecutionMode::kAuto;
    model.warmup_requests = 5;
    model.inline_below = 10s;
    return model;
  }
  void Start() {
    world_.Start();
    trying_ = false;
    MutexLock lock(mutex_);
    sizes_.clear();
  }
  std::string Execution() { return world_.lifecycle().GetStatus("m")->versions[0].execution; }
  FakeBackend::Run inner_;
  std::atomic<bool> slow_{false}, trying_{true};
};

TEST_F(AutoBatchingTest, WhatATurnBringsIsRunTogether) {
  AddCheapModel();
  Start();
  EXPECT_EQ(Execution(), "batched");
  ManualTurn turn;
  std::deque<Client> clients(3);
  Begin(clients[0], {1});
  Begin(clients[1], {2, 3});
  Begin(clients[2], {4});
  EXPECT_EQ(Sizes(), std::vector<int64_t>{}) << "it waits for the end of the turn";
  EXPECT_EQ(turn.End(), 1u);
  EXPECT_EQ(Sizes(), std::vector<int64_t>{4});
  EXPECT_EQ(End(clients[0], {1}), OkStatus());
  EXPECT_EQ(End(clients[1], {2, 3}), OkStatus());
  EXPECT_EQ(End(clients[2], {4}), OkStatus());
  const auto stats = world_.metrics.batching.Of("m", 1);
  EXPECT_EQ(stats->batches[static_cast<size_t>(CloseReason::kIdle)], 1u);
  EXPECT_EQ(stats->rows, 4u);
}

TEST_F(AutoBatchingTest, NoMoreRowsThanTheThreadHasTimeFor) {
  slow_ = true;
  AddCheapModel().inline_below = 90ms;
  Start();
  slow_ = false;
  ManualTurn turn;
  std::deque<Client> clients(5);
  for (Client& client : clients) Begin(client, {1});
  EXPECT_EQ(turn.End(), 1u);
  EXPECT_EQ(turn.End(), 1u) << "what is left comes after the answers of the first batch";
  const std::vector<int64_t> sizes = Sizes();
  ASSERT_FALSE(sizes.empty());
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 4);
  for (Client& client : clients) EXPECT_EQ(End(client, {1}), OkStatus());
}

TEST_F(AutoBatchingTest, OneBadRequestDoesNotFailTheOthers) {
  AddCheapModel();
  Start();
  ManualTurn turn;
  std::deque<Client> clients(2);
  Begin(clients[0], {-1});
  Begin(clients[1], {2});
  turn.End();
  EXPECT_EQ(End(clients[0], {-1}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(End(clients[1], {2}), OkStatus());
}

TEST_F(AutoBatchingTest, WhoHasGoneOrIsLateIsNotRun) {
  AddCheapModel();
  Start();
  ManualTurn turn;
  std::deque<Client> clients(3);
  Begin(clients[0], {1});
  Begin(clients[1], {2}, 1ms);
  Begin(clients[2], {3});
  EXPECT_TRUE(world_.predictor().Cancel(clients[0].call));
  EXPECT_EQ(clients[0].ended.wait_for(0s), std::future_status::ready);
  world_.clock.Advance(2ms);
  turn.End();
  EXPECT_EQ(Sizes(), std::vector<int64_t>{1});
  EXPECT_EQ(End(clients[0], {1}).code(), StatusCode::kCancelled);
  EXPECT_EQ(End(clients[1], {2}).code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(End(clients[2], {3}), OkStatus());
}

TEST_F(AutoBatchingTest, ManyRowsAndThreadsWithoutTurnsDoNotWait) {
  AddCheapModel();
  Start();
  Client client;
  Begin(client, {1});
  EXPECT_TRUE(client.finished_at_once);
  EXPECT_EQ(End(client, {1}), OkStatus());
  ManualTurn turn;
  Client large;
  std::vector<float> rows(40, 2.0f);
  Begin(large, rows);
  EXPECT_TRUE(large.finished_at_once);
  EXPECT_EQ(End(large, rows), OkStatus());
  EXPECT_EQ(turn.End(), 0u);
}

TEST_F(AutoBatchingTest, NotAModelWhoseRowsLookAtEachOther) {
  world_.backend().run = [this](int64_t, std::span<const TensorView> inputs,
                                std::vector<Tensor>& outputs) {
    world_.clock.Advance(50us);
    auto x = inputs[0].as<float>();
    const size_t rows = x.size() / 2;
    float mean = 0;
    for (size_t i = 0; i < rows; ++i) mean += x[2 * i] / static_cast<float>(rows);
    for (size_t i = 0; i < rows; ++i) {
      outputs[0].Push(x[2 * i] - mean);
      outputs[1].PushString("");
    }
    outputs[0].shape() = outputs[1].shape() = {static_cast<int64_t>(rows)};
    return OkStatus();
  };
  AddCheapModel();
  world_.Start();
  EXPECT_EQ(Execution(), "inline");
}

TEST_F(AutoBatchingTest, NotWhenItIsOff) {
  AddCheapModel().auto_batching = false;
  world_.Start();
  EXPECT_EQ(Execution(), "inline");
}

// Rows are unique over the whole test, so that one lost, swapped or given to another request shows.
void BatchedPredictionTest::Stress(ModelConfig& model) {
  if (model.execution != ExecutionMode::kAuto || model.instances > 0) {
    model.batching.emplace();
    model.batching->max_batch_size = 6;
    model.batching->allowed_batch_sizes = {2, 4, 6};
    model.batching->queue.max_size = 24;
  }
  world_.Start();
  std::atomic<float> next{1};
  std::atomic<int> ok{0}, refused{0}, bad{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Rng rng(t + 1);
      std::optional<ManualTurn> turn;
      if (t % 2 == 0) turn.emplace();
      // Connections, used again and again.
      std::deque<PredictionCall> calls(8);
      for (int round = 0; round < 40; ++round) {
        std::deque<Client> clients(calls.size());
        std::vector<std::vector<float>> rows(calls.size());
        for (size_t i = 0; i < calls.size(); ++i) {
          clients[i].call = std::move(calls[i]);
          size_t count = 1 + rng.Below(rng.Below(10) == 0 ? 20 : 3);
          for (size_t r = 0; r < count; ++r) {
            float value = next.load();
            while (!next.compare_exchange_weak(value, value + 1)) {
            }
            rows[i].push_back(value);
          }
          if (rng.Below(40) == 0) rows[i].back() = -1;
          Begin(clients[i], rows[i]);
          if (turn && rng.Below(4) == 0) turn->End();
        }
        while (turn && turn->End() > 0) {
        }
        for (size_t i = 0; i < calls.size(); ++i) {
          if (rng.Below(16) == 0) world_.predictor().Cancel(clients[i].call);
          Status status = End(clients[i], rows[i]);
          ++(status.ok() ? ok : status.code() == StatusCode::kInvalidArgument ? bad : refused);
          calls[i] = std::move(clients[i].call);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ok + refused + bad, 4 * 40 * 8);
  EXPECT_GT(ok, 100);
}

TEST_F(BatchedPredictionTest, NoRowIsLostSwappedOrMixedUnderStress) {
  ModelConfig& model = world_.AddModel("m", {1});
  model.execution = ExecutionMode::kAuto;
  model.instances = 2;
  Stress(model);
}

TEST_F(BatchedPredictionTest, NorWhenThreadsWithTurnsRunWhatOthersBring) {
  ModelConfig& model = world_.AddModel("m", {1});
  model.execution = ExecutionMode::kInline;
  Stress(model);
}

TEST_F(AutoBatchingTest, NorWhenTurnsRunWhatComesTogether) { Stress(AddCheapModel()); }

TEST_F(BatchedPredictionTest, WhatWaitsIsCountedForItsVersion) {
  BatchingConfig& batching = AddModel();
  batching.max_batch_size = 2;
  batching.queue.max_size = 3;
  world_.Start();
  auto pending = [&] { return world_.predictor().Statistics("m").at(0).pending; };
  EXPECT_EQ(pending(), 0) << "of a version that had no request yet";
  Hold(true);
  std::vector<std::unique_ptr<Client>> clients;
  auto begin = [&](const std::vector<float>& values) {
    Begin(*clients.emplace_back(std::make_unique<Client>()), values);
  };
  begin({1});
  AwaitInside();
  EXPECT_EQ(pending(), 0) << "it runs";
  begin({2});
  begin({3, 4, 5});
  EXPECT_EQ(pending(), 3) << "one of them in two pieces";
  begin({6});
  EXPECT_TRUE(clients.back()->finished_at_once) << "the queue is full";
  EXPECT_EQ(pending(), 3);
  EXPECT_TRUE(world_.predictor().Cancel(clients[1]->call));
  EXPECT_EQ(pending(), 2);
  Hold(false);
  EXPECT_EQ(End(*clients[0], {1}), OkStatus());
  EXPECT_EQ(End(*clients[1], {2}).code(), StatusCode::kCancelled);
  EXPECT_EQ(End(*clients[2], {3, 4, 5}), OkStatus());
  EXPECT_EQ(End(*clients[3], {6}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(pending(), 0);
}

}  // namespace
}  // namespace leadsman
