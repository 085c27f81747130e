#include "lifecycle/manager.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "backend/testing/fake_backend.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "lifecycle/metrics.h"
#include "lifecycle/testing/model_folder.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class LifecycleTest : public testing::Test {
 protected:
  LifecycleTest() {
    registry_.Register("fake", backend_);
    registry_.RegisterMissing("onnx", UnavailableError("install the package leadsman-onnxruntime"));
    manager_ = std::make_unique<LifecycleManager>(
        LifecycleManager::Deps{clock_, registry_,
                               [this](const std::string& model, int64_t version, VersionState state,
                                      const Status& status) {
                                 history_ += StrCat(version, ":", VersionStateName(state), " ");
                                 if (on_change_) on_change_(model, version, state, status);
                               },
                               nullptr,
                               [this](const ServableVersion& version) {
                                 prepared_ += StrCat(version.version, " ");
                                 return prepare_status_;
                               },
                               [this](const std::string&, int64_t version, uint32_t id) {
                                 forgotten_ += StrCat(version, "#", id, " ");
                               },
                               nullptr,
                               [this](const ServableVersion& version, const std::string& directory,
                                      const std::atomic<bool>&) -> Result<std::vector<Duration>> {
                                 replayed_ += StrCat(version.version, " in ", directory, "; ");
                                 return replay_;
                               }},
        LifecycleManager::Options{.manual = true});
    config_.name = "digits";
    config_.path = ModelFolder(dir_.path(), "digits");
  }
  void Apply() { ASSERT_TRUE(manager_->Apply({config_}).ok()); }
  void Settle() {
    int steps = 0;
    while (manager_->StepForTest()) ASSERT_LT(++steps, 200) << "never comes to rest: " << history_;
  }
  void ApplyAndSettle() {
    Apply();
    Settle();
  }
  void Release(int64_t version) { WriteModelVersion(dir_.path(), "digits", version); }
  fs::path ModelFile(int64_t version) {
    return dir_.path() / "digits" / std::to_string(version) / "model.bin";
  }
  std::string Ready() {
    std::string text;
    auto table = manager_->table().Get();
    auto it = table->models.find("digits");
    if (it == table->models.end()) return "unknown";
    for (const auto& [version, handle] : it->second.ready) text += StrCat(version, " ");
    return text;
  }
  Handle Take(int64_t version) {
    return manager_->table().Get()->models.find("digits")->second.ready.at(version);
  }
  VersionStatus StatusOf(int64_t version) {
    ModelStatus status = manager_->GetStatus("digits").value();
    for (const VersionStatus& v : status.versions) {
      if (v.version == version) return v;
    }
    ADD_FAILURE() << "version " << version << " is not listed";
    return {};
  }
  std::string Note() { return manager_->GetStatus("digits").value().note; }
  bool NoteHas(const std::string& text) { return Note().find(text) != std::string::npos; }

  TempDir dir_;
  FakeClock clock_;
  std::string replayed_;
  Result<std::vector<Duration>> replay_ = std::vector<Duration>();
  std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  BackendRegistry registry_;
  std::string history_;
  std::string prepared_;
  Status prepare_status_;
  std::string forgotten_;  ///< version#id
  std::function<void(const std::string&, int64_t, VersionState, const Status&)> on_change_;
  ModelConfig config_;
  std::unique_ptr<LifecycleManager> manager_;
};

TEST_F(LifecycleTest, AVersionPassesThroughEveryState) {
  Release(1);
  ApplyAndSettle();
  EXPECT_EQ(history_, "1:fetching 1:verifying 1:loading 1:warming 1:ready ");
  EXPECT_EQ(Ready(), "1 ");
  VersionStatus status = StatusOf(1);
  EXPECT_EQ(status.state, VersionState::kReady);
  EXPECT_EQ(status.backend, "fake");
  EXPECT_EQ(status.format, "fake");
  EXPECT_EQ(status.execution, "inline");
  EXPECT_TRUE(manager_->SettledOnce());
  EXPECT_EQ(Note(), "");

  ASSERT_TRUE(manager_->Apply({}).ok());
  Settle();
  EXPECT_EQ(history_,
            "1:fetching 1:verifying 1:loading 1:warming 1:ready 1:draining 1:unloading 1:gone ");
  EXPECT_EQ(backend_->loaded_now, 0);
  EXPECT_EQ(Ready(), "unknown");
  EXPECT_EQ(manager_->GetStatus("digits").status().code(), StatusCode::kNotFound);
}

TEST_F(LifecycleTest, KeepsTheOldVersionUntilTheNewOneIsReady) {
  Release(1);
  ApplyAndSettle();
  Release(2);
  std::string during;
  backend_->on_load = [&](const LoadSpec&) {
    during = Ready();
    return OkStatus();
  };
  Settle();
  EXPECT_EQ(during, "1 ");
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(StatusOf(1).state, VersionState::kGone);
  EXPECT_EQ(backend_->loaded_now, 1);
}

TEST_F(LifecycleTest, AVersionThatCannotBePreparedFailsAndTheOldOneGoesOn) {
  Release(1);
  ApplyAndSettle();
  prepare_status_ = ResourceExhaustedError("no threads left");
  Release(2);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(2).state, VersionState::kFailed);
  EXPECT_NE(StatusOf(2).status.message().find("no threads left"), std::string::npos);
  EXPECT_EQ(backend_->loaded_now, 1);
  // They may be there the next time.
  prepare_status_ = OkStatus();
  clock_.Advance(config_.load_retry_delay);
  Settle();
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(prepared_, "1 2 2 ");
}

