#include "lifecycle/model_control.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "backend/testing/fake_backend.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "lifecycle/testing/model_folder.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class ModelControlTest : public testing::Test {
 protected:
  ModelControlTest() {
    registry_.Register("fake", backend_);
    manager_ =
        std::make_unique<LifecycleManager>(LifecycleManager::Deps{clock_, registry_, nullptr},
                                           LifecycleManager::Options{.manual = true});
  }
  ModelConfig Model(const std::string& name) {
    ModelConfig config;
    config.name = name;
    config.path = ModelFolder(dir_.path(), name);
    config.load_retries = 0;
    return config;
  }
  void Make(ModelControl::Options options) {
    options.manual = true;
    control_ = std::make_unique<ModelControl>(*manager_, clock_, options);
  }
  void Settle() {
    for (int i = 0; manager_->StepForTest(); ++i) ASSERT_LT(i, 200);
  }
  /// The outcome of a load, once everything has come to rest.
  std::optional<Status> Load(const std::string& model, GivenModel given = {}) {
    std::optional<Status> outcome;
    control_->Load(model, std::move(given), [&](const Status& status) {
      EXPECT_FALSE(outcome.has_value());
      outcome = status;
    });
    control_->Poll();
    Settle();
    control_->Poll();
    loads_.push_back(outcome);
    return outcome;
  }
  std::string Ready(const std::string& model) {
    std::string text;
    auto table = manager_->table().Get();
    auto it = table->models.find(model);
    if (it == table->models.end()) return "unknown";
    for (const auto& [version, handle] : it->second.ready) text += StrCat(version, " ");
    return text;
  }
  std::string Index() {
    std::string text;
    for (const ModelStatus& model : control_->Index()) {
      text += StrCat(model.name, "[");
      for (const VersionStatus& v : model.versions)
        text += StrCat(v.version, ":", VersionStateName(v.state));
      text += "] ";
    }
    return text;
  }

  TempDir dir_;
  FakeClock clock_;
  std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  BackendRegistry registry_;
  std::unique_ptr<LifecycleManager> manager_;
  std::unique_ptr<ModelControl> control_;
  std::vector<std::optional<Status>> loads_;
};

TEST_F(ModelControlTest, TheConfigurationDecidesUnlessToldOtherwise) {
  WriteModelVersion(dir_.path(), "a", 1);
  Make({});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  EXPECT_EQ(Ready("a"), "1 ");
  EXPECT_EQ(Load("a")->code(), StatusCode::kUnavailable);
  EXPECT_TRUE(control_->Unload("a").message().starts_with(
      "explicit model load / unload is not allowed if polling is enabled"));
  EXPECT_EQ(Index(), "a[1:ready] ");
}

TEST_F(ModelControlTest, ShowsNoQueryOfAPath) {
  Make({.mode = ModelControl::Mode::kExplicit});
  ModelConfig model = Model("a");
  model.path = "https://host/a-1.zip?sig=hush";
  ASSERT_TRUE(control_->Apply({model}).ok());
  EXPECT_EQ(control_->Index()[0].path, "https://host/a-1.zip");
}

TEST_F(ModelControlTest, ALoadLooksForAModelThatHasComeSince) {
  WriteModelVersion(dir_.path(), "a", 1);
  Make({.mode = ModelControl::Mode::kExplicit, .path = "/repo"});
  ASSERT_TRUE(control_->Apply({}).ok());
  Status looked = OkStatus();
  control_->FindBy([&](ModelControl::Done done) {
    if (looked.ok()) {
      ASSERT_TRUE(control_->Apply({Model("a")}).ok());
    }
    done(looked);
  });
  EXPECT_EQ(*Load("b"), NotFoundError("failed to load 'b': it is not configured, and there is no "
                                      "folder of that name in /repo; models here: a"));
  ASSERT_TRUE(control_->Apply({}).ok());
  looked = UnavailableError("the repository hangs");
  EXPECT_EQ(Load("a")->code(), StatusCode::kUnavailable);
  EXPECT_FALSE(control_->IsLoaded("a"));
  looked = OkStatus();
  EXPECT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(Ready("a"), "1 ");
  EXPECT_TRUE(control_->IsLoaded("a"));
}

