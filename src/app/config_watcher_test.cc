#include "app/config_watcher.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

class ConfigWatcherTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  TempDir dir_;
  std::string path_ = (dir_.path() / "leadsman.yaml").string();
};

TEST_F(ConfigWatcherTest, TellsEachChangeOnceItHasSettled) {
  Write("a");
  ConfigWatcher watcher(path_);
  EXPECT_FALSE(watcher.Poll());
  Write("b");
  EXPECT_FALSE(watcher.Poll());  // perhaps half of it
  Write("bc");
  EXPECT_FALSE(watcher.Poll());
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

TEST_F(ConfigWatcherTest, TheSameContentAgainIsNoChange) {
  Write("a");
  ConfigWatcher watcher(path_);
  std::filesystem::remove(path_);
  EXPECT_FALSE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
  Write("a");
  EXPECT_FALSE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

TEST_F(ConfigWatcherTest, WhatCouldNotBePutInForceIsFoundAgainEverLessOften) {
  Write("a");
  ConfigWatcher watcher(path_);
  Write("b");
  std::string found;
  for (int look = 0; look < 16; ++look) {
    bool changed = watcher.Poll();
    found += changed ? 'x' : '.';
    if (changed) watcher.TryAgain();
  }
  EXPECT_EQ(found, ".x.x..x....x....");
  Write("c");  // another content is tried at once
  EXPECT_FALSE(watcher.Poll());
  EXPECT_TRUE(watcher.Poll());
  EXPECT_FALSE(watcher.Poll());
}

TEST_F(ConfigWatcherTest, FollowsALinkThatIsSwapped) {
  std::ofstream(dir_.path() / "one") << "1";
  std::ofstream(dir_.path() / "two") << "2";
  std::filesystem::create_symlink("one", path_);
  ConfigWatcher watcher(path_);
  std::filesystem::remove(path_);
  std::filesystem::create_symlink("two", path_);
  EXPECT_FALSE(watcher.Poll());
  EXPECT_TRUE(watcher.Poll());
}

}  // namespace
}  // namespace leadsman
