#include "serving/predictor.h"

#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <thread>

#include "serving/testing/serving_world.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class PredictorTest : public ::testing::Test {
 protected:
  /// A call with one row of four values, decoded as a protocol would.
  static void Fill(PredictionCall& call, std::vector<float> values = {1, 2, 3, 4}) {
    call.inputs.resize(1);
    call.inputs[0].Reset("x", DataType::kFp32);
    call.inputs[0].shape() = {1, static_cast<int64_t>(values.size())};
    for (float v : values) call.inputs[0].Push(v);
    call.input_count = 1;
    call.rows = 1;
  }
  Status Predict(PredictionCall& call, ModelSelector selector) {
    call.Reset();
    call.protocol = Protocol::kTfServingRest;
    call.received = world_.clock.SteadyNow();
    Status status = world_.predictor().Admit(selector, call);
    version_ = call.version();
    if (status.ok()) {
      call.signature = signature_;
      Fill(call);
      EXPECT_TRUE(world_.predictor().Execute(call, [] {}));
      status = call.status;
    }
    world_.predictor().Finish(call, status, 17);
    return status;
  }
  void Send(ModelSelector selector) { EXPECT_EQ(Predict(call_, selector), OkStatus()); }
  double Metric(const std::string& name, const std::vector<std::string>& labels = {}) {
    for (const MetricFamily& family : world_.registry.Collect()) {
      if (family.description->name != name) continue;
      for (const MetricSample& sample : family.samples) {
        if (sample.label_values == labels)
          return family.description->type == MetricType::kHistogram
                     ? static_cast<double>(sample.count)
                     : sample.value;
      }
    }
    return 0;
  }

  ServingWorld world_;
  PredictionCall call_;
  int64_t version_ = 0;
  size_t signature_ = 0;
};

TEST_F(PredictorTest, ServesTheHighestReadyVersionUnlessAskedOtherwise) {
  world_.AddModel("iris", {1, 2, 3}).labels = {{"good", 2}};
  world_.Start();
  EXPECT_TRUE(Predict(call_, {.model = "iris"}).ok());
  EXPECT_EQ(version_, 3);
  EXPECT_TRUE(Predict(call_, {.model = "iris", .version = 1}).ok());
  EXPECT_EQ(version_, 1);
  EXPECT_TRUE(Predict(call_, {.model = "iris", .label = "good"}).ok());
  EXPECT_EQ(version_, 2);
}

TEST_F(PredictorTest, ForgetsWhatWasCountedForAVersionThatIsPast) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  const uint32_t id = world_.lifecycle().table().Get()->models.at("iris").ready.at(1)->id;
  Send({.model = "iris", .version = 1});
  Send({.model = "iris", .version = 2});
  auto requests = [&](const char* version) {
    return Metric("leadsman_serving_requests_total", {"iris", version, "tfserving_rest", "OK"});
  };
  EXPECT_EQ(requests("1"), 1);
  world_.metrics.Forget("iris", 1, id);
  EXPECT_EQ(requests("1"), 0);
  EXPECT_EQ(requests("2"), 1);
  EXPECT_EQ(Metric("leadsman_serving_rows_total", {"iris", "2"}), 1);
  ASSERT_EQ(world_.metrics.Statistics("iris").size(), 1u);
  EXPECT_EQ(world_.metrics.Statistics("iris")[0].version, 2);
}

TEST_F(PredictorTest, SaysWhatIsThereWhenAskedForWhatIsNot) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  Status status = Predict(call_, {.model = "irs"});
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_TRUE(status.message().starts_with("Servable not found for request: Latest(irs)"))
      << status;
  EXPECT_NE(status.message().find("did you mean iris?"), std::string::npos) << status;

  status = Predict(call_, {.model = "iris", .version = 9});
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_TRUE(status.message().starts_with("Servable not found for request: Specific(iris, 9)"))
      << status;
  EXPECT_NE(status.message().find("ready versions: 1 and 2"), std::string::npos) << status;

  status = Predict(call_, {.model = "iris", .label = "prod"});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(status.message().starts_with("Unrecognized servable version label: prod")) << status;
}

