#include "intake/position_journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "intake/testing/rotated_files.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

Positions Example() {
  Positions positions;
  positions.globs = {"/var/log/pods/*/*/*.log", "/a folder/\xff\n%.log"};
  for (uint64_t i = 1; i < 5; ++i) {
    FilePosition file;
    file.path = StrCat("/var/log/a b/", i, ".log");
    file.real_path = "/x/\n\xfe";
    file.device = i;
    file.inode = ~i;
    file.mark = {{1024, ~0ull - i}, 1ull << (i * 15), {200, i}};
    file.modified_ns = -5;
    file.seen_hour = 500'000;
    file.current = i % 2 == 0;
    file.finished = i > 2;
    positions.files.push_back(file);
  }
  positions.searches = {{"/x/y.log", 1'700'000'000'000'000'000}, {"/ ", -1}};
  return positions;
}

TEST(PositionJournalTest, WhatIsSavedIsLoaded) {
  TempDir dir;
  FakeClock clock;
  PositionJournal journal(dir.file("positions"), clock);
  auto first = journal.Load();
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(*first);
  ASSERT_TRUE(journal.Save(Example()).ok());
  PositionJournal again(dir.file("positions"), clock);
  auto loaded = again.Load();
  ASSERT_TRUE(loaded.ok() && *loaded);
  EXPECT_EQ(**loaded, Example());
}

TEST(PositionJournalTest, WritesOnceASecondAndOnlyWhatHasChanged) {
  TempDir dir;
  FakeClock clock;
  PositionJournal journal(dir.file("positions"), clock);
  Positions positions = Example();
  auto give = [&] { return positions; };
  for (int i = 0; i < 50; ++i) {
    journal.SaveIfDue(give);
    ++positions.files[0].mark.position;
    clock.Advance(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(journal.saves(), 5u);
  clock.Advance(std::chrono::seconds(1));
  journal.SaveIfDue(give);
  clock.Advance(std::chrono::seconds(1));
  journal.SaveIfDue(give);
  EXPECT_EQ(journal.saves(), 6u);
}

TEST(PositionJournalTest, ADamagedOneIsPutAside) {
  TempDir dir;
  FakeClock clock;
  const std::string text = SerializePositions(Example());
  for (size_t cut = 0; cut < text.size(); cut += 7) {
    EXPECT_EQ(ParsePositions(text.substr(0, cut)).status().code(), StatusCode::kDataLoss) << cut;
  }
  Rng rng(3);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = text;
    damaged[20 + rng.Below(damaged.size() - 20)] ^= static_cast<char>(1 + rng.Below(255));
    EXPECT_EQ(ParsePositions(damaged).status().code(), StatusCode::kDataLoss) << i;
  }
  dir.Write("positions", text.substr(0, 100));
  PositionJournal journal(dir.file("positions"), clock);
  auto loaded = journal.Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE(*loaded);
  EXPECT_FALSE(fs::exists(dir.file("positions")));
  EXPECT_EQ(BytesOf(StrCat(dir.file("positions.broken-"), UnixMillis(clock.Now()))),
            text.substr(0, 100));
}

TEST(PositionJournalTest, ANewerOneIsLeftAlone) {
  TempDir dir;
  FakeClock clock;
  dir.Write("positions", "leadsman-positions 2\nwhatever\n");
  PositionJournal journal(dir.file("positions"), clock);
  EXPECT_EQ(journal.Load().status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::exists(dir.file("positions")));
}

TEST(PositionJournalTest, WhatAKillLeftHalfWrittenIsRemoved) {
  TempDir dir;
  FakeClock clock;
  dir.Write("positions", SerializePositions(Example()));
  Append(dir.file("positions.tmp-77-3"), "half");
  PositionJournal journal(dir.file("positions"), clock);
  auto loaded = journal.Load();
  ASSERT_TRUE(loaded.ok() && *loaded);
  EXPECT_FALSE(fs::exists(dir.file("positions.tmp-77-3")));
}

TEST(PositionJournalTest, AFullDiskKeepsTheOldPositionsAndIsTriedAgain) {
  TempDir dir;
  FakeClock clock;
  PositionJournal journal(dir.file("positions"), clock);
  ASSERT_TRUE(journal.Save(Example()).ok());
  Positions more = Example();
  ++more.files[0].mark.position;
  // A limit on file sizes fails a write as a full disk does, half-way.
  struct rlimit before {};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 100;
  setrlimit(RLIMIT_FSIZE, &small);
  for (int i = 0; i < 5; ++i) {
    clock.Advance(std::chrono::seconds(1));
    journal.SaveIfDue([&] { return more; });
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(journal.failures(), 5u);
  EXPECT_EQ(BytesOf(dir.file("positions")), SerializePositions(Example()));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  clock.Advance(std::chrono::seconds(1));
  journal.SaveIfDue([&] { return more; });
  EXPECT_EQ(BytesOf(dir.file("positions")), SerializePositions(more));
}

}  // namespace
}  // namespace leadsman