TEST_F(ModelControlTest, LoadsAndUnloadsByRequest) {
  WriteModelVersion(dir_.path(), "a", 1);
  WriteModelVersion(dir_.path(), "b", 1);
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a"), Model("b")}).ok());
  Settle();
  EXPECT_EQ(Ready("a"), "unknown");
  EXPECT_EQ(Index(), "a[] b[] ");
  EXPECT_TRUE(manager_->SettledOnce());

  EXPECT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(Ready("a"), "1 ");
  EXPECT_EQ(Index(), "a[1:ready] b[] ");
  EXPECT_EQ(Load("a"), OkStatus());

  // The same wanted set comes with every reload of the configuration.
  ASSERT_TRUE(control_->Apply({Model("a"), Model("b")}).ok());
  EXPECT_EQ(Ready("a"), "1 ");

  EXPECT_TRUE(control_->Unload("a").ok());
  EXPECT_EQ(Ready("a"), "unknown");
  EXPECT_TRUE(control_->Unload("a").ok());
  EXPECT_TRUE(control_->Unload("nobody").ok());
  Settle();
  EXPECT_EQ(backend_->loaded_now, 0);
  EXPECT_EQ(Load("a"), OkStatus());
  Status unknown = *Load("c");
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound);
  EXPECT_EQ(unknown.message(), "failed to load 'c': it is not configured; models here: a and b");
}

TEST_F(ModelControlTest, LoadsWhatIsNamedAtTheStart) {
  for (const char* name : {"a", "b"}) WriteModelVersion(dir_.path(), name, 1);
  Make({.mode = ModelControl::Mode::kExplicit, .load_at_start = {"b"}});
  ASSERT_TRUE(control_->Apply({Model("a"), Model("b")}).ok());
  Settle();
  EXPECT_EQ(Index(), "a[] b[1:ready] ");
  control_.reset();
  Make({.mode = ModelControl::Mode::kExplicit, .load_at_start = {"*"}});
  ASSERT_TRUE(control_->Apply({Model("a"), Model("b")}).ok());
  Settle();
  EXPECT_EQ(Index(), "a[1:ready] b[1:ready] ");
  // What was unloaded stays so when the configuration is read again; what is gone from it, goes.
  ASSERT_TRUE(control_->Unload("a").ok());
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  EXPECT_EQ(Index(), "a[] ");
}

TEST_F(ModelControlTest, ALoadWaitsForTheNewestVersion) {
  WriteModelVersion(dir_.path(), "a", 1);
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  ASSERT_EQ(Load("a"), OkStatus());
  WriteModelVersion(dir_.path(), "a", 2);
  std::optional<Status> outcome;
  control_->Load("a", [&](const Status& status) { outcome = status; });
  control_->Poll();
  EXPECT_FALSE(outcome.has_value()) << "version 1 is ready, but the folder has not been looked at";
  Settle();
  control_->Poll();
  EXPECT_EQ(outcome, OkStatus());
  EXPECT_EQ(Ready("a"), "2 ");
}

TEST_F(ModelControlTest, AFailedLoadSaysWhyAndCanBeTriedAgain) {
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Status nothing = *Load("a");
  EXPECT_EQ(nothing.code(), StatusCode::kFailedPrecondition) << nothing;
  EXPECT_TRUE(nothing.message().starts_with("failed to load a: ")) << nothing;

  WriteModelVersion(dir_.path(), "a", 1);
  backend_->on_load = [](const LoadSpec&) { return InvalidArgumentError("it is no model"); };
  Status broken = *Load("a");
  EXPECT_TRUE(broken.message().starts_with("failed to load a: version 1: it is no model"))
      << broken;
  EXPECT_EQ(Ready("a"), "");
  EXPECT_EQ(Index(), "a[1:failed] ");
  backend_->on_load = nullptr;
  EXPECT_EQ(Load("a"), OkStatus());

  // A new version that cannot be loaded does not take the old one away.
  WriteModelVersion(dir_.path(), "a", 2);
  backend_->on_load = [](const LoadSpec&) { return InvalidArgumentError("it is no model"); };
  Status second = *Load("a");
  EXPECT_TRUE(second.message().starts_with(
      "what was loaded before goes on serving: failed to load a: version 2: it is no model"))
      << second;
  EXPECT_EQ(Ready("a"), "1 ");
}

TEST_F(ModelControlTest, ALoadTakesWhatIsThereAsWhole) {
  registry_.Register("onnx", backend_);
  std::filesystem::create_directories(dir_.path() / "a/1");
  Make({.mode = ModelControl::Mode::kExplicit});
  ModelConfig model = Model("a");
  model.settle_time = 1h;
  ASSERT_TRUE(control_->Apply({model}).ok());
  // Whoever asks is told what is missing, and not kept waiting for it.
  Status empty = *Load("a");
  EXPECT_TRUE(empty.message().starts_with(
      "failed to load a: version 1: no model is recognised; its folder is empty"))
      << empty;
  dir_.Write("a/1/model.onnx", "weights");
  EXPECT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(Ready("a"), "1 ");
}

