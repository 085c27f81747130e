#include "lifecycle/model_machine.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
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
                                              std::make_shared<LifecycleInbox>(), 30s, 24h);
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

TEST_F(ModelMachineTest, WhatHasFailedElsewhereIsNotChargedToWhatIsHere) {
  config_.load_retries = 0;
  machine_->Configure(std::make_shared<const ModelConfig>(config_));
  MachineEffects effects;
  machine_->Step(now_, steady_, effects);
  ASSERT_EQ(effects.loads.size(), 1u);
  config_.path = "s3://bucket/other";
  machine_->Configure(std::make_shared<const ModelConfig>(config_));
  machine_->OnListing(
      std::vector<VersionFolder>{{.version = 1, .complete = true, .manifest = {.inode = 2}}}, now_,
      effects);
  LoadDone done{.model = "digits", .version = 1};
  done.outcome.status = DataLossError("wrong sha256");
  done.outcome.retry = false;
  machine_->OnLoadDone(std::move(done), 0, now_, steady_, effects);
  EXPECT_EQ(machine_->FailedVersions(), std::vector<int64_t>{});
  MachineEffects next;
  machine_->Step(now_, steady_, next);
  ASSERT_EQ(next.loads.size(), 1u);
  EXPECT_EQ(next.loads[0].source, machine_->source());
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

TEST_F(ModelMachineTest, AStoreThatDoesNotAnswerIsTold) {
  config_.path = "/models/digits";
  ModelMachine machine(std::make_shared<const ModelConfig>(config_), stores_,
                       std::make_shared<LifecycleInbox>(), 30s, 24h);
  EXPECT_EQ(machine.WhyNotReady()->state, "empty");
  machine.OnSilence({.seconds = 12});
  const std::string folder = StrCat("the folder ", config_.path);
  EXPECT_EQ(machine.GetStatus().note, folder + " has not answered for 12 s");
  EXPECT_EQ(machine.WhyNotReady()->state, "fetching");
  EXPECT_EQ(machine.WhyNotReady()->detail, folder + " has not answered for 12 s");
  EXPECT_EQ(machine.GetStatus().silent_seconds, 12);
  machine.OnSilence({.seconds = 13, .asked = false});
  EXPECT_EQ(machine.GetStatus().note,
            folder + " has not been looked at for 13 s: too many others do not answer");
  machine.OnSilence({});
  EXPECT_EQ(machine.GetStatus().note, "");
}

TEST(ModelStateTest, OneWordForAModel) {
  using enum VersionState;
  auto name = [](std::vector<VersionState> states) {
    ModelStatus model;
    for (VersionState state : states) model.versions.push_back({.state = state});
    return std::string(ModelStateName(model));
  };
  EXPECT_EQ(name({}), "empty");
  EXPECT_EQ(name({kGone}), "empty");
  EXPECT_EQ(name({kNew}), "new");
  EXPECT_EQ(name({kReady, kFailed}), "ready");
  EXPECT_EQ(name({kLoading, kFailed}), "loading") << "the next lower is tried in its stead";
  EXPECT_EQ(name({kFailed, kWarming}), "warming");
  EXPECT_EQ(name({kDraining, kFailed}), "failed");
  EXPECT_EQ(name({kUnloading, kGone}), "unloading");
  EXPECT_EQ(name({kGone, kVerifying}), "verifying");
  ModelStatus waits;
  waits.versions.push_back({.state = kFailed, .waits_for_room = true});
  EXPECT_EQ(ModelStateName(waits), "memory");
}

/// A process that begins while the store is away.
class FromCacheTest : public ModelMachineTest {
 protected:
  FromCacheTest() { Begin("s3://bucket/digits"); }
  void Begin(const std::string& path) {
    config_.path = path;
    machine_ = std::make_unique<ModelMachine>(std::make_shared<const ModelConfig>(config_), stores_,
                                              std::make_shared<LifecycleInbox>(), 30s, 24h);
  }
  void LookFails(const Status& why, const Result<RecalledVersions>& recalled) {
    machine_->OnListing(why, now_, effects_);
    machine_->OnRecalled(recalled, why, now_, effects_);
  }
  RecalledVersions Recalled(std::vector<VersionFolder> folders) const {
    return {.folders = std::move(folders), .listed_at = now_ - 1h};
  }
  std::vector<int64_t> Loads() {
    MachineEffects effects;
    machine_->Step(now_, steady_, effects);
    std::vector<int64_t> versions;
    for (const LoadRequest& load : effects.loads) versions.push_back(load.version);
    return versions;
  }
  void Load(int64_t version, Status status = OkStatus()) {
    LoadDone done{.model = "digits", .version = version};
    done.outcome.status = std::move(status);
    if (done.outcome.status.ok()) {
      done.outcome.servable = std::make_unique<ServableVersion>();
      done.outcome.servable->model_name = "digits";
      done.outcome.servable->version = version;
      done.outcome.servable->config = std::make_shared<const ModelConfig>(config_);
      done.outcome.servable->model = std::make_unique<NoModel>();
    }
    machine_->OnLoadDone(std::move(done), 1, now_, steady_, effects_);
  }

  struct NoModel final : LoadedModel {
    NoModel() : LoadedModel(Signature()) {}
    Result<std::unique_ptr<ExecutionContext>> NewContext(size_t) override {
      return UnimplementedError("none");
    }
  };
  const VersionFolder one_{.version = 1, .complete = true, .manifest = {.inode = 1}};
  const VersionFolder two_{.version = 2, .complete = true, .manifest = {.inode = 2}};
};

TEST_F(FromCacheTest, ThePolicyChoosesAmongWhatTheCacheHas) {
  VersionFolder torn = two_;
  torn.complete = false;
  torn.waiting = "not whole in the cache: model.onnx is missing";
  LookFails(UnavailableError("cannot reach s3"), Recalled({one_, torn}));
  EXPECT_EQ(Loads(), std::vector<int64_t>{1});
  Load(1);
  EXPECT_FALSE(machine_->WhyNotReady().has_value());
  ModelStatus status = machine_->GetStatus();
  EXPECT_EQ(status.from_cache_since, now_);
  EXPECT_EQ(status.note,
            "not listed by its store since 2026-03-01T12:34:56.000Z (cannot reach s3); served "
            "from the cache as last listed at 2026-03-01T11:34:56.000Z, may not be the newest; "
            "2: not whole in the cache: model.onnx is missing");
}

TEST_F(FromCacheTest, TheStoreTakesOverWithoutAReload) {
  LookFails(UnavailableError("cannot reach s3"), Recalled({one_}));
  EXPECT_EQ(Loads(), std::vector<int64_t>{1});
  Load(1);
  EXPECT_FALSE(machine_->NothingKnown());
  machine_->OnListing(UnavailableError("cannot reach s3"), now_ + 1min, effects_);
  EXPECT_EQ(machine_->GetStatus().from_cache_since, now_) << "since the first look that failed";

  machine_->OnListing(std::vector<VersionFolder>{one_}, now_ + 1h, effects_);
  EXPECT_EQ(Loads(), std::vector<int64_t>{}) << "it is the same version";
  EXPECT_EQ(machine_->GetStatus().note, "");
  EXPECT_FALSE(machine_->GetStatus().from_cache_since.has_value());
  machine_->OnListing(std::vector<VersionFolder>{one_, two_}, now_ + 2h, effects_);
  EXPECT_EQ(Loads(), std::vector<int64_t>{2});
  EXPECT_EQ(machine_->GetStatus().versions.at(0).state, VersionState::kReady) << "it serves on";
}

TEST_F(FromCacheTest, WhatWasDamagedInTheCacheIsTriedOnceTheStoreAnswers) {
  LookFails(UnavailableError("cannot reach s3"), Recalled({one_}));
  EXPECT_EQ(Loads(), std::vector<int64_t>{1});
  Load(1, UnavailableError("damaged in the cache"));
  EXPECT_EQ(Loads(), std::vector<int64_t>{});
  machine_->OnListing(std::vector<VersionFolder>{one_}, now_, effects_);
  EXPECT_EQ(Loads(), std::vector<int64_t>{1});
}

TEST_F(FromCacheTest, WhoIsRefusedIsNotServedFromTheCache) {
  for (const Status& why : {Status(StatusCode::kUnauthenticated, "keys refused"),
                            PermissionDeniedError("keys refused")}) {
    LookFails(why, Recalled({one_}));
    EXPECT_EQ(Loads(), std::vector<int64_t>{});
    EXPECT_EQ(machine_->GetStatus().note,
              "keys refused; what the cache has is not served to whom the store refuses");
  }
  LookFails(NotFoundError("there is no bucket"), Recalled({one_}));
  EXPECT_EQ(Loads(), std::vector<int64_t>{});
  EXPECT_EQ(
      machine_->GetStatus().note,
      "there is no bucket; what the cache has is served only while the store is out of reach, "
      "and it answered");
}

TEST_F(FromCacheTest, ADamagedRecordIsTold) {
  LookFails(UnavailableError("cannot reach s3"), DataLossError("the cache's record x is damaged"));
  EXPECT_EQ(Loads(), std::vector<int64_t>{});
  EXPECT_EQ(machine_->GetStatus().note,
            "cannot reach s3; the cache cannot stand in: the cache's record x is damaged");
}

TEST_F(FromCacheTest, ACacheWithNothingWholeServesNothing) {
  VersionFolder torn = two_;
  torn.complete = false;
  torn.waiting = "not whole in the cache: model.onnx is missing";
  LookFails(UnavailableError("cannot reach s3"), Recalled({torn}));
  EXPECT_TRUE(machine_->NothingKnown());
  EXPECT_FALSE(machine_->GetStatus().from_cache_since.has_value());
  EXPECT_EQ(machine_->GetStatus().note,
            "cannot reach s3; the cache cannot stand in: version 2 is not whole in the cache: "
            "model.onnx is missing");
}

TEST_F(FromCacheTest, AnEmptyCacheIsNotWorthAWord) {
  LookFails(UnavailableError("cannot reach s3"), Recalled({}));
  LookFails(UnavailableError("cannot reach s3"), NotFoundError("nothing of it is kept here"));
  EXPECT_TRUE(machine_->NothingKnown());
  EXPECT_EQ(machine_->GetStatus().note, "cannot reach s3");
}

TEST_F(FromCacheTest, AnAliasIsWhereItWas) {
  Begin("models:/digits@champion");
  LookFails(UnavailableError("cannot reach mlflow"), Recalled({one_}));
  EXPECT_NE(machine_->GetStatus().note.find(
                "served from the cache as last listed at 2026-03-01T11:34:56.000Z, with the alias "
                "champion where it was then, may not be the newest"),
            std::string::npos)
      << machine_->GetStatus().note;
}

}  // namespace
}  // namespace leadsman