class BatchSizeTest : public PredictorTest {
 protected:
  void Start(const std::string& config_pbtxt) {
    world_.AddModel("iris", {1});
    std::ofstream(world_.folder() / "iris" / kTritonConfigName) << config_pbtxt;
    world_.Start();
  }
  Status PredictRows(int64_t rows, int64_t rows_of_second = 0) {
    call_.Reset();
    call_.received = world_.clock.SteadyNow();
    EXPECT_EQ(world_.predictor().Admit({.model = "iris"}, call_), OkStatus());
    call_.input_count = rows_of_second > 0 ? 2 : 1;
    call_.inputs.resize(2);
    for (size_t i = 0; i < call_.input_count; ++i) {
      int64_t own_rows = i == 0 ? rows : rows_of_second;
      call_.inputs[i].Reset(i == 0 ? "x" : "z", DataType::kFp32);
      call_.inputs[i].shape() = {own_rows, 4};
      for (int64_t value = 0; value < own_rows * 4; ++value) call_.inputs[i].Push<float>(0);
    }
    call_.rows = static_cast<uint32_t>(rows);
    EXPECT_TRUE(world_.predictor().Execute(call_, [] {}));
    Status status = call_.status;
    world_.predictor().Finish(call_, status, 0);
    return status;
  }
};

TEST_F(BatchSizeTest, MoreRowsThanAConfigPbtxtAllowsAreRefused) {
  Start("max_batch_size: 8");
  EXPECT_EQ(PredictRows(8), OkStatus());
  Status refused = PredictRows(9);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(),
            "inference request batch-size must be <= 8 for 'iris', not 9; send it in parts, or "
            "raise max_batch_size in config.pbtxt");
  EXPECT_EQ(world_.predictor().Statistics("iris").at(0).inference_count, 8u);
}

TEST_F(BatchSizeTest, AllInputsHaveTheSameNumberOfRows) {
  world_.backend().signature.inputs.push_back({"z", DataType::kFp32, {-1, 4}});
  Start("max_batch_size: 8");
  EXPECT_EQ(PredictRows(2, 2), OkStatus());
  EXPECT_EQ(PredictRows(2, 3).message(),
            "input 'z' batch size does not match other inputs for 'iris': it has 3 rows, the first "
            "has 2");
}

TEST_F(BatchSizeTest, WithoutABatchDimensionARequestIsOneInference) {
  Start("max_batch_size: 0");
  EXPECT_EQ(PredictRows(9), OkStatus());
  ModelStatistics statistics = world_.predictor().Statistics("iris").at(0);
  EXPECT_EQ(statistics.inference_count, 1u);
  ASSERT_EQ(statistics.batches.size(), 1u);
  EXPECT_EQ(statistics.batches[0].batch_size, 1u);
}

TEST_F(PredictorTest, IsUnavailableWhileAKnownModelHasNoReadyVersion) {
  world_.AddModel("iris", {});
  world_.Start();
  EXPECT_EQ(Predict(call_, {.model = "iris"}).code(), StatusCode::kUnavailable);
  // The model's name is the operator's, so it may be a label.
  EXPECT_EQ(
      Metric("leadsman_serving_requests_total", {"iris", "", "tfserving_rest", "UNAVAILABLE"}), 1);
}

TEST_F(PredictorTest, SplitsUnlabelledTrafficByTheRouteTable) {
  world_.AddModel("iris", {1, 2, 3});
  world_.Start();
  auto routes = std::make_shared<RouteTable>();
  routes->routes["iris"] = {.stable = 1, .candidate = 2, .candidate_share = 2500};
  world_.predictor().SetRoutes(routes);
  std::map<int64_t, int> seen;
  for (int i = 0; i < 4000; ++i) {
    ASSERT_TRUE(Predict(call_, {.model = "iris"}).ok());
    ++seen[version_];
  }
  // 1000 expected; 27 is one standard deviation.
  EXPECT_NEAR(seen[2], 1000, 140);
  EXPECT_EQ(seen[1] + seen[2], 4000);

  Send({.model = "iris", .label = "stable"});
  EXPECT_EQ(version_, 1);
  Send({.model = "iris", .label = "canary"});
  EXPECT_EQ(version_, 2);
  Send({.model = "iris", .version = 3});
  EXPECT_EQ(version_, 3);
  EXPECT_EQ((*world_.predictor().Find({.model = "iris"}))->version, 1);
}

