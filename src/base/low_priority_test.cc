#include "base/low_priority.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

namespace leadsman {
namespace {

int Nice(int thread) { return getpriority(PRIO_PROCESS, static_cast<id_t>(thread)); }
int Self() { return static_cast<int>(syscall(SYS_gettid)); }

TEST(LowPriorityTest, OnlyTheWorkIsLowered) {
  const int before = Nice(Self());
  int inside = 0;
  RunAtLowPriority([&] { inside = Nice(Self()); });
  EXPECT_GE(inside, 15);
  EXPECT_EQ(Nice(Self()), before);
  EXPECT_THROW(RunAtLowPriority([] { throw std::runtime_error("x"); }), std::runtime_error);
}

TEST(LowPriorityTest, WhatTheWorkStartedGetsItsPriorityBackWhereThatIsAllowed) {
  std::atomic<bool> over{false};
  std::atomic<int> id{0};
  std::thread started;
  const std::vector<int> before = ThreadIds();
  RunAtLowPriority([&] {
    started = std::thread([&] {
      id = Self();
      id.notify_all();
      over.wait(false);
    });
  });
  id.wait(0);
  EXPECT_GE(Nice(id), 15);
  EXPECT_EQ(RestorePriority(before), MayRestorePriority() ? 0 : 1);
  EXPECT_EQ(Nice(id), MayRestorePriority() ? 0 : 15);
  over = true;
  over.notify_all();
  started.join();
}

}  // namespace
}  // namespace leadsman