TEST_F(LifecycleTest, AVersionIsForgottenOnceThirtyTwoNewerOnesHaveBeen) {
  for (int64_t version = 1; version <= 33; ++version) {
    EXPECT_EQ(forgotten_, "");
    Release(version);
    ApplyAndSettle();
  }
  EXPECT_EQ(forgotten_, "1#1 ");
  EXPECT_EQ(Take(33)->id, 33u);
  // Loaded again it is another one for whoever counts by ids.
  config_.policy = {.kind = VersionPolicy::Kind::kSpecific, .specific = {1, 20}};
  ApplyAndSettle();
  EXPECT_EQ(Take(1)->id, 34u);
  EXPECT_EQ(Take(20)->id, 20u);
  EXPECT_EQ(forgotten_, "1#1 ");
  forgotten_.clear();
  ASSERT_TRUE(manager_->Apply({}).ok());
  Settle();
  EXPECT_TRUE(forgotten_.starts_with("1#34 2#2 ") && forgotten_.ends_with(" 33#33 ")) << forgotten_;
}

TEST_F(LifecycleTest, AVersionIsForgottenOnceItHasBeenGoneForADay) {
  Release(1);
  ApplyAndSettle();
  Release(2);
  ApplyAndSettle();
  ASSERT_EQ(StatusOf(1).state, VersionState::kGone);
  clock_.Advance(std::chrono::hours(23));
  Settle();
  EXPECT_EQ(forgotten_, "");
  clock_.Advance(std::chrono::hours(1));
  Settle();
  EXPECT_EQ(forgotten_, "1#1 ");
  EXPECT_EQ(StatusOf(1).state, VersionState::kGone) << "it is still told of";
  clock_.Advance(std::chrono::hours(48));
  Settle();
  EXPECT_EQ(forgotten_, "1#1 ") << "once; and what is ready is not forgotten";
  // Loaded again it is another one for whoever counts by ids.
  config_.policy = {.kind = VersionPolicy::Kind::kSpecific, .specific = {1}};
  ApplyAndSettle();
  EXPECT_EQ(Take(1)->id, 3u);
}

TEST_F(LifecycleTest, ATamperedVersionIsNeverServedAndTheOldOneGoesOn) {
  Release(1);
  ApplyAndSettle();
  Manifest manifest = WriteModelFiles(dir_.path(), "digits", 2);
  std::fstream(ModelFile(2), std::ios::in | std::ios::out) << "X";  // same size, other content
  WriteManifest(dir_.path(), manifest);
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(2).state, VersionState::kFailed);
  EXPECT_EQ(StatusOf(2).status.code(), StatusCode::kDataLoss);
  EXPECT_NE(StatusOf(2).status.message().find("has sha256"), std::string::npos);
  EXPECT_EQ(backend_->loads, 1);
}

TEST_F(LifecycleTest, AConfigPbtxtThatCannotBeHonouredFailsTheLoadUntilItIsChanged) {
  Release(1);
  const fs::path file = fs::path(config_.path) / kTritonConfigName;
  std::ofstream(file) << "instance_group [ { count: 3 } ]\nsequence_batching { }";
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "");
  EXPECT_EQ(StatusOf(1).state, VersionState::kFailed);
  EXPECT_EQ(StatusOf(1).status.message(),
            "config.pbtxt:2:1: sequence_batching: models with a state between requests are not "
            "supported (not tried again until its files change or the model is refreshed)");
  EXPECT_EQ(backend_->loads, 0);

  std::ofstream(file) << "instance_group [ { count: 3 } ]";
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(Take(1)->config->instances, 3);
  EXPECT_EQ(StatusOf(1).execution, "instances");
  ASSERT_TRUE(Take(1)->triton);
}

TEST_F(LifecycleTest, AVersionThatIsNotWhatItsConfigPbtxtSaysIsNotLoaded) {
  Release(1);
  ApplyAndSettle();
  std::ofstream(fs::path(config_.path) / kTritonConfigName)
      << "max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 5 }";
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(2).state, VersionState::kFailed);
  EXPECT_TRUE(
      StatusOf(2).status.message().starts_with("config.pbtxt says that the input x is FP32[-1,5]"))
      << StatusOf(2).status;
}

TEST_F(LifecycleTest, TheVersionPolicyOfAConfigPbtxtHoldsFromTheNextLookOn) {
  for (int64_t version : {1, 2, 3}) Release(version);
  std::ofstream(fs::path(config_.path) / kTritonConfigName) << "version_policy { all { } }";
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 2 3 ");
  std::ofstream(fs::path(config_.path) / kTritonConfigName)
      << "version_policy { specific { versions: 2 } }";
  Settle();
  EXPECT_EQ(Ready(), "2 ");
}

