#include "storage/cache_budget.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "storage/cache_folder.h"

namespace leadsman {
namespace {

using Reservation = CacheBudget::Reservation;

class CacheBudgetTest : public testing::Test {
 protected:
  CacheBudgetTest() {
    for (const char* name : {"blobs", "versions", "partial", "staging"})
      std::filesystem::create_directories(dir_.file(name));
  }
  std::string Write(const std::string& name, size_t bytes, int64_t last_use = 1'000) {
    std::filesystem::create_directories((dir_.path() / name).parent_path());
    std::string path = dir_.Write(name, std::string(bytes, 'x'));
    struct timespec times[2] = {{.tv_sec = last_use}, {.tv_sec = last_use}};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    return path;
  }
  UniqueFd Hold(const std::string& name) {
    UniqueFd fd = OpenFile(dir_.file(name), O_RDWR | O_CREAT).value();
    EXPECT_TRUE(TryLock(fd));
    return fd;
  }
  /// One of a fetch, in this process or, with another `budget`, as good as in another.
  std::unique_ptr<Reservation> Begin(CacheBudget& budget) {
    return std::make_unique<Reservation>(budget, Hold(StrCat("staging/", ++fetches_, ".lock")));
  }
  std::unique_ptr<Reservation> Begin() { return Begin(budget_); }
  bool There(const std::string& name) { return StampOf(dir_.file(name)).ok(); }

  TempDir dir_;
  CacheBudget budget_{dir_.path().string(), 100};
  int fetches_ = 0;
};

TEST_F(CacheBudgetTest, WhatFetchesHaveReservedIsGivenToNoOther) {
  CacheBudget elsewhere(dir_.path().string(), 100);
  auto first = Begin(), second = Begin(elsewhere);
  ASSERT_TRUE(first->Reserve(60, {}, {}).ok());
  Status refused = second->Reserve(41, {}, {});
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.message(),
            "it needs 41 bytes more, and of storage.cache_limit (100 bytes) 0 bytes are taken by "
            "versions in use and 60 bytes by files on their way here; raise the limit or serve "
            "fewer versions");
  EXPECT_TRUE(second->Reserve(40, {}, {}).ok());
  first->Release(50);
  EXPECT_TRUE(second->Reserve(50, {}, {}).ok());
  first.reset();
  EXPECT_TRUE(second->Reserve(10, {}, {}).ok());
  EXPECT_FALSE(second->Reserve(1, {}, {}).ok());
}

TEST_F(CacheBudgetTest, AKilledFetchHoldsNothing) {
  { ASSERT_TRUE(Begin()->Reserve(60, {}, {}).ok()); }
  EXPECT_TRUE(There("staging/1.lock")) << "which nobody locks";
  EXPECT_TRUE(Begin()->Reserve(100, {}, {}).ok());
}

TEST_F(CacheBudgetTest, APartialFileThatNobodyWritesGivesWayTheOldestFirst) {
  Write("partial/newer", 40, 2'000);
  Write("partial/oldest", 40, 1'000);
  auto fetch = Begin();
  ASSERT_TRUE(fetch->Reserve(20, {}, {}).ok());
  EXPECT_TRUE(There("partial/oldest")) << "there was room";
  ASSERT_TRUE(fetch->Reserve(20, {}, {}).ok());
  EXPECT_FALSE(There("partial/oldest"));
  EXPECT_TRUE(There("partial/newer"));
}

TEST_F(CacheBudgetTest, VersionsAndPartialFilesGoByTheirLastUse) {
  Write("versions/old/model", 1);
  Write("versions/old.use", 0, 1'000);
  Write("partial/between", 40, 2'000);
  Write("versions/new/model", 1);
  Write("versions/new.use", 0, 3'000);
  ASSERT_TRUE(Begin()->Reserve(70, {}, {}).ok());
  EXPECT_FALSE(There("versions/old/model"));
  EXPECT_FALSE(There("partial/between"));
  EXPECT_TRUE(There("versions/new/model"));
}

TEST_F(CacheBudgetTest, APartialFileThatSomebodyWritesStaysAndCountsAsReserved) {
  Write("partial/held", 40);
  UniqueFd writer = Hold("partial/held");
  auto first = Begin(), second = Begin();
  ASSERT_TRUE(first->Reserve(60, {}, {}).ok());
  EXPECT_TRUE(second->Reserve(40, {}, {}).ok());
  EXPECT_FALSE(second->Reserve(1, {}, {}).ok());
  EXPECT_TRUE(There("partial/held"));
}

TEST_F(CacheBudgetTest, WhatIsResumedIsPartOfWhatIsReserved) {
  Write("partial/mine", 60);
  Write("partial/other", 20);
  auto fetch = Begin();
  ASSERT_TRUE(fetch->Reserve(80, {"mine"}, {}).ok());
  EXPECT_TRUE(There("partial/mine"));
  EXPECT_TRUE(There("partial/other"));
  ASSERT_TRUE(fetch->Reserve(20, {"mine"}, {}).ok());
  EXPECT_TRUE(There("partial/mine"));
  EXPECT_FALSE(There("partial/other"));
}

TEST_F(CacheBudgetTest, BlobsWithoutAVersionGoFirst) {
  Write("blobs/ab/unused", 50);
  Write("blobs/ab/used", 30);
  std::filesystem::create_directories(dir_.file("versions/v"));
  std::filesystem::create_hard_link(dir_.file("blobs/ab/used"), dir_.file("versions/v/f"));
  auto fetch = Begin();
  ASSERT_TRUE(fetch->Reserve(70, {}, {}).ok());
  EXPECT_FALSE(There("blobs/ab/unused"));
  EXPECT_TRUE(There("versions/v/f"));
  UniqueFd user = Hold("versions/v.use");
  EXPECT_FALSE(fetch->Reserve(1, {}, {}).ok());
  user.Reset();
  EXPECT_TRUE(fetch->Reserve(1, {}, {}).ok());
  EXPECT_FALSE(There("versions/v/f"));
}

TEST_F(CacheBudgetTest, WhatHasNoSizeGrowsByPortionsUntilTheLastByte) {
  CacheBudget budget(dir_.path().string(), 6'400);  // a portion is 100
  auto grows = Begin(budget), other = Begin(budget);
  ASSERT_TRUE(grows->Grow(30, {}).ok());
  ASSERT_TRUE(other->Reserve(6'300, {}, {}).ok()) << "a portion was taken, no more";
  ASSERT_TRUE(grows->Grow(70, {}).ok());
  EXPECT_FALSE(grows->Grow(1, {}).ok());
  other->Release(50);
  EXPECT_TRUE(grows->Grow(50, {}).ok()) << "less than a portion is left";
  EXPECT_FALSE(grows->Grow(1, {}).ok());
}

TEST_F(CacheBudgetTest, WaitsForTheCachesLockNoLongerThanItsCall) {
  auto fetch = Begin();
  UniqueFd lock = Hold("lock");
  StoreCall now{.deadline = SystemClock().SteadyNow()};
  Status late = fetch->Reserve(1, {}, now);
  EXPECT_EQ(late.code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(late.message().find(dir_.file("lock")), std::string_view::npos) << late;
  std::atomic<bool> cancel{true};
  EXPECT_EQ(fetch->Reserve(1, {}, {.cancel = &cancel}).code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace leadsman