TEST_F(PredictorTest, MarksWhatTheSplitHasDrawnAndNothingElse) {
  world_.AddModel("iris", {1, 2, 3});
  world_.Start();
  auto route = [&](int64_t candidate, uint32_t share) {
    auto routes = std::make_shared<RouteTable>();
    routes->routes["iris"] = {.stable = 1, .candidate = candidate, .candidate_share = share};
    world_.predictor().SetRoutes(routes);
  };
  auto drawn = [&](ModelSelector selector) {
    Send(selector);
    return world_.sink.Take().at(0).drawn;
  };
  EXPECT_FALSE(drawn({.model = "iris"}));  // no route
  route(0, 0);
  EXPECT_FALSE(drawn({.model = "iris"}));
  route(2, 0);  // the candidate waits
  EXPECT_FALSE(drawn({.model = "iris"}));
  route(2, 5000);
  std::map<int64_t, int> seen;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(drawn({.model = "iris"}));
    ++seen[version_];
  }
  EXPECT_GT(seen[1], 0);  // both outcomes
  EXPECT_GT(seen[2], 0);
  EXPECT_FALSE(drawn({.model = "iris", .version = 2}));
  EXPECT_FALSE(drawn({.model = "iris", .version = 1}));
  EXPECT_FALSE(drawn({.model = "iris", .label = "canary"}));
  EXPECT_FALSE(drawn({.model = "iris", .label = "stable"}));
  route(9, 10'000);  // drawn, but not there: the stable version takes its place
  EXPECT_FALSE(drawn({.model = "iris"}));
  EXPECT_EQ(version_, 1);
}

TEST_F(PredictorTest, FallsBackToWhatIsReadyWhenARouteIsNot) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  auto set = [&](int64_t stable, int64_t candidate) {
    auto routes = std::make_shared<RouteTable>();
    routes->routes["iris"] = {.stable = stable, .candidate = candidate, .candidate_share = 10'000};
    world_.predictor().SetRoutes(routes);
  };
  set(1, 7);
  Send({.model = "iris"});
  EXPECT_EQ(version_, 1);
  set(7, 8);
  Send({.model = "iris"});
  EXPECT_EQ(version_, 2);
}

/// A restart in mid-rollout: version 1 is stable and loads until the test lets it go, version 2 is the candidate and
/// ready.
class RestartInMidRolloutTest : public PredictorTest {
 protected:
  void StartWith(std::vector<int64_t> ready, Status outcome_of_1) {
    world_.backend().on_load = [released = released_, outcome_of_1](const LoadSpec& spec) {
      if (spec.version != 1) return OkStatus();
      released.wait();
      return outcome_of_1;
    };
    world_.AddModel("iris", ready);
    WriteModelVersion(world_.folder(), "iris", 1, "fake");
    world_.Start();
    auto routes = std::make_shared<RouteTable>();
    routes->routes["iris"] = {.stable = 1, .candidate = 2, .candidate_share = 0};
    world_.predictor().SetRoutes(routes);
    world_.Await([&] { return world_.lifecycle().SettledOnce(); });
  }
  void AwaitState(VersionState state) {
    world_.Await(
        [&] { return world_.lifecycle().GetStatus("iris")->versions.front().state == state; });
  }
  void TearDown() override { Release(); }
  void Release() {
    if (!std::exchange(over_, true)) release_.set_value();
  }

 private:
  bool over_ = false;
  std::promise<void> release_;
  std::shared_future<void> released_{release_.get_future()};
};

TEST_F(RestartInMidRolloutTest, TheCandidateDoesNotGetAllTrafficWhileTheStableVersionLoads) {
  StartWith({2}, OkStatus());
  AwaitState(VersionState::kLoading);
  Status status = Predict(call_, {.model = "iris"});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("version 1, its stable version, is loading"), std::string::npos)
      << status;
  EXPECT_EQ(world_.predictor().Find({.model = "iris"}).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(world_.predictor().AwaitedVersions(),
            std::vector<std::string>{"model iris: version 1, its stable version, is loading"});
  EXPECT_FALSE(world_.predictor().SettledOnce());
  Send({.model = "iris", .label = "canary"});
  EXPECT_EQ(version_, 2);
  Release();
  world_.AwaitReady("iris", 1);
  Send({.model = "iris"});
  EXPECT_EQ(version_, 1);
  AwaitState(VersionState::kReady);
  EXPECT_TRUE(world_.predictor().SettledOnce());
}