TEST_F(LifecycleTest, AVersionIsLoadedAnewWhenItsConfigPbtxtChangesAndServesMeanwhile) {
  Release(1);
  const fs::path file = fs::path(config_.path) / kTritonConfigName;
  std::ofstream(file) << "instance_group [ { count: 2 } ]";
  ApplyAndSettle();
  Handle old = Take(1);
  EXPECT_EQ(old->config->instances, 2);
  std::string during;
  backend_->on_load = [&](const LoadSpec&) {
    during = Ready();
    return OkStatus();
  };
  std::ofstream(file) << "instance_group [ { count: 3 } ]";
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_EQ(during, "1 ") << "it serves meanwhile";
  EXPECT_EQ(Take(1)->config->instances, 3);
  EXPECT_EQ(Take(1)->id, old->id);
  EXPECT_EQ(backend_->loads, 2);
  EXPECT_EQ(Note(), "");
  old = nullptr;
  Settle();
  EXPECT_EQ(backend_->loaded_now, 1);

  std::ofstream(file) << "instance_group [ { count: 3 } ] # only a word";
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_EQ(backend_->loads, 2) << "it says the same";

  // What cannot be honoured, or does not fit the model, changes nothing but the note.
  std::ofstream(file) << "sequence_batching { }";
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_TRUE(
      NoteHas("1: config.pbtxt has changed; it is served as it was before: config.pbtxt:1:1: "
              "sequence_batching"))
      << Note();
  std::ofstream(file) << "max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 5 }";
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_TRUE(NoteHas("it is served as it was before: config.pbtxt says that the input x"))
      << Note();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(Take(1)->config->instances, 3);
  const int loads = backend_->loads;
  clock_.Advance(1h);
  Settle();
  EXPECT_EQ(backend_->loads, loads) << "not tried again until it changes";

  fs::remove(file);
  for (int i = 0; i < 3; ++i) Settle();
  EXPECT_EQ(Take(1)->config->instances, 0);
  EXPECT_EQ(Note(), "");
}

TEST_F(LifecycleTest, AFolderThatIsAwayTakesNoVersionPolicyWithIt) {
  for (int64_t version : {1, 2}) Release(version);
  std::ofstream(fs::path(config_.path) / kTritonConfigName) << "version_policy { all { } }";
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 2 ");
  fs::rename(config_.path, config_.path + ".away");
  Settle();
  EXPECT_EQ(Ready(), "1 2 ");
  fs::rename(config_.path + ".away", config_.path);
  Settle();
  EXPECT_EQ(Ready(), "1 2 ");
}

TEST_F(LifecycleTest, ATruncatedOrMissingFileFailsWithTheReason) {
  Release(1);
  ApplyAndSettle();
  Release(2);
  fs::resize_file(ModelFile(2), 3);
  Release(3);
  fs::remove(ModelFile(3));
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_NE(StatusOf(2).status.message().find("has 3 bytes"), std::string::npos);
  EXPECT_NE(StatusOf(3).status.message().find("model.bin"), std::string::npos);
}

TEST_F(LifecycleTest, AfterARestartABrokenNewestVersionFallsBackToTheOneBefore) {
  Release(1);
  Release(2);
  fs::resize_file(ModelFile(2), 3);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_TRUE(manager_->SettledOnce());
}

TEST_F(LifecycleTest, AManifestThatLiesIsRefusedWithBothTypes) {
  struct Case {
    Signature signature;
    std::string message;
  };
  const TensorSpec x{"x", DataType::kFp32, {-1, 4}};
  const TensorSpec label{"label", DataType::kInt64, {-1}};
  const Case cases[] = {
      {{{{"x", DataType::kFp64, {-1, 4}}}, {label}},
       "the input x is FP64[-1,4], the model's is FP32[-1,4]"},
      {{{{"x", DataType::kFp32, {-1, 64}}}, {label}},
       "the input x is FP32[-1,64], the model's is FP32[-1,4]"},
      {{{x}, {{"label", DataType::kInt64, {-1, 1}}}}, "the output label is INT64[-1,1]"},
      {{{x}, {{"score", DataType::kFp32, {-1}}}},
       "names the output score, the model has none of that name; it has label and probabilities"},
      {{{}, {label}},
       "the model needs the input x (FP32[-1,4]), which manifest.json does not name"},
  };
  Release(1);
  ApplyAndSettle();
  int64_t version = 1;
  for (const Case& c : cases) {
    Manifest manifest = WriteModelFiles(dir_.path(), "digits", ++version);
    manifest.signature = c.signature;
    WriteManifest(dir_.path(), manifest);
    Settle();
    std::string message(StatusOf(version).status.message());
    EXPECT_EQ(StatusOf(version).status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(message.find(c.message), std::string::npos) << message;
    RemoveModelVersion(dir_.path(), "digits", version);
  }
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(backend_->loaded_now, 1);

  Manifest honest = WriteModelFiles(dir_.path(), "digits", ++version);
  honest.signature = {{{"x", DataType::kFp32, {-1, -1}}}, {label}};
  WriteManifest(dir_.path(), honest);
  Settle();
  EXPECT_EQ(Ready(), StrCat(version, " "));
}

TEST_F(LifecycleTest, AFolderWithoutManifestIsWaitedForAndSaysSo) {
  Manifest manifest = WriteModelFiles(dir_.path(), "digits", 3);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "");
  EXPECT_TRUE(NoteHas("3: no model is recognised; looked for ")) << Note();
  EXPECT_EQ(StatusOf(3).state, VersionState::kNew);
  EXPECT_FALSE(manager_->SettledOnce());
  WriteManifest(dir_.path(), manifest);
  Settle();
  EXPECT_EQ(Ready(), "3 ");
  EXPECT_EQ(Note(), "");
}

TEST_F(LifecycleTest, WhatWasWaitedForAndIsNotWantedIsNotListed) {
  Release(2);
  Manifest manifest = WriteModelFiles(dir_.path(), "digits", 1);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(StatusOf(1).state, VersionState::kNew);
  WriteManifest(dir_.path(), manifest);
  Settle();
  ASSERT_EQ(manager_->GetStatus("digits")->versions.size(), 1u);
  EXPECT_EQ(manager_->GetStatus("digits")->versions[0].version, 2);
}

