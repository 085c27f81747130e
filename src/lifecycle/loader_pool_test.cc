#include "lifecycle/loader_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>

namespace leadsman {
namespace {

using std::chrono_literals::operator""s;

/// Jobs that stand still until they are let go, in a pool with one thread.
class LoaderPoolTest : public testing::Test {
 protected:
  LoaderPoolTest() { pool_.Start(1); }
  ~LoaderPoolTest() override { LetGo(); }

  void LetGo() {
    if (!let_go_.exchange(true)) go_.set_value();
  }
  /// Submits a job that waits here, or for another process; ready when it runs.
  std::future<void> Submit(bool elsewhere) {
    auto begun = std::make_shared<std::promise<void>>();
    std::future<void> begins = begun->get_future();
    pool_.Submit([this, begun, elsewhere] {
      std::optional<LoaderPool::Elsewhere> waits;
      if (elsewhere) waits.emplace(pool_);
      begun->set_value();
      gone_.wait();
    });
    return begins;
  }
  static bool Runs(const std::future<void>& begins) {
    return begins.wait_for(30s) == std::future_status::ready;
  }
  static bool HasBegun(const std::future<void>& begins) {
    return begins.wait_for(0s) == std::future_status::ready;
  }

  std::atomic<bool> let_go_{false};
  std::promise<void> go_;
  std::shared_future<void> gone_ = go_.get_future().share();
  LoaderPool pool_;
};

TEST_F(LoaderPoolTest, JobsWaitForAThread) {
  const auto first = Submit(false);
  ASSERT_TRUE(Runs(first));
  const auto second = Submit(false);
  EXPECT_FALSE(HasBegun(second));
  LetGo();
  EXPECT_TRUE(Runs(second));
}

TEST_F(LoaderPoolTest, AnotherRunsInTheSteadOfOneThatWaitsForAProcess) {
  ASSERT_TRUE(Runs(Submit(true)));
  const auto second = Submit(false);
  EXPECT_TRUE(Runs(second));
  // The one that waits has given its place away once.
  const auto third = Submit(false);
  EXPECT_FALSE(HasBegun(third));
  LetGo();
  EXPECT_TRUE(Runs(third));
}

TEST_F(LoaderPoolTest, NotMoreRunInSteadThanThePoolHasThreads) {
  ASSERT_TRUE(Runs(Submit(true)));
  ASSERT_TRUE(Runs(Submit(true)));
  const auto third = Submit(true);
  EXPECT_FALSE(HasBegun(third));
  LetGo();
  EXPECT_TRUE(Runs(third));
}

TEST_F(LoaderPoolTest, APlaceThatWasGivenAwayIsTakenBack) {
  std::promise<void> over;
  std::promise<void> begun;
  pool_.Submit([&] {
    { LoaderPool::Elsewhere waits(pool_); }
    begun.set_value();
    over.get_future().wait();
  });
  begun.get_future().wait();
  const auto second = Submit(false);
  EXPECT_FALSE(HasBegun(second));
  over.set_value();
  EXPECT_TRUE(Runs(second));
}

TEST_F(LoaderPoolTest, StoppingDropsWhatWaits) {
  ASSERT_TRUE(Runs(Submit(true)));
  ASSERT_TRUE(Runs(Submit(false)));
  auto third = Submit(false);
  EXPECT_FALSE(pool_.StopWithin(std::chrono::milliseconds(1)));
  LetGo();
  EXPECT_TRUE(pool_.StopWithin(30s));
  EXPECT_THROW(third.get(), std::future_error);  // its promise went with it
}

}  // namespace
}  // namespace leadsman