TEST_F(RestartInMidRolloutTest, AnotherReadyVersionStandsInForTheStableOne) {
  StartWith({2, 3, 4}, OkStatus());
  Send({.model = "iris"});
  EXPECT_EQ(version_, 4);
}

TEST_F(RestartInMidRolloutTest, TheCandidateServesAloneOnceTheStableVersionHasFailed) {
  StartWith({2}, DataLossError("the file is truncated"));
  EXPECT_FALSE(world_.predictor().SettledOnce());
  Release();
  AwaitState(VersionState::kFailed);
  Send({.model = "iris"});
  EXPECT_EQ(version_, 2);
  EXPECT_TRUE(world_.predictor().SettledOnce());
}

TEST_F(PredictorTest, LeavesOneEventPerRequest) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  Send({.model = "iris"});
  auto events = world_.sink.Take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].model, "iris");
  EXPECT_EQ(events[0].version, 2);
  EXPECT_EQ(events[0].rows, 1u);
  EXPECT_EQ(events[0].response_bytes, 17u);
  EXPECT_EQ(events[0].predicted, std::vector<std::string>{"2"});
  EXPECT_EQ(events[0].score, 1.0f);
  EXPECT_EQ(events[0].features, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(events[0].feature_weight, 1);
  EXPECT_EQ(Metric("leadsman_serving_requests_total", {"iris", "2", "tfserving_rest", "OK"}), 1);
  EXPECT_EQ(Metric("leadsman_serving_request_duration_seconds", {"iris", "2"}), 1);
  EXPECT_EQ(Metric("leadsman_serving_compute_duration_seconds", {"iris", "2"}), 1);
  EXPECT_EQ(Metric("leadsman_serving_rows_total", {"iris", "2"}), 1);
  EXPECT_EQ(Metric("leadsman_serving_in_flight"), 0);
}

TEST_F(PredictorTest, NeverUsesAClientsTextAsAMetricLabel) {
  world_.AddModel("iris", {1});
  world_.Start();
  EXPECT_FALSE(Predict(call_, {.model = "no-such-model"}).ok());
  EXPECT_EQ(Metric("leadsman_serving_requests_total", {"", "", "tfserving_rest", "NOT_FOUND"}), 1);
  EXPECT_TRUE(world_.sink.Take().empty());
}

TEST_F(PredictorTest, TakesTheConfiguredOutputAsThePrediction) {
  world_.AddModel("iris", {5});
  Predictor::Options options;
  options.watched["iris"].output = "probabilities";
  world_.Start(options);
  Send({.model = "iris"});
  EXPECT_EQ(world_.sink.Take()[0].predicted, std::vector<std::string>{"0"});
  world_.predictor().SetWatched("iris", {});
  Send({.model = "iris"});
  EXPECT_EQ(world_.sink.Take()[0].predicted, std::vector<std::string>{"5"});
}

TEST_F(PredictorTest, OneSignatureIsWatched) {
  FakeBackend& several = world_.AddBackend("several");
  several.more_signatures = {{"second", kPredictMethod, several.signature}};
  world_.AddModel("iris", {5}, "several");
  world_.Start();
  auto seen = [&](size_t signature) {
    signature_ = signature;
    Send({.model = "iris"});
    const RecordedEvent event = world_.sink.Take()[0];
    EXPECT_EQ(event.outcome, StatusCode::kOk);
    EXPECT_EQ(event.predicted.empty(), event.features.empty());
    return !event.predicted.empty();
  };
  EXPECT_TRUE(seen(0));
  EXPECT_FALSE(seen(1));
  world_.predictor().SetWatched("iris", {.signature = "second"});
  EXPECT_FALSE(seen(0));
  EXPECT_TRUE(seen(1));
  world_.predictor().SetWatched("iris", {.signature = "not there"});
  EXPECT_TRUE(seen(0));
}