TEST_F(LifecycleTest, AMissingModelPathIsNotedAndLookedForAgain) {
  ApplyAndSettle();
  EXPECT_TRUE(NoteHas(config_.path)) << Note();
  EXPECT_FALSE(manager_->SettledOnce());
  fs::create_directories(config_.path);
  Settle();
  EXPECT_TRUE(NoteHas("no version yet")) << Note();
  EXPECT_TRUE(NoteHas(config_.path + " holds no version folder")) << Note();
  EXPECT_TRUE(NoteHas("is it mounted?")) << Note();
  EXPECT_TRUE(NoteHas("Add a version as a folder 1 in it, or remove the model")) << Note();
  EXPECT_FALSE(manager_->SettledOnce());
  Release(1);
  Settle();
  EXPECT_EQ(Ready(), "1 ");
}

TEST_F(LifecycleTest, AStoreThatCannotBeListedTakesNothingAway) {
  Release(1);
  ApplyAndSettle();
  fs::rename(config_.path, config_.path + ".away");
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_TRUE(NoteHas("cannot")) << Note();
  fs::rename(config_.path + ".away", config_.path);
  Settle();
  EXPECT_EQ(Note(), "");
}

TEST_F(LifecycleTest, AFailedLoadIsTriedAgainAfterTheDelayAndNotForEver) {
  Release(1);
  config_.load_retries = 2;
  backend_->on_load = [](const LoadSpec&) { return InternalError("out of luck"); };
  ApplyAndSettle();
  EXPECT_EQ(backend_->loads, 1);
  EXPECT_NE(StatusOf(1).status.message().find("out of luck (attempt 1 of 3, the next in 2000 ms)"),
            std::string::npos);
  EXPECT_FALSE(manager_->SettledOnce());
  clock_.Advance(1999ms);
  Settle();
  EXPECT_EQ(backend_->loads, 1);
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(2s);
    Settle();
  }
  EXPECT_EQ(backend_->loads, 3);
  EXPECT_TRUE(manager_->SettledOnce());
  EXPECT_NE(StatusOf(1).status.message().find("not tried again until its files change"),
            std::string::npos);
}

TEST_F(LifecycleTest, ReadinessWaitsForRequiredModelsAndSaysWhatIsMissing) {
  ApplyAndSettle();
  std::vector<UnreadyModel> unready = manager_->NotReady();
  ASSERT_EQ(unready.size(), 1u);
  EXPECT_EQ(unready[0].model, "digits");
  EXPECT_EQ(unready[0].state, "empty");

  config_.load_retries = 0;
  backend_->on_load = [](const LoadSpec&) { return InternalError("out of luck"); };
  Release(1);
  Settle();
  unready = manager_->NotReady();
  ASSERT_EQ(unready.size(), 1u);
  EXPECT_EQ(unready[0].state, "failed");
  EXPECT_NE(unready[0].detail.find("version 1 is failed: out of luck"), std::string::npos)
      << unready[0].detail;

  backend_->on_load = nullptr;
  Release(2);
  Settle();
  EXPECT_TRUE(manager_->NotReady().empty());

  // A model that is added while others serve takes nobody out of service.
  ModelConfig other = config_;
  other.name = "other";
  other.path = (dir_.path() / "nowhere").string();
  ASSERT_TRUE(manager_->Apply({config_, other}).ok());
  Settle();
  EXPECT_TRUE(manager_->NotReady().empty());
}

TEST_F(LifecycleTest, AModelThatIsNotRequiredIsNotWaitedFor) {
  config_.required = false;
  ApplyAndSettle();
  EXPECT_TRUE(manager_->NotReady().empty());
  EXPECT_TRUE(manager_->SettledOnce());
}

TEST_F(LifecycleTest, AVersionThatFailedForGoodIsTriedAgainWhenItsFilesChange) {
  Release(1);
  config_.load_retries = 0;
  std::string content = ReadFile(ModelFile(1).string(), 1000).value();
  fs::resize_file(ModelFile(1), 3);
  ApplyAndSettle();
  for (int i = 0; i < 5; ++i) manager_->StepForTest();
  EXPECT_EQ(manager_->GetCounters()["digits"].loads_failed, 1u);
  std::ofstream(ModelFile(1), std::ios::binary) << content;
  for (int i = 0; i < 5; ++i) manager_->StepForTest();
  EXPECT_EQ(Ready(), "1 ");
}

TEST_F(LifecycleTest, AMissingRuntimeSaysWhichAndIsNotTriedAgain) {
  WriteModelVersion(dir_.path(), "digits", 1, "onnx");
  WriteModelVersion(dir_.path(), "digits", 2, "pickle");
  config_.policy.kind = VersionPolicy::Kind::kAll;
  ApplyAndSettle();
  EXPECT_EQ(StatusOf(1).status.code(), StatusCode::kUnavailable);
  EXPECT_NE(StatusOf(1).status.message().find("leadsman-onnxruntime"), std::string::npos);
  EXPECT_EQ(StatusOf(2).status.code(), StatusCode::kUnimplemented);
  EXPECT_NE(StatusOf(2).status.message().find("pickle"), std::string::npos);
  EXPECT_TRUE(manager_->SettledOnce());
}

