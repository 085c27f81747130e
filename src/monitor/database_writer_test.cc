#include "monitor/database_writer.h"

#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

TEST(DatabaseWriterTest, AWriteThatHangsDoesNotFillTheMemory) {
  TempDir dir;
  FakeClock clock;
  auto database = Database::Open(dir.file("monitor.db"), clock.Now());
  ASSERT_TRUE(database.ok()) << database.status();
  DatabaseWriter writer(**database);
  Database::Batch batch;
  batch.marks.resize(DatabaseWriter::kMaxRows);
  // Many rows: still in hand when the next batch is offered.
  ASSERT_TRUE(writer.Offer(batch, {}, clock.SteadyNow(), false));
  batch.marks.resize(DatabaseWriter::kMaxRows + 7);
  ASSERT_FALSE(writer.Offer(batch, {}, clock.SteadyNow(), false));
  EXPECT_EQ(batch.marks.size(), DatabaseWriter::kMaxRows);
  EXPECT_EQ(writer.rows_lost(), 7u);
  EXPECT_TRUE(writer.WaitIdle(30s));
}

}  // namespace
}  // namespace leadsman
