#include "app/model_repository.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>

#include "app/config_schema.h"
#include "base/testing/temp_dir.h"
#include "support/eventually.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class ModelRepositoryTest : public testing::Test {
 protected:
  void Add(const std::string& name) {
    std::filesystem::create_directories(dir_.file("repo/" + name));
  }
  Config WithRepository() {
    Config config = ConfigSchema().initial();
    config.repository.path = repo_;
    return config;
  }
  static std::string Names(const Config& config) {
    std::string names;
    for (const Config::Model& model : config.models) names += model.model.name + " ";
    return names;
  }
  std::string Wrong(const std::string& folder) {
    Config config = ConfigSchema().initial();
    config.repository.path = folder;
    return std::string(AddRepositoryModels(config).message());
  }

  TempDir dir_;
  const std::string repo_ = dir_.file("repo");
};

TEST_F(ModelRepositoryTest, EachSubFolderIsAModelBesideThoseConfigured) {
  for (const char* name : {"iris/1", "digits/1", ".git", "lost+found", "my model"}) Add(name);
  dir_.Write("repo/README", "");
  Config config = WithRepository();
  for (const char* name : {"mlp", "iris"})
    config.models.emplace_back(ConfigModelSchema().initial()).model.name = name;
  config.models[0].model.path = "/models/mlp";
  config.models[1].model.instances = 3;
  ASSERT_EQ(AddRepositoryModels(config), OkStatus());
  EXPECT_EQ(Names(config), "mlp iris digits ");
  EXPECT_EQ(config.models[1].model.path, repo_ + "/iris");  // what is said of it holds
  EXPECT_EQ(config.models[1].model.instances, 3);
  EXPECT_FALSE(config.models[1].from_repository);
  EXPECT_TRUE(config.models[2].from_repository);
}

TEST_F(ModelRepositoryTest, SaysWhatAFolderWithoutModelsShouldLookLike) {
  Add("digits/1");
  Add("empty");
  dir_.Write("file", "");
  EXPECT_EQ(Wrong(repo_ + "/digits"),
            "repository.path (--model-repository): " + repo_ +
                "/digits looks like one model's folder (it has a version 1); give its parent, or "
                "--model NAME=" +
                repo_ + "/digits");
  EXPECT_EQ(Wrong(repo_ + "/empty"),
            "repository.path (--model-repository): " + repo_ +
                "/empty has no models; each sub-folder is a model, with a folder for each of its "
                "versions: " +
                repo_ + "/empty/NAME/1/model.onnx");
  EXPECT_NE(Wrong(dir_.file("file")).find("is a file, not a folder; each sub-folder is a model"),
            std::string::npos);
  EXPECT_NE(Wrong(dir_.file("none")).find("cannot list"), std::string::npos);
  // Clients put them there, and load them.
  Config config = WithRepository();
  config.repository.path = repo_ + "/empty";
  config.repository.mode = ModelControl::Mode::kExplicit;
  EXPECT_EQ(AddRepositoryModels(config), OkStatus());
  EXPECT_EQ(CheckHasModels(config), OkStatus());
}

TEST_F(ModelRepositoryTest, TakesWhatHasComeAndDropsWhatHasGone) {
  for (const char* name : {"a", "b", "c"}) Add(name);
  Config config = WithRepository();
  config.models.emplace_back(ConfigModelSchema().initial()).model.name = "own";
  config.models[0].model.path = repo_ + "/own";  // configured: it stays whatever is there
  ASSERT_EQ(AddRepositoryModels(config), OkStatus());
  std::filesystem::remove_all(repo_ + "/a");
  std::filesystem::remove_all(repo_ + "/b");
  Add("d");
  const RepositoryListing found = ListRepository(repo_).value();
  auto keep_b = [](const std::string& name) { return name == "b"; };
  RepositoryChange change = TakeRepository(found, keep_b, config);
  EXPECT_EQ(Names(config), "own b c d ");
  EXPECT_EQ(change.added, std::vector<std::string>{"d"});
  EXPECT_EQ(change.removed, std::vector<std::string>{"a"});
  EXPECT_FALSE(TakeRepository(found, keep_b, config).any());
  // A client has said which models there are.
  Add("e");
  config.models_of_client = true;
  EXPECT_FALSE(TakeRepository(ListRepository(repo_).value(), keep_b, config).any());
}