TEST_F(PredictorTest, SamplesWideInputsByTheSinksStride) {
  FakeBackend& wide = world_.AddBackend("wide");
  wide.signature.inputs = {{"x", DataType::kFp32, {-1, 100}}};
  world_.AddModel("mlp", {1}, "wide");
  world_.Start();
  for (int i = 0; i < 6; ++i) {
    call_.Reset();
    ASSERT_TRUE(world_.predictor().Admit({.model = "mlp"}, call_).ok());
    Fill(call_, std::vector<float>(100, 0.5f));
    world_.predictor().Execute(call_, [] {});
    world_.predictor().Finish(call_, call_.status, 1);
  }
  std::vector<size_t> widths;
  for (const RecordedEvent& event : world_.sink.Take()) {
    widths.push_back(event.features.size());
    if (!event.features.empty()) {
      EXPECT_EQ(event.feature_weight, 3);
    }
  }
  EXPECT_EQ(widths, (std::vector<size_t>{100, 0, 0, 100, 0, 0}));
}

TEST_F(PredictorTest, PassesTheRuntimesErrorOn) {
  world_.backend().run = [](int64_t, std::span<const TensorView>, std::vector<Tensor>&) {
    return InvalidArgumentError("value out of domain");
  };
  world_.AddModel("iris", {1});
  world_.Start();
  EXPECT_EQ(Predict(call_, {.model = "iris"}).message(), "value out of domain");
  auto events = world_.sink.Take();
  EXPECT_EQ(events[0].outcome, StatusCode::kInvalidArgument);
  EXPECT_TRUE(events[0].predicted.empty());
}

TEST_F(PredictorTest, UnloadsAVersionOnlyWhenItsLastCallIsFinished) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  call_.Reset();
  ASSERT_TRUE(world_.predictor().Admit({.model = "iris", .version = 1}, call_).ok());
  Fill(call_);
  RemoveModelVersion(world_.folder(), "iris", 1);
  world_.Await(
      [&] { return !world_.lifecycle().table().Get()->models.at("iris").ready.contains(1); });
  world_.predictor().Execute(call_, [] {});
  EXPECT_TRUE(call_.status.ok());
  EXPECT_EQ(world_.backend().loaded_now, 2);
  world_.predictor().Finish(call_, call_.status, 1);
  world_.Await([&] { return world_.backend().loaded_now == 1; });
}

/// A model that runs in the pool and waits until the test lets it go.
class PooledTest : public PredictorTest {
 protected:
  void StartPooled(Predictor::Options options) {
    world_.backend().run = [this](int64_t, std::span<const TensorView>,
                                  std::vector<Tensor>& outputs) {
      ++running_;
      released_.wait();
      outputs[0].shape() = {1};
      outputs[0].Push<int64_t>(1);
      outputs[1].shape() = {1, 3};
      for (int i = 0; i < 3; ++i) outputs[1].Push<float>(0);
      return OkStatus();
    };
    world_.AddModel("iris", {1}).execution = ExecutionMode::kPool;
    world_.Start(options);
  }
  void Admit(PredictionCall& call) {
    call.Reset();
    call.received = world_.clock.SteadyNow();
    ASSERT_TRUE(world_.predictor().Admit({.model = "iris"}, call).ok());
    ASSERT_FALSE(call.handle->run_inline);
    Fill(call);
  }
  /// Ends the call and says so.
  std::function<void()> Done(PredictionCall& call, std::promise<Status>& promise) {
    return [&] {
      Status status = call.status;
      world_.predictor().Finish(call, status, 1);
      promise.set_value(status);
    };
  }
  std::atomic<int> running_{0};
  std::promise<void> release_;
  std::shared_future<void> released_{release_.get_future()};
};

TEST_F(PooledTest, RunsDearModelsOnAnotherThread) {
  StartPooled({.pool_threads = 1});
  release_.set_value();
  Admit(call_);
  std::promise<std::thread::id> where;
  EXPECT_FALSE(world_.predictor().Execute(call_, [&] {
    world_.predictor().Finish(call_, call_.status, 1);
    where.set_value(std::this_thread::get_id());
  }));
  EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
}