TEST_F(LifecycleTest, AWarmUpThatFailsIsAFailedLoad) {
  Release(1);
  backend_->run = [](int64_t, std::span<const TensorView>, std::vector<Tensor>&) {
    return InternalError("no kernel");
  };
  ApplyAndSettle();
  EXPECT_EQ(StatusOf(1).state, VersionState::kFailed);
  EXPECT_NE(StatusOf(1).status.message().find("warm-up"), std::string::npos);
  EXPECT_EQ(backend_->loaded_now, 0);
}

TEST_F(LifecycleTest, TheExecutionModeFollowsTheMeasuredCost) {
  config_.auto_batching = false;
  Release(1);
  Duration cost = 100us;
  std::vector<int64_t> rows;
  backend_->run = [&](int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    rows.push_back(inputs[0].shape[0]);
    clock_.Advance(cost);
    outputs[0].shape() = {1};
    outputs[0].Push<int64_t>(0);
    outputs[1].shape() = {1, 3};
    for (int i = 0; i < 3; ++i) outputs[1].Push<float>(0);
    return OkStatus();
  };
  ApplyAndSettle();
  EXPECT_EQ(rows, std::vector<int64_t>(5, 1));
  EXPECT_EQ(StatusOf(1).execution, "inline");
  EXPECT_EQ(StatusOf(1).warm_cost, 100us);
  EXPECT_TRUE(Take(1)->run_inline);
  cost = 3ms;
  Release(2);
  Settle();
  EXPECT_EQ(StatusOf(2).execution, "pool");
  EXPECT_FALSE(Take(2)->run_inline);
}

TEST_F(LifecycleTest, TheSizesToWhichBatchesArePaddedAreWarmedUp) {
  config_.batching.emplace().allowed_batch_sizes = {4, 16, 64};
  config_.warmup_requests = 1;
  std::vector<int64_t> rows;
  backend_->run = [&](int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    rows.push_back(inputs[0].shape[0]);
    if (rows.back() == 64) return ResourceExhaustedError("too many rows");
    const auto count = static_cast<size_t>(rows.back());
    outputs[0].shape() = {rows.back()};
    outputs[1].shape() = {rows.back(), 3};
    for (size_t i = 0; i < count; ++i) outputs[0].Push<int64_t>(0);
    for (size_t i = 0; i < 3 * count; ++i) outputs[1].Push<float>(0);
    return OkStatus();
  };
  Release(1);
  ApplyAndSettle();
  EXPECT_EQ(rows, (std::vector<int64_t>{1, 4, 16, 64}));
  EXPECT_EQ(Ready(), "1 ");  // what the model refuses is its requests' matter

  rows.clear();
  config_.warmup_requests = 0;
  Release(2);
  ApplyAndSettle();
  EXPECT_EQ(rows, std::vector<int64_t>());
}

TEST_F(LifecycleTest, RequestsThatLieBesideTheModelWarmItUpInsteadOfZeros) {
  int zeros = 0;
  backend_->run = [&](int64_t, std::span<const TensorView>, std::vector<Tensor>&) {
    ++zeros;
    return InternalError("no kernel for zeros");
  };
  replay_ = std::vector<Duration>{9ms, 3ms, 5ms};
  Release(1);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(replayed_, StrCat("1 in ", (dir_.path() / "digits" / "1").string(), "; "));
  EXPECT_EQ(StatusOf(1).warm_cost, 5ms);
  EXPECT_EQ(StatusOf(1).execution, "pool");
  EXPECT_EQ(manager_->GetCounters().at("digits").warmup_requests, 3u);
  EXPECT_EQ(zeros, 0);

  replay_ = DataLossError("requests: the record at byte 0 is corrupt");
  config_.load_retries = 0;
  Release(2);
  ApplyAndSettle();
  EXPECT_EQ(StatusOf(2).state, VersionState::kFailed);
  EXPECT_NE(StatusOf(2).status.message().find("the record at byte 0 is corrupt"),
            std::string::npos);
  EXPECT_EQ(Ready(), "1 ");

  config_.warmup_repeats = 0;
  config_.warmup_requests = 0;
  replayed_.clear();
  Release(3);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "3 ");
  EXPECT_EQ(replayed_, "");
}

TEST_F(LifecycleTest, AVersionInUseIsUnloadedLaterAndNotByItsUser) {
  Release(1);
  ApplyAndSettle();
  Handle handle = Take(1);
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(StatusOf(1).state, VersionState::kDraining);
  EXPECT_EQ(backend_->loaded_now, 2);

  clock_.Advance(31s);
  Settle();
  manager_->StepForTest();
  EXPECT_EQ(StatusOf(1).status.code(), StatusCode::kDeadlineExceeded);

  handle = nullptr;  // this thread is the request's: it must not have unloaded anything
  EXPECT_EQ(backend_->loaded_now, 2);
  Settle();
  EXPECT_EQ(backend_->loaded_now, 1);
  EXPECT_EQ(StatusOf(1).state, VersionState::kGone);
}

TEST_F(LifecycleTest, ADrainingVersionThatIsWantedAgainIsTakenBack) {
  Release(1);
  ApplyAndSettle();
  Handle handle = Take(1);
  Release(2);
  Settle();
  manager_->SetPins("digits", {.keep = {1}, .exclude = {2}});
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(Take(1), handle);
  EXPECT_EQ(backend_->loads, 2);
}

TEST_F(LifecycleTest, PinsKeepAndExclude) {
  Release(1);
  ApplyAndSettle();
  manager_->SetPins("digits", {.keep = {1}});
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "1 2 ");
  manager_->SetPins("digits", {.keep = {1}, .exclude = {2}});
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(2).state, VersionState::kGone);
  manager_->SetPins("digits", {});
  Settle();
  EXPECT_EQ(Ready(), "2 ");
}