TEST_F(ModelRepositoryTest, AnotherFolderNeedsARestartAndItsModelsWait) {
  Add("a");
  Config running = WithRepository();
  ASSERT_EQ(AddRepositoryModels(running), OkStatus());
  std::filesystem::create_directories(dir_.file("other/b"));
  Config next = ConfigSchema().initial();
  next.repository.path = dir_.file("other");
  ASSERT_EQ(AddRepositoryModels(next), OkStatus());
  ReloadedConfig reloaded = MergeReloaded(running, next, true, false);
  EXPECT_EQ(reloaded.needs_restart, std::vector<std::string>{"repository"});
  EXPECT_EQ(Names(reloaded.in_force), "a ");
}

/// What a watch has put in force last, and how often.
class RepositoryWatchTest : public ModelRepositoryTest {
 protected:
  void Watch(std::chrono::milliseconds interval) {
    watch_ = std::make_unique<RepositoryWatch>(repo_, interval, [this](const RepositoryListing& f) {
      std::string names;
      for (const auto& [name, path] : f.models) names += name + " ";
      MutexLock lock(mutex_);
      if (names != in_force_) ++applied_;
      in_force_ = names;
      return OkStatus();
    });
    ASSERT_EQ(watch_->Start(), OkStatus());
  }
  Status LookNow() {
    std::promise<Status> done;
    watch_->LookNow([&](const Status& status) { done.set_value(status); });
    auto answer = done.get_future();
    if (answer.wait_for(30s) != std::future_status::ready) return DeadlineExceededError("no look");
    return answer.get();
  }
  std::string InForce() {
    MutexLock lock(mutex_);
    return in_force_;
  }
  bool Comes(const std::string& names) {
    return Eventually([&] { return InForce() == names; });
  }

  Mutex mutex_;
  std::string in_force_;
  int applied_ = 0;
  std::unique_ptr<RepositoryWatch> watch_;  // last: its thread uses the others
};

TEST_F(RepositoryWatchTest, FindsWhatComesAndGoesByItself) {
  Add("a");
  Watch(5ms);
  EXPECT_TRUE(Comes("a "));
  Add("b");
  EXPECT_TRUE(Comes("a b "));
  std::filesystem::remove_all(repo_ + "/a");
  EXPECT_TRUE(Comes("b "));
  EXPECT_EQ(watch_->Note(), "");
}

TEST_F(RepositoryWatchTest, WhoAsksIsAnsweredByALookThatBeginsThen) {
  Add("a");
  Watch(1h);
  EXPECT_TRUE(Comes("a "));
  Add("b");
  EXPECT_EQ(LookNow(), OkStatus());
  EXPECT_EQ(InForce(), "a b ");
  EXPECT_TRUE(watch_->StopWithin(10s));
  EXPECT_EQ(LookNow().code(), StatusCode::kUnavailable);
}

TEST_F(RepositoryWatchTest, AMountThatHasGoneTakesNothingAway) {
  Add("a");
  Watch(1h);
  EXPECT_TRUE(Comes("a "));
  std::filesystem::remove_all(repo_ + "/a");
  EXPECT_EQ(LookNow(), OkStatus());
  EXPECT_NE(watch_->Note().find("has no models any more; those of before stay"), std::string::npos);
  std::filesystem::remove_all(repo_);
  EXPECT_EQ(LookNow().code(), StatusCode::kUnavailable);
  EXPECT_NE(watch_->Note().find("cannot be listed"), std::string::npos);
  EXPECT_EQ(InForce(), "a ");
  Add("a");
  Add("my model");
  EXPECT_EQ(LookNow(), OkStatus());
  EXPECT_EQ(watch_->Note(),
            "in the repository \"my model\" is passed over: a model's name may contain letters, "
            "digits and _ - . only, no spaces");
}

}  // namespace
}  // namespace leadsman