TEST_F(ModelControlTest, ALoadIsNotWaitedForWithoutAnEnd) {
  WriteModelVersion(dir_.path(), "a", 1);
  Make({.mode = ModelControl::Mode::kExplicit, .load_timeout = 10s});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  std::optional<Status> outcome;
  control_->Load("a", [&](const Status& status) { outcome = status; });
  clock_.Advance(9s);
  control_->Poll();
  EXPECT_FALSE(outcome.has_value());
  clock_.Advance(1s);
  control_->Poll();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->code(), StatusCode::kDeadlineExceeded);

  // Unloaded, or the server stopped, meanwhile.
  outcome.reset();
  control_->Load("a", [&](const Status& status) { outcome = status; });
  ASSERT_TRUE(control_->Unload("a").ok());
  control_->Poll();
  EXPECT_EQ(outcome->code(), StatusCode::kUnavailable);
  outcome.reset();
  control_->Load("a", [&](const Status& status) { outcome = status; });
  control_->Stop();
  EXPECT_EQ(outcome->code(), StatusCode::kUnavailable);
  EXPECT_EQ(Load("a")->code(), StatusCode::kUnavailable);
}

TEST_F(ModelControlTest, AGivenConfigurationHoldsUntilTheNextLoad) {
  WriteModelVersion(dir_.path(), "a", 1);
  dir_.Write("a/config.pbtxt", "instance_group [ { count: 2 } ]");
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  auto instances = [&] {
    return manager_->table().Get()->models.at("a").ready.at(1)->config->instances;
  };
  ASSERT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(instances(), 2);
  ASSERT_EQ(Load("a", {.config = R"({"instance_group": [{"count": 3}]})", .files = {}}),
            OkStatus());
  EXPECT_EQ(instances(), 3);
  // Nor do a reload of the configuration and a look at the folder take it away.
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  EXPECT_EQ(instances(), 3);

  // What cannot be honoured is refused before anything changes, or when what it names has been looked for.
  EXPECT_EQ(*Load("a", {.config = R"({"instance_grup": []})", .files = {}}),
            InvalidArgumentError("parameters.config: unknown field instance_grup in ModelConfig; "
                                 "did you mean instance_group?"));
  Status labels = *Load("a", {.config = R"({"output": [{"name": "label", "data_type": "TYPE_INT64",
                          "dims": [1], "label_filename": "names.txt"}]})",
                              .files = {}});
  EXPECT_EQ(labels.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(labels.message().find("the configuration of the load: output[0].label_filename: "
                                  "names.txt cannot be read"),
            std::string::npos)
      << labels;
  EXPECT_EQ(instances(), 3);

  ASSERT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(instances(), 2);
  ASSERT_EQ(Load("a", {.config = R"({"instance_group": [{"count": 3}]})", .files = {}}),
            OkStatus());
  ASSERT_TRUE(control_->Unload("a").ok());
  ASSERT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(instances(), 2);

  // Where nobody can tell whether it holds, it is not said to.
  std::filesystem::remove_all(dir_.path() / "a");
  Status gone = *Load("a", {.config = R"({"instance_group": [{"count": 3}]})", .files = {}});
  EXPECT_EQ(gone.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(gone.message().find("the model's folder cannot be read"), std::string::npos) << gone;
  EXPECT_EQ(Ready("a"), "1 ");
}

TEST_F(ModelControlTest, AModelIsMadeOfGivenFilesUntilTheNextLoad) {
  WriteModelVersion(dir_.path(), "a", 1);
  WriteModelVersion(dir_.path(), "sent", 2);
  const std::string manifest = ReadFile(dir_.file("sent/2/manifest.json"), 1 << 20).value();
  std::map<std::string, std::string> files = {
      {"2/model.bin", ReadFile(dir_.file("sent/2/model.bin"), 1 << 20).value()},
      {"2/manifest.json", manifest}};
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  ASSERT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(*Load("sent", {.config = "{}", .files = files}),
            UnimplementedError("parameters.file: set repository.files: true in the configuration "
                               "to let clients send models"));
  const std::string root = dir_.file("given");
  control_->KeepGivenIn(root);
  auto folders = [&] { return ListDirectory(root).value().size(); };

  // A name that nobody has configured, and nothing waits for it.
  ASSERT_EQ(Load("sent", {.config = "{}", .files = files}), OkStatus());
  EXPECT_EQ(Index(), "a[1:ready] sent[2:ready] ");
  EXPECT_EQ(folders(), 1u);
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  EXPECT_EQ(Ready("sent"), "2 ");
  EXPECT_EQ(*Load("sent"),
            NotFoundError("failed to load 'sent': it is not configured; models here: a"));
  EXPECT_EQ(Ready("sent"), "2 ");

  // In the place of what its folder holds.
  ASSERT_EQ(Load("a", {.config = "{}", .files = files})->code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Ready("a"), "1 ") << "the manifest is another model's";
  std::string own = manifest;
  own.replace(own.find("\"sent\""), 6, "\"a\"");
  files["2/manifest.json"] = own;
  ASSERT_EQ(Load("a", {.config = "{}", .files = files}), OkStatus());
  EXPECT_EQ(Ready("a"), "2 ");
  ASSERT_EQ(Load("a"), OkStatus());
  EXPECT_EQ(Ready("a"), "1 ");

  ASSERT_TRUE(control_->Unload("sent").ok());
  Settle();
  EXPECT_EQ(Index(), "a[1:ready2:gone] ");
  EXPECT_NE(folders(), 0u) << "whoever lets go last deletes nothing";
  control_->Poll();
  EXPECT_EQ(folders(), 0u);
}

TEST_F(ModelControlTest, LoadsOfOneModelAreDoneOneAfterTheOther) {
  for (int version = 1; version <= 4; ++version) WriteModelVersion(dir_.path(), "sent", version);
  Make({.mode = ModelControl::Mode::kExplicit, .files = true});
  control_->KeepGivenIn(dir_.file("given"));
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  std::string order;
  auto load = [&](const std::string& version) {
    GivenModel given{.config = "{}"};
    for (const char* file : {"/model.bin", "/manifest.json"})
      given.files[version + file] = ReadFile(dir_.file("sent/" + version + file), 1 << 20).value();
    control_->Load("sent", std::move(given), [&, version](const Status& status) {
      order += StrCat(version, status.ok() ? StrCat(" serves ", Ready("sent"))
                                           : StrCat(": ", status.message(), "; "));
    });
  };
  auto go_on = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      manager_->StepForTest();
      control_->Poll();
    }
  };
  load("2");
  load("1");
  go_on(1);
  load("3");
  go_on(40);
  EXPECT_EQ(order, "2 serves 2 1 serves 1 3 serves 3 ");

  order.clear();
  load("4");
  load("2");
  ASSERT_TRUE(control_->Unload("sent").ok());
  EXPECT_EQ(order, "2: model sent was unloaded before it had been loaded; ");
  go_on(5);
  EXPECT_EQ(order,
            "2: model sent was unloaded before it had been loaded; 4: model sent was unloaded "
            "before it had been loaded; ");
}