TEST_F(PooledTest, AnExceptionIsOneFailedRequest) {
  StartPooled({.pool_threads = 1});
  world_.backend().run = [](int64_t, std::span<const TensorView>, std::vector<Tensor>&) -> Status {
    throw std::bad_alloc();
  };
  for (int i = 0; i < 2; ++i) {
    std::promise<Status> result;
    Admit(call_);
    EXPECT_FALSE(world_.predictor().Execute(call_, Done(call_, result)));
    EXPECT_EQ(result.get_future().get().code(), StatusCode::kInternal);
  }
  EXPECT_EQ(Metric("leadsman_serving_in_flight"), 0);
}

TEST_F(PooledTest, RefusesWhatTheQueueCannotHoldAndLetsGoWhoHasGone) {
  StartPooled({.pool_threads = 1, .pool_queue = 2});
  PredictionCall calls[5];
  std::promise<Status> results[5];
  Admit(calls[0]);
  EXPECT_FALSE(world_.predictor().Execute(calls[0], Done(calls[0], results[0])));
  world_.Await([&] { return running_ == 1; });
  for (int i = 1; i < 4; ++i) {
    Admit(calls[i]);
    if (i == 2) calls[i].deadline = world_.clock.SteadyNow() + 5ms;
    EXPECT_FALSE(world_.predictor().Execute(calls[i], Done(calls[i], results[i])));
    // Those who have gone, and those whose time is over, leave the queue while the model still runs.
    if (i == 1) {
      EXPECT_TRUE(world_.predictor().Cancel(calls[1]));
      EXPECT_EQ(results[1].get_future().get().code(), StatusCode::kCancelled);
    }
  }
  EXPECT_EQ(Metric("leadsman_serving_pool_queue_depth"), 2);
  EXPECT_EQ(Metric("leadsman_serving_in_flight"), 3);
  Admit(calls[4]);
  EXPECT_TRUE(world_.predictor().Execute(calls[4], Done(calls[4], results[4])));
  EXPECT_EQ(results[4].get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Metric("leadsman_serving_pool_rejected_total"), 1);

  world_.clock.Advance(10ms);
  EXPECT_EQ(results[2].get_future().get().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(running_, 1);
  release_.set_value();
  EXPECT_TRUE(results[0].get_future().get().ok());
  EXPECT_TRUE(results[3].get_future().get().ok());
  EXPECT_EQ(running_, 2);
  EXPECT_EQ(Metric("leadsman_serving_pool_queue_depth"), 0);
}

TEST_F(PooledTest, RefusesWhatTheQueueHasNoMemoryFor) {
  StartPooled({.pool_threads = 1, .pool_queue_bytes = 40});  // a request has 16
  PredictionCall calls[4];
  std::promise<Status> results[4];
  for (int i = 0; i < 4; ++i) {
    Admit(calls[i]);
    EXPECT_EQ(world_.predictor().Execute(calls[i], Done(calls[i], results[i])), i == 3);
    if (i == 0) world_.Await([&] { return running_ == 1; });
  }
  const Status refused = results[3].get_future().get();
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable);
  EXPECT_NE(refused.message().find("server.pool_queue_bytes"), std::string::npos) << refused;
  EXPECT_EQ(Metric("leadsman_serving_pool_queue_bytes"), 32);
  EXPECT_EQ(Metric("leadsman_serving_pool_rejected_total"), 1);
  release_.set_value();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(results[i].get_future().get().ok());
  EXPECT_EQ(Metric("leadsman_serving_pool_queue_bytes"), 0);
}

TEST_F(PooledTest, StopGivesBackWhatIsQueuedAndWaitsForWhatRuns) {
  StartPooled({.pool_threads = 1});
  PredictionCall calls[3];
  std::promise<Status> results[3];
  for (int i = 0; i < 2; ++i) {
    Admit(calls[i]);
    EXPECT_FALSE(world_.predictor().Execute(calls[i], Done(calls[i], results[i])));
    world_.Await([&] { return running_ == 1; });
  }
  EXPECT_FALSE(world_.predictor().Stop(10ms));  // the first still runs
  EXPECT_EQ(results[1].get_future().get().code(), StatusCode::kUnavailable);
  Admit(calls[2]);
  EXPECT_TRUE(world_.predictor().Execute(calls[2], Done(calls[2], results[2])));
  EXPECT_EQ(results[2].get_future().get().code(), StatusCode::kUnavailable);

  release_.set_value();
  EXPECT_TRUE(world_.predictor().Stop(20s));
  std::future<Status> first = results[0].get_future();
  ASSERT_EQ(first.wait_for(0s), std::future_status::ready);  // its `done` has run
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(world_.predictor().Stop(0ms));
  EXPECT_EQ(Metric("leadsman_serving_in_flight"), 0);
  EXPECT_EQ(Metric("leadsman_serving_pool_queue_depth"), 0);
}

