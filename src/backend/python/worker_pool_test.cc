#include "backend/python/worker_pool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman::python {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

/// A pool of one worker whose guard neither ends when it is told nor says a word, as if the kernel held it.
class StuckGuardTest : public testing::Test {
 protected:
  StuckGuardTest() {
    settings_.model_name = "m";
    settings_.spawn.guard = dir_.file("guard");
    settings_.options.load_timeout = 100ms;
    settings_.options.close_timeout = 0ms;
    settings_.kill_wait = 50ms;
    std::ofstream(settings_.spawn.guard)
        << "#!/bin/sh\necho $$ > " << dir_.file("pid") << "\nexec sleep 1000\n";
    EXPECT_EQ(chmod(settings_.spawn.guard.c_str(), 0755), 0);
  }
  Status StartAndClose() {
    WorkerPool pool(SystemClock(), loop_, settings_, std::make_shared<ModelCounters>());
    return pool.Start(nullptr);
  }
  /// Its end is seen however late it comes, so that it stays no zombie.
  void KillAndAwaitReaped() {
    pid_t guard = 0;
    ASSERT_TRUE(Until([&] { return std::ifstream(dir_.file("pid")) >> guard && guard > 0; }));
    ASSERT_EQ(kill(guard, SIGKILL), 0);
    EXPECT_TRUE(Until([&] { return kill(guard, 0) != 0; }));
  }
  /// Bounded; for what another process or thread does in its own time.
  template <typename F>
  static bool Until(F condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }

  TempDir dir_;
  WorkerLoop loop_{SystemClock()};
  WorkerPool::Settings settings_;
};

TEST_F(StuckGuardTest, AWorkerThatCouldNotBeStartedIsWaitedForByNobody) {
  settings_.load_json = std::string(2 << 20, ' ');
  EXPECT_EQ(StartAndClose().code(), StatusCode::kInvalidArgument);
  KillAndAwaitReaped();
}

TEST_F(StuckGuardTest, ALoadThatDoesNotEndIsGivenUp) {
  const Status status = StartAndClose();
  EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
  EXPECT_NE(status.message().find("load_timeout"), std::string::npos) << status;
  KillAndAwaitReaped();
}

}  // namespace
}  // namespace leadsman::python
