#include "intake/log_follower.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "intake/testing/rotated_files.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class LogFollowerTest : public testing::Test {
 protected:
  LogFollowerTest() {
    options_.globs = {dir_.file("app.log")};
    options_.from = FollowerOptions::From::kBeginning;
  }
  /// Also a restart: of what was not accepted nothing is left.
  void Start(const std::optional<Positions>& positions = std::nullopt) {
    follower_ = std::make_unique<LogFollower>(LogFollower::Deps{clock_}, options_, positions,
                                              [this](const LineBatch& batch) {
                                                for (const LogLine& line : batch.lines)
                                                  got_.emplace_back(line.text);
                                                paths_.insert(batch.path);
                                                last_ = batch.ticket;
                                                if (accepting_) follower_->Accept(batch.ticket);
                                              });
  }
  void Restart() { Start(follower_->Accepted()); }
  /// What a look finds, until there is no more.
  Texts Look() {
    got_.clear();
    while (follower_->Poll().more) {
    }
    clock_.Advance(options_.look_interval);
    return got_;
  }
  Texts LookUntilQuiet() {
    Texts all;
    for (int i = 0; i < 15; ++i) {
      const Texts some = Look();
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
  const FollowerCounters& counters() const { return follower_->counters(); }
  const std::string log() const { return dir_.file("app.log"); }

  TempDir dir_;
  FakeClock clock_;
  FollowerOptions options_;
  std::unique_ptr<LogFollower> follower_;
  Texts got_;
  std::set<std::string> paths_;
  uint64_t last_ = 0;
  bool accepting_ = true;
};

TEST_F(LogFollowerTest, GivesLinesAsTheyAreWrittenAndJoinsPieces) {
  Append(log(), "one\ntw");
  Start();
  EXPECT_EQ(Look(), Texts{"one"});
  Append(log(), "o\r\nthree\n");
  EXPECT_EQ(Look(), (Texts{"two", "three"}));
  EXPECT_EQ(Look(), Texts{});
  EXPECT_EQ(counters().lines, 3u);
  EXPECT_EQ(counters().files, 1u);
  EXPECT_EQ(counters().lag_bytes, 0u);
}

TEST_F(LogFollowerTest, AFirstStartBeginsAtTheEndAndWhatComesLaterAtItsBeginning) {
  options_.from = FollowerOptions::From::kEnd;
  options_.globs = {dir_.file("*.log")};
  Append(log(), "old\nbegun");
  Start();
  EXPECT_EQ(Look(), Texts{});
  Append(log(), " before\n");
  Append(dir_.file("later.log"), "first\n");
  EXPECT_EQ(Look(), (Texts{"begun before", "first"}));
  // While nothing runs, too; but another pattern begins as a first start does.
  Append(dir_.file("meanwhile.log"), "m\n");
  Append(dir_.file("x.txt"), "old\n");
  options_.globs.push_back(dir_.file("*.txt"));
  Restart();
  EXPECT_EQ(Look(), Texts{"m"});
  Append(dir_.file("x.txt"), "new\n");
  EXPECT_EQ(Look(), Texts{"new"});
}

TEST_F(LogFollowerTest, ARenamedFileIsReadToItsEndBeforeTheNewOne) {
  Append(log(), "1\n");
  Start();
  EXPECT_EQ(Look(), Texts{"1"});
  Append(log(), "2\n");
  std::ofstream late(log(), std::ios::app);
  fs::rename(log(), log() + ".1");
  Append(log(), "4\n");
  late << "3\n" << std::flush;
  EXPECT_EQ(Look(), (Texts{"2", "3", "4"}));
  late << "late\nunfin" << std::flush;  // the writer has not opened the new one yet
  EXPECT_EQ(Look(), Texts{"late"});
  late.close();
  EXPECT_EQ(LookUntilQuiet(), Texts{"unfin"});
  EXPECT_EQ(counters().renamed, 1u);
  EXPECT_EQ(counters().unfinished, 1u);
  EXPECT_EQ(counters().files, 1u);
  EXPECT_EQ(paths_, std::set<std::string>{log()});
}

TEST_F(LogFollowerTest, AFileThatIsRenamedWithoutASuccessorIsFollowedOn) {
  Append(log(), "1\n");
  Start();
  Look();
  fs::rename(log(), dir_.file("elsewhere"));
  LookUntilQuiet();
  Append(dir_.file("elsewhere"), "2\n");
  EXPECT_EQ(Look(), Texts{"2"});
  Append(log(), "3\n");
  Append(dir_.file("elsewhere"), "still\n");
  EXPECT_EQ(Look(), (Texts{"still", "3"}));
}

TEST_F(LogFollowerTest, CopytruncateTakesTheRestFromTheCopy) {
  Append(log(), "1\n");
  Start();
  Look();
  Append(log(), "2\n");
  CopyTruncate(log(), log() + ".1");
  Append(log(), "3\n");
  EXPECT_EQ(Look(), (Texts{"2", "3"}));
  CopyTruncate(log(), log() + ".2");  // all of it was read
  EXPECT_EQ(LookUntilQuiet(), Texts{});
  Append(log(), "a first line longer than all that was there before\n");  // seen by its bytes alone
  EXPECT_EQ(Look(), Texts{"a first line longer than all that was there before"});
  EXPECT_EQ(counters().truncated, 2u);
  EXPECT_EQ(counters().lost, 0u);
}

TEST_F(LogFollowerTest, ACopyThatLacksWhatWasReadAlreadyIsNotReadAgain) {
  for (const char* glob : {"app.log", "app.log*"}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(dir_.path())) {
      fs::remove(entry.path());
    }
    options_.globs = {dir_.file(glob)};
    for (int i = 0; i < 200; ++i) Append(log(), StrCat("line ", i, '\n'));
    Start();
    EXPECT_EQ(Look().size(), 200u);
    fs::copy_file(log(), log() + ".1");
    Append(log(), "between copy and truncation\n");
    EXPECT_EQ(Look(), Texts{"between copy and truncation"});
    fs::resize_file(log(), 0);
    Append(log(), "new\n");
    EXPECT_EQ(LookUntilQuiet(), Texts{"new"}) << glob;
    Compress(log() + ".1");
    fs::rename(log() + ".1.gz", log() + ".2.gz");
    fs::rename(log(), log() + ".1");
    Append(log(), "newer\n");
    EXPECT_EQ(LookUntilQuiet(), Texts{"newer"}) << glob;
    Restart();
    EXPECT_EQ(LookUntilQuiet(), Texts{}) << glob;
    EXPECT_EQ(counters().lost, 0u);
  }
}

