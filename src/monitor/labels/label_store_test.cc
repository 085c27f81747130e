#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "monitor/label_join.h"
#include "monitor/labels/own_label_store.h"
#include "monitor/labels/redis_label_store.h"
#include "monitor/labels/testing/redis_process.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// One kind of store, as a process has it that begins anew with each Open.
class World {
 public:
  virtual ~World() = default;
  virtual LabelStore& Open() = 0;
  /// Everything that was given to the store has become of it what will.
  virtual void Settle() = 0;
};

class OwnWorld final : public World {
 public:
  explicit OwnWorld(FakeClock& clock) : clock_(clock) {}
  LabelStore& Open() override {
    store_.reset();
    database_.reset();
    auto database = Database::Open(folder_.file("monitor.db"), clock_.Now());
    CHECK(database.ok());
    database_ = std::move(*database);
    store_ = std::make_unique<OwnLabelStore>(database_.get());
    return *store_;
  }
  void Settle() override {
    Database::Batch batch;
    batch.predictions = store_->TakePredictions();
    batch.marks = store_->TakeMarks();
    Database::Purge purge;
    purge.now_ms = UnixMillis(clock_.Now());
    CHECK(database_->Write(batch, purge).ok());
  }

 private:
  FakeClock& clock_;
  TempDir folder_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<OwnLabelStore> store_;
};

class RedisWorld final : public World {
 public:
  explicit RedisWorld(FakeClock& clock) : clock_(clock) {}
  LabelStore& Open() override {
    store_.reset();
    auto store = RedisLabelStore::Create(redis_.options(), clock_);
    CHECK(store.ok());
    store_ = std::move(*store);
    for (int i = 0; i < 4000 && !store_->ready(); ++i) std::this_thread::sleep_for(1ms);
    CHECK(store_->ready());
    return *store_;
  }
  void Settle() override { CHECK(store_->Settle(20s)); }

 private:
  FakeClock& clock_;
  RedisProcess redis_;
  std::unique_ptr<RedisLabelStore> store_;
};

/// What every store has to do, seen through the join, whose memory has room for one prediction.
class LabelStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string_view("redis")) {
      if (!RedisProcess::Installed()) GTEST_SKIP() << "redis-tools is not installed";
      world_ = std::make_unique<RedisWorld>(clock_);
    } else {
      world_ = std::make_unique<OwnWorld>(clock_);
    }
    Open();
  }
  void Open() {
    join_ = std::make_unique<LabelJoin>(LabelJoin::Limits{.predictions = 1, .waiting = 4096},
                                        world_->Open());
  }
  void Predict(const std::string& id, const std::string& predicted, uint32_t row = 0) {
    KeptPrediction p;
    p.request_id = id;
    p.row = row;
    p.model = "digits";
    p.version = 3;
    p.predicted = predicted;
    p.score = 0.25;
    p.at_ms = UnixMillis(clock_.Now());
    p.expires_ms = p.at_ms + 3'600'000;
    p.weight = 2.5;
    p.drawn = true;
    p.answer = AnswerKind::kClass;
    p.score_of = ScoreOf::kSecondClass;
    p.segments =
        "a\x1f"
        "b";
    p.class_scores = {0.25f, 0.5f, 0.25f};
    join_->AddPrediction(std::move(p), clock_.Now(), clock_.SteadyNow());
  }
  void Label(const std::string& id, const std::string& label, uint32_t row = 0) {
    join_->AddLabel({id, row, label, 0}, clock_.Now(), clock_.SteadyNow());
  }
  /// Until nothing is under way.
  void Finish() {
    for (int i = 0; i < 100; ++i) {
      const bool done = join_->Resolve(clock_.Now(), clock_.SteadyNow());
      world_->Settle();
      if (done) return;
    }
    FAIL() << "it does not come to an end";
  }
  std::vector<LabelJoin::Joined> Joined() { return join_->TakeJoined(); }
  const LabelJoin::Counters& counters() { return join_->counters(); }

  FakeClock clock_;
  std::unique_ptr<World> world_;
  std::unique_ptr<LabelJoin> join_;
};