TEST_F(PredictorTest, ManyThreadsAtOnceGetContextsOfTheirOwn) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  constexpr int kThreads = 8, kCalls = 500;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      PredictionCall call;
      for (int i = 0; i < kCalls; ++i) {
        call.Reset();
        call.protocol = Protocol::kV2Rest;
        if (!world_.predictor().Admit({.model = "iris", .version = 1 + i % 2}, call).ok()) ++failed;
        Fill(call);
        world_.predictor().Execute(call, [] {});
        if (!call.status.ok() || call.outputs[0].as<int64_t>()[0] != 1 + i % 2) ++failed;
        world_.predictor().Finish(call, call.status, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(Metric("leadsman_serving_requests_total", {"iris", "1", "v2_rest", "OK"}),
            kThreads * kCalls / 2);
  EXPECT_EQ(Metric("leadsman_serving_requests_total", {"iris", "2", "v2_rest", "OK"}),
            kThreads * kCalls / 2);
}

TEST_F(PredictorTest, MoreCallsAtOnceThanSlotsStillEachHaveAContext) {
  world_.AddModel("iris", {1});
  world_.Start();
  ::leadsman::Handle handle = *world_.predictor().Find({.model = "iris"});
  std::vector<ContextPool::Lease> leases;
  std::set<ExecutionContext*> distinct;
  for (int i = 0; i < 100; ++i) {
    Result<ContextPool::Lease> lease = ContextPool::Of(*handle).Acquire();
    ASSERT_TRUE(lease.ok());
    distinct.insert(&lease->context());
    leases.push_back(std::move(*lease));
  }
  EXPECT_EQ(distinct.size(), 100u);
}

TEST(NoteAboutTest, SaysOnlyWhatIsAboutTheVersionAskedFor) {
  ModelStatus model;
  model.note =
      "label blessed waits: version 1 is not ready; pinned version 12 is not in the folder";
  EXPECT_EQ(NoteAbout(model, 9), model.note);  // no version at all: the note is why
  model.versions.push_back({.version = 2, .state = VersionState::kReady});
  EXPECT_EQ(NoteAbout(model, 9), "");
  EXPECT_EQ(NoteAbout(model, 1), "label blessed waits: version 1 is not ready");
  EXPECT_EQ(NoteAbout(model, 12), "pinned version 12 is not in the folder");
  model.note = "3: waiting for manifest.json; 13: waiting for manifest.json";
  EXPECT_EQ(NoteAbout(model, 3), "3: waiting for manifest.json");
}

TEST_F(PredictorTest, KeepsTheStatisticsThatTheV2ProtocolShows) {
  world_.AddModel("iris", {1, 2});
  world_.Start();
  Send({.model = "iris"});
  Send({.model = "iris"});
  Send({.model = "iris", .version = 1});
  std::vector<ModelStatistics> all = world_.predictor().Statistics();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].version, 1);
  std::vector<ModelStatistics> second = world_.predictor().Statistics("iris", 2);
  ASSERT_EQ(second.size(), 1u);
  const ModelStatistics& s = second[0];
  EXPECT_EQ(s.model, "iris");
  EXPECT_EQ(s.inference_count, 2u);
  EXPECT_EQ(s.execution_count, 2u);
  EXPECT_EQ(s.success.count, 2u);
  EXPECT_EQ(s.fail.count, 0u);
  EXPECT_EQ(s.queue.count, 2u);
  EXPECT_GT(s.last_inference_unix_ms, 0);
  ASSERT_EQ(s.batches.size(), 1u);
  EXPECT_EQ(s.batches[0].batch_size, 1u);
  EXPECT_EQ(s.batches[0].compute_infer.count, 2u);
  EXPECT_TRUE(world_.predictor().Statistics("other").empty());
}

}  // namespace
}  // namespace leadsman
