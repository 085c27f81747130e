#include "rollout/journal.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

RolloutState First() { return BeginRollout("digits", 1, 2, RolloutPlan{}, FromUnixMillis(1000)); }

StepInput Traffic() {
  StepInput in;
  in.elapsed = std::chrono::seconds(1);
  in.stable_window.requests = 90;
  in.candidate_window.requests = 10;
  return in;
}

/// Begins rollout 1 and journals so many ticks.
RolloutState Write(Journal& journal, int ticks) {
  RolloutState state = First();
  EXPECT_TRUE(journal.Begin(1, state, {"digits", 1, {}}).ok());
  for (int i = 0; i < ticks; ++i) {
    StepInput in = Traffic();
    StepOutput out = Step(state, in);
    EXPECT_TRUE(journal.AppendTick(1, in, out, std::nullopt).ok());
    state = out.state;
  }
  return state;
}

TEST(JournalTest, KeepsModelsRolloutsAndTicksAcrossOpenings) {
  TempDir dir;
  RolloutState state;
  {
    auto journal = Journal::Open(dir.file("journal.db"));
    ASSERT_TRUE(journal.ok()) << journal.status();
    state = Write(**journal, 3);
    ASSERT_TRUE((*journal)->SaveModel({"digits", 1, {3, 5}}).ok());
  }
  auto journal = Journal::Open(dir.file("journal.db")).value();
  EXPECT_EQ(journal->Models().value(), (std::vector<ModelRecord>{{"digits", 1, {3, 5}}}));
  auto rollouts = journal->Rollouts().value();
  ASSERT_EQ(rollouts.size(), 1u);
  EXPECT_TRUE(rollouts[0].state == state);
  EXPECT_EQ(journal->NextId().value(), 2);
  int ticks = 0;
  auto replay = ReplayRollout(*journal, 1, [&](const StepInput& in, const StepOutput&) {
    ++ticks;
    EXPECT_EQ(in, Traffic());
  });
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(ticks, 3);
  EXPECT_TRUE(replay->agrees);
  EXPECT_EQ(ReplayRollout(*journal, 9, nullptr).status().code(), StatusCode::kNotFound);
}

TEST(JournalTest, AFullDiskIsUnavailableLeavesNothingHalfWrittenAndPasses) {
  TempDir dir;
  auto journal = Journal::Open(dir.file("journal.db")).value();
  RolloutState state = Write(*journal, 1);
  journal->LimitPages(1);  // as many as there are now
  Status status;
  int written = 1;
  for (int i = 0; i < 1000 && status.ok(); ++i) {
    StepOutput out = Step(state, Traffic());
    status = journal->AppendTick(1, Traffic(), out, std::nullopt);
    if (!status.ok()) break;
    state = out.state;
    ++written;
  }
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
  EXPECT_EQ(journal->Inputs(1).value().size(), static_cast<size_t>(written));
  EXPECT_TRUE(ReplayRollout(*journal, 1, nullptr).value().agrees);
  journal->LimitPages(100'000);
  EXPECT_TRUE(journal->AppendTick(1, Traffic(), Step(state, Traffic()), std::nullopt).ok());
}

TEST(JournalTest, AFileThatIsNoDatabaseIsDataLossWithAdvice) {
  TempDir dir;
  std::ofstream(dir.file("journal.db")) << std::string(10'000, 'x');
  auto journal = Journal::Open(dir.file("journal.db"));
  ASSERT_FALSE(journal.ok());
  EXPECT_EQ(journal.status().code(), StatusCode::kDataLoss);
  EXPECT_NE(journal.status().message().find("move "), std::string_view::npos);
}

TEST(JournalTest, DamagedPagesAreDataLoss) {
  TempDir dir;
  {
    auto journal = Journal::Open(dir.file("journal.db")).value();
    Write(*journal, 50);
  }
  {
    std::fstream file(dir.file("journal.db"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(60'000, '\x7f');
  }
  auto journal = Journal::Open(dir.file("journal.db"));
  ASSERT_FALSE(journal.ok());
  EXPECT_EQ(journal.status().code(), StatusCode::kDataLoss) << journal.status();
}

TEST(JournalTest, ARowThatIsNotAStateIsDataLoss) {
  TempDir dir;
  auto journal = Journal::Open(dir.file("journal.db")).value();
  Write(*journal, 1);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(dir.file("journal.db").c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "UPDATE rollouts SET state = 'oops'", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  EXPECT_EQ(journal->Rollouts().status().code(), StatusCode::kDataLoss);
}

TEST(JournalTest, AFolderThatIsNotThereIsUnavailable) {
  TempDir dir;
  EXPECT_EQ(Journal::Open(dir.file("no/such/journal.db")).status().code(),
            StatusCode::kUnavailable);
}

TEST(JournalTest, ForgetsTheOldestEndedRollouts) {
  auto journal = Journal::Open("").value();
  for (int id = 1; id <= 120; ++id) {
    ASSERT_TRUE(journal->Begin(id, First(), {"digits", 1, {}}).ok());
  }
  EXPECT_EQ(journal->Rollouts().value().size(), 100u);
  EXPECT_EQ(journal->NextId().value(), 121);
}

}  // namespace
}  // namespace leadsman