TEST_F(ModelControlTest, FilesThatMakeNoVersionAreToldAndTakeNothingAway) {
  WriteModelVersion(dir_.path(), "a", 7);
  registry_.Register("onnx", backend_);
  for (const bool require_manifest : {false, true}) {
    for (const SwapPolicy swap :
         {SwapPolicy::kAvailabilityPreserving, SwapPolicy::kResourcePreserving}) {
      manager_ =
          std::make_unique<LifecycleManager>(LifecycleManager::Deps{clock_, registry_, nullptr},
                                             LifecycleManager::Options{.manual = true});
      Make({.mode = ModelControl::Mode::kExplicit});
      control_->KeepGivenIn(dir_.file("given"));
      ModelConfig model = Model("a");
      model.require_manifest = require_manifest;
      model.swap = swap;
      ASSERT_TRUE(control_->Apply({model}).ok());
      ASSERT_EQ(Load("a"), OkStatus());
      const std::string file = require_manifest ? "model.onnx" : "foo.bin";
      for (const int version : {5, 7, 8}) {
        std::optional<Status> outcome =
            Load("a", {.config = "{}", .files = {{StrCat(version, "/", file), "x"}}});
        ASSERT_TRUE(outcome.has_value()) << version << " " << require_manifest;
        EXPECT_EQ(outcome->code(), StatusCode::kFailedPrecondition);
        EXPECT_TRUE(outcome->message().starts_with(
            StrCat("what was loaded before goes on serving: failed to load a: version 7: there is "
                   "no version in the files of the load: version ",
                   version, ": ")))
            << *outcome;
        EXPECT_EQ(Ready("a"), "7 ");
      }
      // One below what serves is fit to take over, also where that is not whole.
      std::optional<Status> broken = Load(
          "a", {.config = "{}",
                .files = {{"5/model.onnx", "x"}, {"5/manifest.json", "{}"}, {"7/foo.bin", "x"}}});
      ASSERT_TRUE(broken.has_value());
      EXPECT_FALSE(broken->ok());
      ASSERT_EQ(Load("a"), OkStatus());
      EXPECT_EQ(Ready("a"), "7 ");
      control_.reset();
    }
  }
}