TEST_F(LifecycleTest, PinsSetByTheCallbackComeBeforeTheOldVersionGoes) {
  Release(1);
  ApplyAndSettle();
  on_change_ = [&](const std::string& model, int64_t version, VersionState state, const Status&) {
    if (version == 2 && state == VersionState::kReady) manager_->SetPins(model, {.keep = {1, 2}});
  };
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "1 2 ");
  EXPECT_EQ(history_.find("1:draining"), std::string::npos);
}

TEST_F(LifecycleTest, ARemovedFolderIsDrainedUnlessItsVersionIsPinned) {
  Release(1);
  Release(2);
  config_.policy.latest = 2;
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 2 ");
  manager_->SetPins("digits", {.keep = {1}});
  RemoveModelVersion(dir_.path(), "digits", 1);
  RemoveModelVersion(dir_.path(), "digits", 2);
  Settle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_TRUE(NoteHas("1: its folder is gone; it serves on because it is pinned")) << Note();
  manager_->SetPins("digits", {});
  Settle();
  EXPECT_EQ(Ready(), "");
}

TEST_F(LifecycleTest, PoliciesChangeByReload) {
  for (int64_t version : {1, 2, 3}) Release(version);
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "3 ");
  config_.policy.latest = 2;
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "2 3 ");
  config_.policy.kind = VersionPolicy::Kind::kAll;
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 2 3 ");
  config_.policy.kind = VersionPolicy::Kind::kSpecific;
  config_.policy.specific = {1};
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(backend_->loads, 3);
}

TEST_F(LifecycleTest, AReloadWithAWrongModelChangesNothing) {
  Release(1);
  ApplyAndSettle();
  ModelConfig nameless;
  Status status = manager_->Apply({config_, config_, nameless});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("configured twice"), std::string::npos);
  EXPECT_NE(status.message().find("path must not be empty"), std::string::npos);
  Settle();
  EXPECT_EQ(Ready(), "1 ");
}

TEST_F(LifecycleTest, AChangedPathKeepsWhatIsReadyUntilTheNewOneIs) {
  Release(1);
  ApplyAndSettle();
  config_.path = ModelFolder(dir_.path(), "elsewhere/digits");
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  WriteModelVersion(dir_.path() / "elsewhere", "digits", 2);
  Settle();
  EXPECT_EQ(Ready(), "2 ");
}

TEST_F(LifecycleTest, ResourcePreservingNeverHasTwoInMemory) {
  Release(1);
  config_.swap = SwapPolicy::kResourcePreserving;
  ApplyAndSettle();
  int most = 0;
  backend_->on_load = [&](const LoadSpec&) {
    most = std::max(most, backend_->loaded_now.load());
    return OkStatus();
  };
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(most, 0);
}