TEST_P(LabelStoreTest, GivesAPredictionBackAsItWas) {
  Predict("r", "7", 5);
  Predict("other", "1");  // takes the memory's only place
  Finish();
  Label("r", "8", 5);
  Finish();
  const std::vector<LabelJoin::Joined> joined = Joined();
  ASSERT_EQ(joined.size(), 1u);
  const KeptPrediction& p = joined[0].prediction;
  EXPECT_EQ(p.request_id, "r");
  EXPECT_EQ(p.row, 5u);
  EXPECT_EQ(p.model, "digits");
  EXPECT_EQ(p.version, 3);
  EXPECT_EQ(p.predicted, "7");
  EXPECT_EQ(p.score, 0.25);
  EXPECT_EQ(p.at_ms, UnixMillis(clock_.Now()));
  EXPECT_EQ(p.expires_ms, p.at_ms + 3'600'000);
  EXPECT_EQ(p.weight, 2.5);
  EXPECT_TRUE(p.drawn);
  EXPECT_EQ(p.answer, AnswerKind::kClass);
  EXPECT_EQ(p.score_of, ScoreOf::kSecondClass);
  EXPECT_EQ(p.segments,
            "a\x1f"
            "b");
  EXPECT_EQ(p.class_scores, (std::vector<float>{0.25f, 0.5f, 0.25f}));
  EXPECT_EQ(joined[0].label, "8");
  EXPECT_TRUE(joined[0].wrong);
}

TEST_P(LabelStoreTest, TheFirstLabelOfARowCountsAlsoAfterARestart) {
  Predict("r", "7");
  Finish();
  Open();
  Label("r", "7");
  Label("r", "8");
  Finish();
  EXPECT_EQ(counters().joined, 1u);
  EXPECT_EQ(counters().duplicate, 1u);
  EXPECT_EQ(counters().conflicting, 1u);
  Open();
  Label("r", "7.0");
  Finish();
  EXPECT_EQ(counters().joined, 0u);
  EXPECT_EQ(counters().duplicate, 1u);
  EXPECT_EQ(counters().conflicting, 0u);
}

TEST_P(LabelStoreTest, OfAnIdUsedTwiceTheFirstPredictionStays) {
  Predict("r", "7");
  Predict("other", "1");
  Predict("r", "8");
  Finish();
  Open();
  Label("r", "7");
  Finish();
  EXPECT_FALSE(Joined().at(0).wrong);
}

TEST_P(LabelStoreTest, ALabelMayComeBeforeItsPrediction) {
  Label("r", "7");
  Finish();
  EXPECT_EQ(join_->waiting(), 1u);
  Predict("r", "7");
  Finish();
  EXPECT_EQ(counters().joined, 1u);
  EXPECT_EQ(join_->waiting(), 0u);
}

TEST_P(LabelStoreTest, ALabelOfNobodyIsUnknownInTheEnd) {
  Label("nobody", "7");
  Finish();
  clock_.Advance(30s);
  Finish();
  EXPECT_EQ(counters().unknown, 0u);
  clock_.Advance(31s);
  Finish();
  EXPECT_EQ(counters().unknown, 1u);
  EXPECT_EQ(join_->waiting(), 0u);
}

TEST_P(LabelStoreTest, ALateLabelIsToldFromAnUnknownOne) {
  Predict("r", "7");
  Finish();
  Open();
  clock_.Advance(61min);
  Label("r", "7");
  Finish();
  EXPECT_EQ(counters().late, 1u);
  EXPECT_EQ(counters().joined, 0u);
}

TEST_P(LabelStoreTest, AfterALabelOfAnotherKindTheRowWaitsOn) {
  Predict("r", "7");
  Finish();
  Open();
  Label("r", "setosa");
  Finish();
  EXPECT_EQ(counters().mismatched, 1u);
  Label("r", "7");
  Finish();
  EXPECT_EQ(counters().joined, 1u);
}

TEST_P(LabelStoreTest, ManyAreJoinedEachOnce) {
  for (int i = 0; i < 1500; ++i) Predict("r" + std::to_string(i), "7");
  Finish();
  for (int twice = 0; twice < 2; ++twice)
    for (int i = 0; i < 1500; ++i) Label("r" + std::to_string(i), i % 3 == 0 ? "8" : "7");
  Finish();
  EXPECT_EQ(counters().joined, 1500u);
  EXPECT_EQ(counters().duplicate, 1500u);
  size_t wrong = 0;
  for (const LabelJoin::Joined& joined : Joined()) wrong += joined.wrong;
  EXPECT_EQ(wrong, 500u);
}

INSTANTIATE_TEST_SUITE_P(Stores, LabelStoreTest, ::testing::Values("own", "redis"),
                         [](const auto& of) { return std::string(of.param); });

}  // namespace
}  // namespace leadsman