TEST_F(ModelControlTest, WhatGivenFilesHoldIsBounded) {
  registry_.Register("onnx", backend_);
  Make({.mode = ModelControl::Mode::kExplicit, .max_files_size = 10});
  control_->KeepGivenIn(dir_.file("given"));
  ASSERT_TRUE(control_->Apply({}).ok());
  auto load = [&](const std::string& name, size_t bytes) {
    return *Load(name, {.config = "{}", .files = {{"1/model.onnx", std::string(bytes, 'x')}}});
  };
  EXPECT_EQ(load("a", 6), OkStatus());
  EXPECT_EQ(load("b", 5),
            ResourceExhaustedError("parameters.file: 5 of files beside 6 of other models are more "
                                   "than repository.max_files_size (10); unload a model or raise "
                                   "it"));
  EXPECT_EQ(load("b", 4), OkStatus());
  ASSERT_TRUE(control_->Unload("a").ok());
  Settle();
  control_->Poll();
  EXPECT_EQ(load("c", 6), OkStatus());
}

TEST_F(ModelControlTest, AConfigurationThatCannotBeTakenOverTakesNothingAway) {
  WriteModelVersion(dir_.path(), "a", 1);
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  ASSERT_EQ(Load("a", {.config = R"({"instance_group": [{"count": 3}]})", .files = {}}),
            OkStatus());
  ModelConfig wrong = Model("a");
  wrong.policy.latest = 0;
  EXPECT_FALSE(control_->Apply({wrong}).ok());
  EXPECT_FALSE(control_->Apply({Model("a"), Model("a")}).ok());
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  EXPECT_EQ(manager_->table().Get()->models.at("a").ready.at(1)->config->instances, 3);
}

TEST_F(ModelControlTest, TooManyWaitersAreRefused) {
  Make({.mode = ModelControl::Mode::kExplicit});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    control_->Load("a", [&](const Status& status) {
      refused += status.code() == StatusCode::kResourceExhausted ? 1 : 0;
    });
  }
  EXPECT_EQ(refused, 300 - 256);
  control_.reset();  // answers those that wait, which count in `refused`
}

TEST_F(ModelControlTest, WaitsForWhatTheConfigurationHasBrought) {
  WriteModelVersion(dir_.path(), "a", 1);
  WriteModelVersion(dir_.path(), "b", 1);
  Make({});
  ASSERT_TRUE(control_->Apply({Model("a")}).ok());
  Settle();
  ASSERT_TRUE(control_->Apply({Model("a"), Model("b")}).ok());
  std::optional<Status> outcome;
  auto await = [&](std::vector<std::string> models) {
    outcome.reset();
    control_->Await(std::move(models), [&](const Status& status) { outcome = status; });
    control_->Poll();
  };
  await({"a", "b"});
  EXPECT_FALSE(outcome.has_value());  // b has not been looked at yet, nor a again
  Settle();
  control_->Poll();
  EXPECT_EQ(outcome, OkStatus());
  EXPECT_EQ(Index(), "a[1:ready] b[1:ready] ");
  await({});
  EXPECT_EQ(outcome, OkStatus());

  // Everything that cannot be is told, once nothing goes on any more.
  backend_->on_load = [](const LoadSpec& spec) {
    return spec.version == 7 ? InvalidArgumentError("it is no model") : OkStatus();
  };
  WriteModelVersion(dir_.path(), "c", 7);
  ASSERT_TRUE(control_->Apply({Model("a"), Model("c"), Model("d")}).ok());
  await({"c", "a", "d"});
  Settle();
  control_->Poll();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(outcome->message().find("failed to load c: version 7"), std::string::npos) << *outcome;
  EXPECT_NE(outcome->message().find("failed to load d: "), std::string::npos) << *outcome;

  await({"b"});
  EXPECT_EQ(outcome->code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace leadsman
