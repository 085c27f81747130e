#include "app/tfserving/reload_requests.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace leadsman::tfserving {
namespace {

/// model_config_list { config { name: "m" base_path: "/m" } }, by Google's protobuf for Python.
constexpr std::string_view kOneModel("\x0a\x09\x0a\x07\x0a\x01m\x12\x02/m", 11);

TEST(WithModelsOfTest, TheRequestSaysWhereAModelIsAndItsVersions) {
  Config running;
  Config::Model before;
  before.model.name = "m";
  before.model.path = "/before";
  before.model.format = "onnx";
  before.model.policy.kind = VersionPolicy::Kind::kAll;
  before.model.labels = {{"stable", 1}};
  before.model.warmup_requests = 2;
  running.models = {before};
  before.model.name = "other";
  running.models.push_back(before);
  auto initial = [&](const std::string& name) {
    return name == "m" ? running.models[0] : Config::Model();
  };
  Result<Config> next = WithModelsOf(kOneModel, running, initial);
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_EQ(next->models.size(), 1u);
  const ModelConfig& model = next->models[0].model;
  EXPECT_EQ(model.path, "/m");
  EXPECT_EQ(model.format, "");
  EXPECT_EQ(model.policy.kind, VersionPolicy::Kind::kLatest);
  EXPECT_TRUE(model.labels.empty());
  EXPECT_EQ(model.warmup_requests, 2);

  // What the rest of the configuration needs must still be there.
  running.plain.model = "other";
  next = WithModelsOf(kOneModel, running, initial);
  EXPECT_EQ(next.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(next.status().message().find("plain.model: there is no model other"), std::string::npos)
      << next.status();
}

class ReloadRequestsTest : public ::testing::Test {
 protected:
  ReloadRequests::Done Into(Status& to) {
    ++expected_;
    return [this, &to](const Status& status) {
      std::lock_guard lock(mutex_);
      to = status;
      ++answered_;
      changed_.notify_all();
    };
  }
  void AwaitAnswers() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(20), [&] { return answered_ == expected_; }));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int expected_ = 0, answered_ = 0;
};

TEST_F(ReloadRequestsTest, AnswersWhenTheNewModelsAreReadyOrCannotBe) {
  std::vector<std::string> awaited;
  ReloadRequests requests(
      {.apply = [](const std::string& config) -> Result<std::vector<std::string>> {
         if (config == "wrong") return InvalidArgumentError("config: is wrong");
         return std::vector<std::string>{config};
       },
       .await =
           [&](std::vector<std::string> models, const ReloadRequests::Done& done) {
             awaited = models;
             done(models[0] == "broken" ? FailedPreconditionError("failed to load broken")
                                        : OkStatus());
           }});
  Status good = UnknownError(""), wrong = OkStatus(), broken = OkStatus();
  requests.Submit("good", Into(good));
  AwaitAnswers();
  EXPECT_EQ(good, OkStatus());
  EXPECT_EQ(awaited, std::vector<std::string>{"good"});
  requests.Submit("wrong", Into(wrong));
  requests.Submit("broken", Into(broken));
  AwaitAnswers();
  EXPECT_EQ(wrong, InvalidArgumentError("config: is wrong"));
  EXPECT_EQ(broken.code(), StatusCode::kUnknown);
  EXPECT_EQ(broken.message(), "model(s) did not become available: failed to load broken");
}

TEST_F(ReloadRequestsTest, WhatWaitsIsBoundedAndToldOfTheEnd) {
  std::mutex held;
  held.lock();
  ReloadRequests requests({.apply = [&](const std::string&) -> Result<std::vector<std::string>> {
                             std::lock_guard lock(held);
                             return std::vector<std::string>();
                           },
                           .await = [](std::vector<std::string>,
                                       const ReloadRequests::Done& done) { done(OkStatus()); }});
  std::vector<Status> answers(40, UnknownError(""));
  for (Status& answer : answers) requests.Submit("", Into(answer));
  int refused = 0;
  for (const Status& answer : answers)
    refused += answer.code() == StatusCode::kResourceExhausted ? 1 : 0;
  EXPECT_GE(refused, 40 - 17);  // one may be running
  EXPECT_LE(refused, 40 - 16);
  held.unlock();
  requests.Stop();
  AwaitAnswers();  // nobody is forgotten
  Status late = OkStatus();
  requests.Submit("", Into(late));
  EXPECT_EQ(late.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace leadsman::tfserving