TEST_F(LifecycleTest, ALabelIsNamedLikeAModel) {
  Release(1);
  ApplyAndSettle();
  for (const char* bad : {"", "a b", "-x", "a/b", "ü"}) {
    const Status refused = manager_->SetLabel("digits", bad, 1);
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_EQ(manager_->SetLabel("digits", "a b", 1).message(),
            "the label \"a b\" may contain letters, digits and _ - . only, no spaces");
  EXPECT_TRUE(manager_->SetLabel("digits", "blue-2.1", 1).ok());
}

TEST_F(LifecycleTest, LabelsAreVisibleOnceTheirVersionIsReady) {
  Release(1);
  config_.labels = {{"stable", 1}, {"canary", 2}};
  config_.policy.kind = VersionPolicy::Kind::kAll;
  ApplyAndSettle();
  using Labels = std::map<std::string, int64_t>;
  EXPECT_EQ(manager_->GetStatus("digits")->labels, (Labels{{"stable", 1}}));
  EXPECT_TRUE(NoteHas("label canary waits: version 2 is not ready")) << Note();
  EXPECT_EQ(manager_->SetLabel("digits", "stable", 2).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(manager_->SetLabel("iris", "stable", 1).code(), StatusCode::kNotFound);
  Release(2);
  Settle();
  EXPECT_EQ(manager_->GetStatus("digits")->labels, (Labels{{"stable", 1}, {"canary", 2}}));
  ASSERT_TRUE(manager_->SetLabel("digits", "stable", 2).ok());
  EXPECT_EQ(manager_->table().Get()->models.find("digits")->second.labels.at("stable"), 2);

  ApplyAndSettle();  // the same configuration again: what was set by hand stays
  EXPECT_EQ(manager_->GetStatus("digits")->labels.at("stable"), 2);
  config_.labels["stable"] = 3;
  ApplyAndSettle();
  EXPECT_EQ(manager_->GetStatus("digits")->labels, (Labels{{"canary", 2}}));
}

TEST_F(LifecycleTest, AChangedManifestOfAReadyVersionIsNotedAndNotServed) {
  Release(1);
  ApplyAndSettle();
  Manifest other = WriteModelFiles(dir_.path(), "digits", 1);
  other.created_at = "2026-03-01T12:00:00Z";
  WriteManifest(dir_.path(), other);
  Settle();
  EXPECT_EQ(backend_->loads, 1);
  EXPECT_TRUE(NoteHas("its files changed after it was loaded")) << Note();
  Release(2);
  Settle();
  EXPECT_EQ(Ready(), "2 ");
  EXPECT_EQ(Note(), "") << "what is not in memory is not served as it was";
}

TEST_F(LifecycleTest, ARejectedVersionInTheFolderIsListedAsGoneWithoutHavingBeenLoaded) {
  Release(1);
  Release(2);
  manager_->SetPins("digits", {.keep = {1}, .exclude = {2}});
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(2).state, VersionState::kGone);
  EXPECT_TRUE(StatusOf(2).in_folder);
  RemoveModelVersion(dir_.path(), "digits", 2);
  Settle();
  EXPECT_EQ(manager_->GetStatus("digits")->versions.size(), 1u);
}

TEST_F(LifecycleTest, VersionsGoneAreListedUntil32NewerOnesExist) {
  for (int64_t version = 1; version <= 40; ++version) {
    Release(version);
    if (version == 1) {
      ApplyAndSettle();
    } else {
      Settle();
      RemoveModelVersion(dir_.path(), "digits", version - 1);
    }
  }
  Settle();
  ModelStatus status = manager_->GetStatus("digits").value();
  EXPECT_EQ(status.versions.size(), 33u - 1u);
  EXPECT_EQ(status.versions.back().version, 40);
}

TEST_F(LifecycleTest, MetricsSayWhatHappened) {
  Registry registry;
  std::vector<Registry::Registration> registrations = RegisterLifecycleMetrics(*manager_, registry);
  Release(1);
  ApplyAndSettle();
  std::map<std::string, double> values;
  for (const MetricFamily& family : registry.Collect()) {
    for (const MetricSample& sample : family.samples) {
      ASSERT_EQ(sample.label_values.size(), family.description->labels.size());
      values[family.description->name + "{" + Join(sample.label_values, ",") + "}"] =
          family.description->type == MetricType::kHistogram ? static_cast<double>(sample.count)
                                                             : sample.value;
    }
  }
  EXPECT_EQ(values.at("leadsman_lifecycle_versions{digits,ready}"), 1);
  EXPECT_EQ(values.at("leadsman_lifecycle_versions{digits,failed}"), 0);
  EXPECT_EQ(values.at("leadsman_lifecycle_loads_total{digits,ok}"), 1);
  EXPECT_EQ(values.at("leadsman_lifecycle_load_duration_seconds{digits}"), 1);
  EXPECT_TRUE(values.contains("leadsman_lifecycle_version_memory_bytes{digits,1}"));
  EXPECT_FALSE(values.contains("leadsman_lifecycle_unload_returned_bytes{digits,1}"));
}

TEST_F(LifecycleTest, WhatAVersionTookAndGaveBackIsKnownOfEach) {
  Release(1);
  ApplyAndSettle();
  EXPECT_TRUE(StatusOf(1).memory_bytes);
  EXPECT_FALSE(StatusOf(1).returned_bytes);
  Release(2);
  Settle();
  ASSERT_EQ(StatusOf(1).state, VersionState::kGone);
  EXPECT_EQ(StatusOf(1).memory_bytes, 0);
  EXPECT_TRUE(StatusOf(1).returned_bytes);
  EXPECT_TRUE(StatusOf(2).memory_bytes);
  EXPECT_FALSE(StatusOf(2).returned_bytes);
}

TEST_F(LifecycleTest, AnotherPathsVersionOfTheSameNumberTakesTheOldOnesPlaceWithoutAGap) {
  Release(1);
  ApplyAndSettle();
  Handle old = Take(1);
  WriteModelVersion(dir_.path() / "elsewhere", "digits", 1);
  config_.path = ModelFolder(dir_.path(), "elsewhere/digits");
  std::string during;
  backend_->on_load = [&](const LoadSpec& spec) {
    during = StrCat(Ready(), spec.directory);
    return OkStatus();
  };
  ApplyAndSettle();
  EXPECT_EQ(during, StrCat("1 ", config_.path, "/1"));
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_NE(Take(1), old);
  EXPECT_EQ(Take(1)->id, old->id);
  EXPECT_EQ(Note(), "");
  EXPECT_EQ(backend_->loaded_now, 2);
  old = nullptr;
  Settle();
  EXPECT_EQ(backend_->loaded_now, 1);
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_EQ(StatusOf(1).state, VersionState::kReady);
}

TEST_F(LifecycleTest, TheOldPathsVersionServesOnWhileTheNewPathsDoesNotLoad) {
  Release(1);
  ApplyAndSettle();
  WriteModelVersion(dir_.path() / "elsewhere", "digits", 1);
  config_.path = ModelFolder(dir_.path(), "elsewhere/digits");
  backend_->on_load = [&](const LoadSpec&) { return UnavailableError("the GPU is away"); };
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
  EXPECT_TRUE(NoteHas("1: served from the model's former path until it is loaded from ")) << Note();
  EXPECT_TRUE(NoteHas("the GPU is away")) << Note();
  backend_->on_load = nullptr;
  clock_.Advance(3s);  // 2 s, and a quarter of it at random
  Settle();
  EXPECT_EQ(Note(), "");
  EXPECT_EQ(backend_->loaded_now, 1);
}

TEST_F(LifecycleTest, NothingIsTakenOutOfServiceForAPathThatCannotBeListed) {
  Release(1);
  ApplyAndSettle();
  config_.path = (dir_.path() / "misspelt").string();
  ApplyAndSettle();
  EXPECT_EQ(Ready(), "1 ");
}

/// With real threads; waits for states, never for a time.
class ThreadedLifecycleTest : public testing::Test {
 protected:
  ThreadedLifecycleTest() {
    registry_.Register("fake", backend_);
    config_.name = "digits";
    config_.path = ModelFolder(dir_.path(), "digits");
    manager_ = std::make_unique<LifecycleManager>(
        LifecycleManager::Deps{SystemClock(), registry_, nullptr},
        LifecycleManager::Options{.poll_interval = 5ms});
  }
  bool Eventually(const std::function<bool()>& condition) {
    for (SteadyTime end = SystemClock().SteadyNow() + 30s; SystemClock().SteadyNow() < end;) {
      if (condition()) return true;
      std::this_thread::yield();
    }
    return false;
  }
  std::vector<int64_t> Ready() {
    std::vector<int64_t> ready;
    auto table = manager_->table().Get();
    auto it = table->models.find("digits");
    if (it == table->models.end()) return ready;
    for (const auto& [version, handle] : it->second.ready) ready.push_back(version);
    return ready;
  }
  TempDir dir_;
  std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  BackendRegistry registry_;
  ModelConfig config_;
  std::unique_ptr<LifecycleManager> manager_;
};

TEST_F(ThreadedLifecycleTest, RequestsAlwaysFindAVersionWhileVersionsComeAndGo) {
  WriteModelVersion(dir_.path(), "digits", 1);
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Start();
  ASSERT_TRUE(Eventually([&] { return manager_->SettledOnce(); }));
  std::atomic<bool> stop{false};
  std::atomic<int> without{0};
  std::atomic<int64_t> served{0};
  std::vector<std::thread> users;
  for (int i = 0; i < 4; ++i) {
    users.emplace_back([&] {
      while (!stop) {
        auto table = manager_->table().Get();
        const auto& ready = table->models.find("digits")->second.ready;
        if (ready.empty()) {
          ++without;
          continue;
        }
        Handle handle = ready.rbegin()->second;
        table = nullptr;
        if (handle->model->signature().inputs.size() != 1) ++without;
        ++served;
      }
    });
  }
  for (int64_t version = 2; version <= 12; ++version) {
    WriteModelVersion(dir_.path(), "digits", version);
    EXPECT_TRUE(Eventually([&] { return Ready() == std::vector<int64_t>{version}; }));
  }
  EXPECT_TRUE(Eventually([&] { return backend_->loaded_now == 1; }));
  stop = true;
  for (std::thread& user : users) user.join();
  EXPECT_EQ(without, 0);
  EXPECT_GT(served, 0);
  manager_->Stop();
  EXPECT_EQ(backend_->loaded_now, 0);
}

TEST_F(ThreadedLifecycleTest, AHandleMayOutliveTheManager) {
  WriteModelVersion(dir_.path(), "digits", 1);
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Start();
  ASSERT_TRUE(Eventually([&] { return !Ready().empty(); }));
  Handle handle = manager_->table().Get()->models.find("digits")->second.ready.at(1);
  manager_ = nullptr;
  EXPECT_EQ(backend_->loaded_now, 1);
  EXPECT_EQ(handle->version, 1);
  handle = nullptr;
  EXPECT_EQ(backend_->loaded_now, 0);
}

TEST_F(ThreadedLifecycleTest, UnloadingHappensOnAThreadOfTheLifecycle) {
  WriteModelVersion(dir_.path(), "digits", 1);
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Start();
  ASSERT_TRUE(Eventually([&] { return !Ready().empty(); }));
  Handle handle = manager_->table().Get()->models.find("digits")->second.ready.at(1);
  std::atomic<bool> ended{false};
  std::thread::id ended_on;
  handle->contexts->value = std::shared_ptr<void>(nullptr, [&](void*) {
    ended_on = std::this_thread::get_id();
    ended = true;
  });
  WriteModelVersion(dir_.path(), "digits", 2);
  ASSERT_TRUE(Eventually([&] { return Ready() == std::vector<int64_t>{2}; }));
  EXPECT_FALSE(ended);
  handle = nullptr;
  ASSERT_TRUE(Eventually([&] { return ended.load(); }));
  EXPECT_NE(ended_on, std::this_thread::get_id());
}

TEST_F(ThreadedLifecycleTest, StopsWhileLoadsAreQueued) {
  config_.policy.kind = VersionPolicy::Kind::kAll;
  for (int64_t version = 1; version <= 20; ++version) {
    WriteModelVersion(dir_.path(), "digits", version);
  }
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Start();
  ASSERT_TRUE(Eventually([&] { return backend_->loads > 0; }));
  manager_->Stop();
  manager_->Stop();
  EXPECT_EQ(backend_->loaded_now, 0);
}

TEST_F(ThreadedLifecycleTest, ALoadThatGoesOnAndOnDoesNotHoldTheEndUp) {
  std::atomic<bool> go_on{false};
  backend_->on_load = [&](const LoadSpec&) {
    while (!go_on) std::this_thread::yield();
    return OkStatus();
  };
  WriteModelVersion(dir_.path(), "digits", 1);
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Start();
  ASSERT_TRUE(Eventually([&] { return backend_->loads > 0; }));
  EXPECT_FALSE(manager_->StopWithin(1ms));
  go_on = true;
  EXPECT_TRUE(manager_->StopWithin(30s));
  manager_->Stop();
  EXPECT_EQ(backend_->loaded_now, 0);
}

TEST_F(ThreadedLifecycleTest, StopsWithoutEverHavingStarted) {
  ASSERT_TRUE(manager_->Apply({config_}).ok());
  manager_->Stop();
}

}  // namespace
}  // namespace leadsman
