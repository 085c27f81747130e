#include "lifecycle/model_machine.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

/// One model in a store, one complete version in it; loads end as the test says.
class ModelMachineTest : public testing::Test {
 protected:
  ModelMachineTest() {
    config_.name = "digits";
    config_.path = "s3://bucket/digits";
    config_.load_retries = 1;
    config_.load_retry_delay = 1s;
    machine_ = std::make_unique<ModelMachine>(std::make_shared<const ModelConfig>(config_), stores_,
                                              std::make_shared<LifecycleInbox>(), 30s);
    machine_->OnListing(
        std::vector<VersionFolder>{{.version = 1, .complete = true, .manifest = {.inode = 1}}},
        now_, effects_);
  }
  /// The load that is due ends so; returns the time until the next try.
  std::optional<Duration> Fail(Status status, bool fetched) {
    MachineEffects effects;
    machine_->Step(now_, steady_, effects);
    EXPECT_EQ(effects.loads.size(), 1u);
    LoadDone done{.model = "digits", .version = 1};
    done.outcome.status = std::move(status);
    done.outcome.fetched = fetched;
    machine_->OnLoadDone(std::move(done), 0, now_, steady_, effects);
    std::optional<SteadyTime> next = machine_->NextRetry(steady_);
    if (!next) return std::nullopt;
    Duration wait = *next - steady_;
    steady_ = *next;
    return wait;
  }
  std::string Reason() {
    return std::string(machine_->GetStatus().versions.at(0).status.message());
  }

  ModelConfig config_;
  Stores stores_{StorageOptions(), [](const char*) { return std::string(); }};
  std::unique_ptr<ModelMachine> machine_;
  WallTime now_ = FromUnixMillis(1'772'368'496'000);
  SteadyTime steady_{};
  MachineEffects effects_;
};

TEST_F(ModelMachineTest, AStoreInTroubleIsWaitedForHoweverLongItTakes) {
  std::vector<Duration> waits;
  for (int i = 0; i < 12; ++i) {
    std::optional<Duration> wait = Fail(UnavailableError("answered 503"), /*fetched=*/false);
    ASSERT_TRUE(wait.has_value());
    waits.push_back(*wait);
  }
  auto about = [](Duration wait, Duration middle) {
    EXPECT_GE(wait, middle / 4 * 3);
    EXPECT_LE(wait, middle / 4 * 5);
  };
  about(waits[0], 1s);
  about(waits[1], 2s);
  about(waits[8], 256s);
  about(waits[11], 5min);
  EXPECT_EQ(Reason(), StrCat("answered 503 (tried again in ", waits[11] / 1ms, " ms)"));
  EXPECT_FALSE(machine_->Settled());
}

TEST_F(ModelMachineTest, WithoutADelayAStoreInTroubleIsStillNotAskedWithoutEnd) {
  config_.load_retry_delay = 0s;
  machine_->Configure(std::make_shared<const ModelConfig>(config_));
  EXPECT_GE(Fail(UnavailableError("answered 503"), /*fetched=*/false).value(), Duration(750ms));
}

TEST_F(ModelMachineTest, FilesThatAreWrongAreGivenUp) {
  EXPECT_TRUE(Fail(DataLossError("wrong sha256"), /*fetched=*/false).has_value());
  EXPECT_FALSE(Fail(DataLossError("wrong sha256"), /*fetched=*/false).has_value());
  EXPECT_EQ(machine_->FailedVersions(), std::vector<int64_t>{1});
  EXPECT_EQ(Reason(),
            "wrong sha256 (not tried again until its files change or the model is refreshed)");
}

TEST_F(ModelMachineTest, AFetchedVersionThatDoesNotLoadIsGivenUpAsEver) {
  EXPECT_TRUE(Fail(UnavailableError("no memory"), /*fetched=*/true).has_value());
  EXPECT_FALSE(Fail(UnavailableError("no memory"), /*fetched=*/true).has_value());
}

TEST_F(ModelMachineTest, TellsWhenAStoreWasLastListed) {
  machine_->OnListing(UnavailableError("the store is away"), now_ + 1h, effects_);
  EXPECT_EQ(machine_->GetStatus().note,
            "the store is away (last listed at 2026-03-01T12:34:56.000Z)");
  machine_->OnListing(std::vector<VersionFolder>{{.version = 1, .complete = true}}, now_ + 2h,
                      effects_);
  EXPECT_EQ(machine_->GetStatus().note, "");
}

TEST_F(ModelMachineTest, AModelThatComesBackIsLookedForFirst) {
  machine_->Remove();
  machine_->Configure(std::make_shared<const ModelConfig>(config_));
  MachineEffects before;
  machine_->Step(now_, steady_, before);
  EXPECT_TRUE(before.loads.empty());
  machine_->OnListing(
      std::vector<VersionFolder>{{.version = 1, .complete = true, .manifest = {.inode = 2}}}, now_,
      effects_);
  MachineEffects after;
  machine_->Step(now_, steady_, after);
  EXPECT_EQ(after.loads.size(), 1u);
}

TEST_F(ModelMachineTest, ShowsHowFarAFetchHasCome) {
  MachineEffects effects;
  machine_->Step(now_, steady_, effects);
  ASSERT_EQ(effects.loads.size(), 1u);
  effects.loads[0].progress->done = 12'000'000;
  effects.loads[0].progress->total = 48'000'000;
  VersionStatus shown = machine_->GetStatus().versions.at(0);
  EXPECT_EQ(shown.fetched_bytes, 12'000'000);
  EXPECT_EQ(shown.fetch_total_bytes, 48'000'000);
  EXPECT_EQ(machine_->GetStatus().note, "1: 25% of 48 MB fetched");
}

}  // namespace
}  // namespace leadsman
