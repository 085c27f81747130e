#include "base/watched_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

class WatchedFilesTest : public testing::Test {
 protected:
  WatchedFilesTest() {
    Write("one");
    clock_.Advance(std::chrono::hours(24 * 365 * 300 / 2));  // long after the files were written
  }
  void Write(const std::string& content) { EXPECT_TRUE(WriteFileAtomically(path_, content).ok()); }

  TempDir dir_;
  std::string path_ = dir_.file("file");
  FakeClock clock_;
};

TEST_F(WatchedFilesTest, AsksForReadingWhenAFileHasChangedOrGone) {
  WatchedFiles files({path_, ""}, clock_);
  EXPECT_TRUE(files.NeedReading());  // once more after the first time
  EXPECT_FALSE(files.NeedReading());
  Write("two");
  EXPECT_TRUE(files.NeedReading());
  files.Good();
  EXPECT_FALSE(files.NeedReading());
  std::filesystem::remove(path_);
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.Bad());
  EXPECT_TRUE(files.NeedReading());
  EXPECT_TRUE(files.Bad());
  EXPECT_FALSE(files.NeedReading());
}

TEST_F(WatchedFilesTest, TellsOnlyWhatStaysAndOnce) {
  WatchedFiles files({path_}, clock_);
  Write("bad");
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.Bad());
  Write("bad in another way");
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.Bad());  // somebody is still at it
  EXPECT_TRUE(files.NeedReading());
  EXPECT_TRUE(files.Bad());
  EXPECT_FALSE(files.NeedReading());
  Write("good");
  EXPECT_TRUE(files.NeedReading());
  files.Good();
  EXPECT_FALSE(files.NeedReading());
}

TEST_F(WatchedFilesTest, LooksOnceMoreAtAFileThatIsYoung) {
  clock_.JumpWall(SystemClock().Now() - clock_.Now());
  Write("now");
  WatchedFiles files({path_}, clock_);
  EXPECT_TRUE(files.NeedReading());
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.Bad());
  EXPECT_TRUE(files.NeedReading());
  EXPECT_TRUE(files.Bad());
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.Bad());  // told already
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_TRUE(files.NeedReading());
  EXPECT_FALSE(files.NeedReading());
}

}  // namespace
}  // namespace leadsman