TEST_F(LogFollowerTest, AFileThatHasGrownAgainSinceItWasTruncatedIsSeenByItsBytes) {
  Append(log(), "10:00 a\n10:01 b\n");
  Start();
  Look();
  fs::resize_file(log(), 0);
  Append(log(), "11:00 c\n11:01 d\n11:02 e\n");
  EXPECT_EQ(Look(), (Texts{"11:00 c", "11:01 d", "11:02 e"}));
  // The first bytes may be the same; those before the position are not.
  fs::resize_file(log(), 0);
  Append(log(), "11:00 c\n11:01 x\n11:02 y\n11:03 z\n");
  EXPECT_EQ(Look().size(), 4u);
}

TEST_F(LogFollowerTest, AWriterThatDoesNotAppendLeavesAHoleThatIsSkipped) {
  const int fd = open(log().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  const std::string first = "before\n" + std::string(5 << 20, 'x') + "\n";
  ASSERT_EQ(write(fd, first.data(), first.size()), static_cast<ssize_t>(first.size()));
  Start();
  EXPECT_EQ(Look().size(), 2u);
  fs::resize_file(log(), 0);
  ASSERT_EQ(lseek(fd, 50ll << 30, SEEK_SET), 50ll << 30);
  ASSERT_EQ(write(fd, "after\n", 6), 6);
  close(fd);
  EXPECT_EQ(Look(), Texts{"after"});
  Restart();
  EXPECT_EQ(Look(), Texts{});
  EXPECT_EQ(counters().lag_bytes, 0u);
}

TEST_F(LogFollowerTest, ArchivesOfWhatWasReadAreNotReadAgain) {
  options_.globs = {dir_.file("app.log*")};
  Append(log(), "1\n2\n");
  Start();
  EXPECT_EQ(Look().size(), 2u);
  fs::rename(log(), log() + ".1");
  Append(log(), "3\n");
  EXPECT_EQ(Look(), Texts{"3"});
  Compress(log() + ".1");
  EXPECT_EQ(LookUntilQuiet(), Texts{});
  fs::rename(log() + ".1.gz", log() + ".2.gz");
  fs::rename(log(), log() + ".1");
  Append(log(), "4\n");
  EXPECT_EQ(LookUntilQuiet(), Texts{"4"});
  Restart();
  EXPECT_EQ(LookUntilQuiet(), Texts{});
}

TEST_F(LogFollowerTest, RotationsWhileNothingRunsAreCaughtUp) {
  Append(log(), "1\n");
  Start();
  Look();
  const Positions then = follower_->Accepted();
  Append(log(), "2\n");
  fs::rename(log(), log() + ".3");
  Compress(log() + ".3");
  Append(log() + ".2", "3\n");
  Compress(log() + ".2");
  Append(log() + ".1", "4\n");
  Append(log(), "5\n");
  Start(then);
  EXPECT_EQ(LookUntilQuiet(), (Texts{"2", "3", "4", "5"}));
  EXPECT_EQ(counters().archives, 3u);
  Restart();
  EXPECT_EQ(LookUntilQuiet(), Texts{});
}

TEST_F(LogFollowerTest, TwoRotationsBetweenTwoLooksLoseNothing) {
  Append(log(), "1\n");
  Start();
  Look();
  fs::rename(log(), log() + ".2");
  Append(log() + ".1", "2\n");
  Append(log(), "3\n");
  EXPECT_EQ(Look(), (Texts{"2", "3"}));
  EXPECT_EQ(LookUntilQuiet(), Texts{});
}

TEST_F(LogFollowerTest, ArchivesFromBeforeTheFirstStartStayUnread) {
  options_.from = FollowerOptions::From::kEnd;
  Append(log() + ".2", "ancient\n");
  Compress(log() + ".2");
  Append(log() + ".1", "old\n");
  Append(log(), "present\n");
  Start();
  EXPECT_EQ(Look(), Texts{});
  fs::rename(log() + ".2.gz", log() + ".3.gz");
  fs::rename(log() + ".1", log() + ".2");
  Gzip(log() + ".2", log() + ".2.gz");
  fs::last_write_time(log() + ".2.gz", fs::file_time_type::clock::now());  // some tools forget it
  fs::remove(log() + ".2");
  fs::rename(log(), log() + ".1");
  Append(log(), "new\n");
  EXPECT_EQ(LookUntilQuiet(), Texts{"new"});
}

TEST_F(LogFollowerTest, AnArchiveThatIsStillWrittenIsWaitedFor) {
  Append(log(), "1\n");
  Start();
  Look();
  const Positions then = follower_->Accepted();
  Rng rng(1);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += StrCat("line ", i, ' ', rng(), '\n');
  Append(log(), text);
  fs::rename(log(), log() + ".1");
  Compress(log() + ".1");
  const std::string whole = BytesOf(log() + ".1.gz");
  std::ofstream(log() + ".1.gz", std::ios::trunc) << whole.substr(0, 20);
  Start(then);
  size_t lines = Look().size();
  for (size_t at = 20; at < whole.size(); at += 20'000) {
    Append(log() + ".1.gz", whole.substr(at, 20'000));
    lines += Look().size();
  }
  lines += LookUntilQuiet().size();
  EXPECT_EQ(lines, 5000u);
  EXPECT_EQ(counters().errors, 0u);
}

TEST_F(LogFollowerTest, AFileThatIsDeletedIsReadToItsEnd) {
  Append(log(), "1\n");
  Start();
  Look();
  std::ofstream writer(log(), std::ios::app);
  fs::remove(log());
  writer << "2\n3" << std::flush;
  EXPECT_EQ(LookUntilQuiet(), (Texts{"2", "3"}));
  EXPECT_EQ(counters().deleted, 1u);
  EXPECT_EQ(counters().files, 0u);
}

TEST_F(LogFollowerTest, AFolderThatVanishesAndComesBackIsFollowedAgain) {
  fs::create_directory(dir_.path() / "logs");
  options_.globs = {dir_.file("logs/*.log")};
  Append(dir_.file("logs/a.log"), "1\n");
  Start();
  EXPECT_EQ(Look(), Texts{"1"});
  fs::rename(dir_.path() / "logs", dir_.path() / "away");
  EXPECT_EQ(LookUntilQuiet(), Texts{});
  Append(dir_.file("away/a.log"), "2\n");
  EXPECT_EQ(Look(), Texts{"2"});
  fs::rename(dir_.path() / "away", dir_.path() / "logs");
  Append(dir_.file("logs/a.log"), "3\n");
  EXPECT_EQ(Look(), Texts{"3"});
  fs::remove_all(dir_.path() / "logs");
  EXPECT_EQ(LookUntilQuiet(), Texts{});
  fs::create_directory(dir_.path() / "logs");
  Append(dir_.file("logs/a.log"), "4\n");
  EXPECT_EQ(Look(), Texts{"4"});
  EXPECT_EQ(counters().errors, 0u);
}

TEST_F(LogFollowerTest, WhatIsNoFileIsSaidAndNeverWaitedFor) {
  options_.globs = {dir_.file("*.log")};
  Append(log(), "1\n");
  Start();
  Look();
  fs::remove(log());
  ASSERT_EQ(mkfifo(log().c_str(), 0644), 0);
  fs::create_directory(dir_.file("folder.log"));
  fs::create_symlink(dir_.file("nowhere"), dir_.file("dangling.log"));
  LookUntilQuiet();
  EXPECT_GT(counters().errors, 0u);
  fs::remove(log());
  Append(log(), "2\n");
  EXPECT_EQ(Look(), Texts{"2"});
}

TEST_F(LogFollowerTest, AFileThatMayNotBeReadIsTriedAgain) {
  if (geteuid() == 0) {
    // Root may read all; a link that goes in a circle is an error of the same kind.
    fs::create_symlink(log(), log());
  } else {
    Append(log(), "1\n");
    fs::permissions(log(), fs::perms::none);
  }
  Start();
  EXPECT_EQ(Look(), Texts{});
  EXPECT_EQ(counters().errors, 1u);
  if (geteuid() == 0) {
    fs::remove(log());
    Append(log(), "1\n");
  } else {
    fs::permissions(log(), fs::perms::owner_all);
  }
  EXPECT_EQ(Look(), Texts{"1"});
}

TEST_F(LogFollowerTest, ALinkAndItsTargetAreOneFile) {
  fs::create_directories(dir_.path() / "pods/a/web");
  fs::create_directory(dir_.path() / "containers");
  Append(dir_.file("pods/a/web/0.log"), "1\n");
  fs::create_symlink(dir_.file("pods/a/web/0.log"), dir_.file("containers/web.log"));
  options_.globs = {dir_.file("containers/*.log"), dir_.file("pods/**/*.log"),
                    dir_.file("pods/*/*/*.log")};
  Start();
  EXPECT_EQ(Look(), Texts{"1"});
  // The container is started anew: another file, and the link leads there.
  Append(dir_.file("pods/a/web/0.log"), "2\n");
  Append(dir_.file("pods/a/web/1.log"), "3\n");
  fs::remove(dir_.file("containers/web.log"));
  fs::create_symlink(dir_.file("pods/a/web/1.log"), dir_.file("containers/web.log"));
  EXPECT_EQ(LookUntilQuiet(), (Texts{"2", "3"}));
  // What rotation leaves lies beside the target.
  fs::rename(dir_.file("pods/a/web/1.log"), dir_.file("pods/a/web/1.log.20260301-120000"));
  Append(dir_.file("pods/a/web/1.log"), "4\n");
  EXPECT_EQ(LookUntilQuiet(), Texts{"4"});
  EXPECT_EQ(counters().lost, 0u);
}

TEST_F(LogFollowerTest, AnInodeThatIsUsedAgainIsAnotherFile) {
  Append(log(), "1\n");
  Start();
  Look();
  Positions then = follower_->Accepted();
  std::ofstream(log(), std::ios::trunc) << "another\n";  // the same inode, other bytes
  Start(then);
  EXPECT_EQ(Look(), Texts{"another"});
}

TEST_F(LogFollowerTest, ALogOnAnotherDeviceIsKnownByItsContent) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += StrCat("line ", i, '\n');
  Append(log(), text);
  Start();
  EXPECT_EQ(Look().size(), 200u);
  Positions then = follower_->Accepted();
  for (FilePosition& file : then.files) file.device += 7;
  Append(log(), "new\n");
  Start(then);
  EXPECT_EQ(Look(), Texts{"new"});
}

TEST_F(LogFollowerTest, ALogThatBeginsAnewWithTheSameLineIsReadFromItsBeginning) {
  Append(log(), "started\n");
  Start();
  EXPECT_EQ(Look(), Texts{"started"});
  fs::rename(log(), log() + ".1");
  Append(log(), "started\nmore\n");
  EXPECT_EQ(LookUntilQuiet(), (Texts{"started", "more"}));
}

TEST_F(LogFollowerTest, ReadsNoFurtherThanTheLead) {
  options_.max_lead_bytes = 10'000;
  options_.read_bytes = 4096;
  accepting_ = false;
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += StrCat("line ", i, '\n');
  Append(log(), text);
  Start();
  Texts all = Look();
  EXPECT_LT(counters().bytes, 10'000u + 4096);
  EXPECT_EQ(counters().lag_bytes, text.size());
  for (int i = 0; i < 100; ++i) {
    follower_->Accept(last_);
    const Texts some = Look();
    all.insert(all.end(), some.begin(), some.end());
  }
  ASSERT_EQ(all.size(), 10'000u);
  EXPECT_EQ(all.back(), "line 9999");
}

TEST_F(LogFollowerTest, WhatWasNotAcceptedIsGivenAgainAfterARestart) {
  options_.max_batch_lines = 2;
  accepting_ = false;
  Append(log(), "1\n2\n3\n4\n5\n");
  Start();
  EXPECT_EQ(Look().size(), 5u);
  follower_->Accept(1);
  Restart();
  EXPECT_EQ(Look(), (Texts{"3", "4", "5"}));
}

TEST_F(LogFollowerTest, ABusyFileDoesNotKeepOthersWaiting) {
  options_.globs = {dir_.file("*.log")};
  options_.read_bytes = 1000;
  options_.max_poll_bytes = 5000;
  Append(dir_.file("a.log"), std::string(1 << 20, 'x').replace(500'000, 1, "\n"));
  std::string busy;
  for (int i = 0; i < 20'000; ++i) busy += StrCat("busy ", i, '\n');
  Append(dir_.file("b.log"), busy);
  Append(dir_.file("c.log"), "quiet\n");
  Start();
  follower_->Poll();
  EXPECT_NE(std::find(got_.begin(), got_.end(), "quiet"), got_.end());
}

TEST_F(LogFollowerTest, LongLinesAreCutAndCounted) {
  options_.max_line_bytes = 1000;
  options_.read_bytes = 4096;
  Append(log(), "a\n" + std::string(10 << 20, 'x') + "\nb\n");
  Start();
  EXPECT_EQ(Look(), (Texts{"a", std::string(1000, 'x'), "b"}));
  EXPECT_EQ(counters().cut_lines, 1u);
  EXPECT_EQ(counters().cut_bytes, (10u << 20) - 1000);
}

TEST_F(LogFollowerTest, NoMoreFilesThanAllowed) {
  options_.globs = {dir_.file("*.log")};
  options_.max_files = 3;
  for (int i = 0; i < 5; ++i) Append(dir_.file(StrCat(i, ".log")), "x\n");
  Start();
  EXPECT_EQ(Look().size(), 3u);
  EXPECT_EQ(counters().left_out, 2u);
  fs::remove(dir_.file("0.log"));
  EXPECT_EQ(LookUntilQuiet().size(), 1u);
  EXPECT_EQ(counters().left_out, 1u);
}

TEST_F(LogFollowerTest, PositionsOfFilesThatHaveGoneAreForgottenAfterAWeek) {
  options_.globs = {dir_.file("*.log")};
  Append(log(), "1\n");
  Append(dir_.file("gone.log"), "1\n");
  Start();
  Look();
  fs::remove(dir_.file("gone.log"));
  LookUntilQuiet();
  EXPECT_EQ(follower_->Accepted().files.size(), 2u);
  clock_.Advance(std::chrono::hours(24 * 8));
  Look();
  ASSERT_EQ(follower_->Accepted().files.size(), 1u);
  EXPECT_EQ(follower_->Accepted().files[0].path, log());
}

}  // namespace
}  // namespace leadsman
