#include "batching/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <deque>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

#include "base/rng.h"
#include "base/testing/fake_clock.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

struct Task final : BatchTask {
  Task() { cheap = true; }
  std::promise<int> end;  ///< -1 = run, else the DropReason
  std::future<int> ended = end.get_future();
  void OnDropped(DropReason reason) override { end.set_value(static_cast<int>(reason)); }
  int End() {
    // Far longer than it takes: a bound for a broken scheduler, nothing is measured.
    CHECK(ended.wait_for(60s) == std::future_status::ready);
    return ended.get();
  }
};

bool AllShare(const BatchTask&, const BatchTask&) { return true; }

class SchedulerTest : public ::testing::Test {
 protected:
  void Start(Scheduler::Options options) {
    Status started = TryStart(std::move(options));
    ASSERT_TRUE(started.ok()) << started;
  }
  Status TryStart(Scheduler::Options options) {
    options.name = "the queue of model m";
    Result<std::unique_ptr<Scheduler>> scheduler = Scheduler::Create(
        clock_, keeper_, std::move(options), AllShare,
        [this](const ClosedBatch& batch) {
          {
            MutexLock lock(mutex_);
            sizes_.push_back(batch.tasks.size());
            ++inside_;
            most_ = std::max(most_, inside_);
            entered_.NotifyAll();
            while (held_) released_.WaitFor(mutex_, 10s);
            --inside_;
          }
          for (BatchTask* task : batch.tasks) static_cast<Task*>(task)->end.set_value(-1);
        },
        stats_);
    if (scheduler.ok()) scheduler_ = std::move(scheduler).value();
    return scheduler.status();
  }
  /// A system that has so many threads left.
  static std::function<std::thread(std::function<void()>)> Threads(int left) {
    return [left](std::function<void()> body) mutable {
      if (left-- == 0) throw std::system_error(EAGAIN, std::generic_category());
      return std::thread(std::move(body));
    };
  }
  /// Threads that begin when Go is called: as those of a busy system may.
  std::function<std::thread(std::function<void()>)> ThreadsThatWait() {
    return [this](std::function<void()> body) {
      return std::thread([this, body = std::move(body)] {
        go_.wait();
        body();
      });
    };
  }
  void Go() {
    if (!std::exchange(gone_, true)) may_go_.set_value();
  }
  void TearDown() override { Go(); }
  Status Submit(Task& task) {
    task.arrived = clock_.SteadyNow();
    BatchTask* one[] = {&task};
    return scheduler_->Submit(one);
  }
  void Hold(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    released_.NotifyAll();
  }
  void AwaitInside(int count) {
    MutexLock lock(mutex_);
    while (inside_ < count) entered_.WaitFor(mutex_, 10s);
  }
  std::vector<size_t> Sizes() {
    MutexLock lock(mutex_);
    return sizes_;
  }

  FakeClock clock_;
  std::shared_ptr<QueueKeeper> keeper_ = std::make_shared<QueueKeeper>();
  std::shared_ptr<BatchStats> stats_ = std::make_shared<BatchStats>();
  Mutex mutex_;
  CondVar entered_, released_;
  std::vector<size_t> sizes_;
  int inside_ = 0, most_ = 0;
  bool held_ = false;
  bool gone_ = false;
  std::promise<void> may_go_;
  std::shared_future<void> go_ = may_go_.get_future().share();
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, BatchesGrowWhileTheInstanceIsBusy) {
  Start({.policy = {.max_rows = 4}});
  Hold(true);
  std::deque<Task> tasks(6);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  for (size_t i = 1; i < 6; ++i) ASSERT_TRUE(Submit(tasks[i]).ok());
  Hold(false);
  for (Task& task : tasks) EXPECT_EQ(task.End(), -1);
  EXPECT_EQ(Sizes(), (std::vector<size_t>{1, 4, 1}));
  EXPECT_EQ(stats_->batches[static_cast<size_t>(CloseReason::kFull)], 1u);
}

TEST_F(SchedulerTest, ACallerRunsWhatWaitsAsOneBatchOnItsOwnThread) {
  Start({.policy = {.max_rows = 8}, .start_thread = ThreadsThatWait()});
  std::deque<Task> tasks(3);
  for (Task& task : tasks) {
    task.arrived = clock_.SteadyNow();
    BatchTask* one[] = {&task};
    ASSERT_TRUE(scheduler_->Submit(one, true).ok());
  }
  EXPECT_EQ(scheduler_->depth(), 3u) << "no instance was woken";
  scheduler_->RunWaiting();
  for (Task& task : tasks)
    EXPECT_EQ(task.ended.wait_for(0s), std::future_status::ready) << "before RunWaiting returned";
  EXPECT_EQ(Sizes(), (std::vector<size_t>{3}));
  EXPECT_EQ(stats_->batches[static_cast<size_t>(CloseReason::kIdle)], 1u);
  scheduler_->RunWaiting();  // nothing there: nothing happens
  EXPECT_EQ(Sizes().size(), 1u);
}

TEST_F(SchedulerTest, WhatACallerLeavesIsTheInstances) {
  Start({.policy = {.max_rows = 2}});
  std::deque<Task> tasks(5);
  for (Task& task : tasks) {
    task.arrived = clock_.SteadyNow();
    BatchTask* one[] = {&task};
    ASSERT_TRUE(scheduler_->Submit(one, true).ok());
  }
  scheduler_->RunWaiting();
  for (Task& task : tasks) EXPECT_EQ(task.End(), -1);
}

TEST_F(SchedulerTest, ACallerRunsNothingDear) {
  Start({.policy = {.max_rows = 8}, .start_thread = ThreadsThatWait()});
  Task dear, cheap;
  dear.cheap = false;
  for (Task* task : {&dear, &cheap}) {
    task->arrived = clock_.SteadyNow();
    BatchTask* one[] = {task};
    ASSERT_TRUE(scheduler_->Submit(one, true).ok());
  }
  scheduler_->RunWaiting();
  EXPECT_EQ(scheduler_->depth(), 2u) << "what is next is not for this thread";
  Go();
  EXPECT_EQ(dear.End(), -1);
  EXPECT_EQ(cheap.End(), -1);
}

TEST_F(SchedulerTest, StopWaitsForACallerThatRuns) {
  Start({.policy = {.max_rows = 2}, .start_thread = ThreadsThatWait()});
  Hold(true);
  Task task, dropped;
  BatchTask* one[] = {&task};
  ASSERT_TRUE(scheduler_->Submit(one, true).ok());
  std::thread caller([&] { scheduler_->RunWaiting(); });
  AwaitInside(1);
  BatchTask* other[] = {&dropped};
  ASSERT_TRUE(scheduler_->Submit(other, true).ok());
  EXPECT_FALSE(scheduler_->Stop(20ms));
  EXPECT_EQ(dropped.End(), static_cast<int>(DropReason::kStopping));
  Hold(false);
  Go();
  EXPECT_TRUE(scheduler_->Stop(60s));
  EXPECT_EQ(task.End(), -1);
  scheduler_->RunWaiting();
  caller.join();
}

TEST_F(SchedulerTest, WaitsForOthersUntilTheyAreThere) {
  Start({.policy = {.max_rows = 3, .max_delay = 1h}});
  std::deque<Task> tasks(3);
  for (Task& task : tasks) ASSERT_TRUE(Submit(task).ok());
  for (Task& task : tasks) EXPECT_EQ(task.End(), -1);
  EXPECT_EQ(Sizes(), (std::vector<size_t>{3}));
}

TEST_F(SchedulerTest, DrainingEndsTheDelay) {
  Start({.policy = {.max_rows = 3, .max_delay = 1h}});
  Task task;
  ASSERT_TRUE(Submit(task).ok());
  scheduler_->Drain();
  EXPECT_EQ(task.End(), -1);
  EXPECT_EQ(stats_->batches[static_cast<size_t>(CloseReason::kDrain)], 1u);
}

TEST_F(SchedulerTest, RunsAsManyAtOnceAsItHasInstances) {
  Start({.policy = {.max_rows = 1}, .instances = 3});
  Hold(true);
  std::deque<Task> tasks(5);
  for (Task& task : tasks) ASSERT_TRUE(Submit(task).ok());
  AwaitInside(3);
  Hold(false);
  for (Task& task : tasks) EXPECT_EQ(task.End(), -1);
  EXPECT_EQ(most_, 3);
}

TEST_F(SchedulerTest, GoesOnWithTheThreadsThatTheSystemHas) {
  Start({.policy = {.max_rows = 1}, .instances = 3, .start_thread = Threads(2)});
  EXPECT_EQ(stats_->instances, 2);
  Hold(true);
  std::deque<Task> tasks(3);
  for (Task& task : tasks) ASSERT_TRUE(Submit(task).ok());
  AwaitInside(2);
  EXPECT_EQ(scheduler_->depth(), 1u);
  Hold(false);
  for (Task& task : tasks) EXPECT_EQ(task.End(), -1);
  EXPECT_TRUE(scheduler_->Stop(60s));
  EXPECT_EQ(stats_->instances, 0);
}

TEST_F(SchedulerTest, SaysSoWhenTheSystemHasNoThreads) {
  Status none = TryStart({.instances = 3, .start_thread = Threads(0)});
  EXPECT_EQ(none.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(none.message().find("the queue of model m has no thread"), std::string::npos) << none;
  EXPECT_EQ(stats_->instances, 0);
}

TEST_F(SchedulerTest, RefusesWhatTheQueueHasNoRoomFor) {
  Start({.policy = {.max_rows = 1}, .limits = {.max_requests = 1}});
  Hold(true);
  std::deque<Task> tasks(3);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  ASSERT_TRUE(Submit(tasks[1]).ok());
  Status full = Submit(tasks[2]);
  EXPECT_EQ(full.code(), StatusCode::kUnavailable);
  EXPECT_NE(full.message().find("the queue of model m is full (1 requests)"), std::string::npos)
      << full;
  // One that is taken out makes room.
  EXPECT_TRUE(scheduler_->Cancel(tasks[1]));
  EXPECT_TRUE(Submit(tasks[2]).ok());
  Hold(false);
  EXPECT_EQ(tasks[2].End(), -1);
}

TEST_F(SchedulerTest, RefusesWhatTheQueueHasNoMemoryFor) {
  Start({.bytes_key = "queue.max_bytes", .policy = {.max_rows = 1}, .limits = {.max_bytes = 100}});
  Hold(true);
  std::deque<Task> tasks(6);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  const size_t bytes[] = {0, 1000, 1, 60, 41, 40};
  for (size_t i = 1; i < tasks.size(); ++i) {
    tasks[i].bytes = bytes[i];
    const Status status = Submit(tasks[i]);
    const bool fits = i == 1 || i == 3 || i == 5;  // an empty queue takes any
    EXPECT_EQ(status.code(), fits ? StatusCode::kOk : StatusCode::kUnavailable) << i;
    if (!fits) {
      EXPECT_NE(status.message().find("100 bytes (queue.max_bytes)"), std::string::npos) << status;
    }
    if (i == 2) {
      EXPECT_TRUE(scheduler_->Cancel(tasks[1]));
    }
  }
  EXPECT_EQ(stats_->rejected[static_cast<size_t>(RejectReason::kMemory)], 2u);
  EXPECT_EQ(stats_->bytes, 100);
  Hold(false);
  for (size_t i : {0, 3, 5}) EXPECT_EQ(tasks[i].End(), -1);
  scheduler_.reset();  // before the tasks go
  EXPECT_EQ(stats_->bytes, 0);
}

TEST_F(SchedulerTest, WhatIsCancelledLeavesTheQueueWhileTheInstanceIsBusy) {
  Start({.policy = {.max_rows = 1}});
  Hold(true);
  std::deque<Task> tasks(2);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  ASSERT_TRUE(Submit(tasks[1]).ok());
  EXPECT_FALSE(scheduler_->Cancel(tasks[0]));
  EXPECT_TRUE(scheduler_->Cancel(tasks[1]));
  EXPECT_EQ(scheduler_->depth(), 0u);
  Hold(false);
  scheduler_.reset();  // before the tasks go
}

TEST_F(SchedulerTest, WhatExpiresIsToldWhileTheInstanceIsBusy) {
  Start({.policy = {.max_rows = 1}});
  Hold(true);
  std::deque<Task> tasks(2);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  tasks[1].deadline = clock_.SteadyNow() + 5ms;
  ASSERT_TRUE(Submit(tasks[1]).ok());
  clock_.Advance(5ms);
  EXPECT_EQ(tasks[1].End(), static_cast<int>(DropReason::kExpired));
  Hold(false);
  scheduler_.reset();  // before the tasks go
}

TEST_F(SchedulerTest, RefusesAtOnceWhatCannotBeAnsweredInTime) {
  Start({.policy = {.max_rows = 1}, .instances = 1});
  Hold(true);
  std::deque<Task> tasks(4);
  // With an idle instance it is tried, whatever the estimate says.
  tasks[0].deadline = clock_.SteadyNow() + 1ms;
  tasks[0].least_time = 10ms;
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  tasks[1].cost = 10ms;
  ASSERT_TRUE(Submit(tasks[1]).ok());
  tasks[2].deadline = clock_.SteadyNow() + 15ms;
  tasks[2].least_time = 10ms;
  EXPECT_EQ(Submit(tasks[2]).code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(stats_->rejected[static_cast<size_t>(RejectReason::kDeadline)], 1u);
  tasks[3].deadline = clock_.SteadyNow() + 20ms;
  tasks[3].least_time = 10ms;
  EXPECT_TRUE(Submit(tasks[3]).ok());
  Hold(false);
  EXPECT_EQ(tasks[3].End(), -1);
}

TEST_F(SchedulerTest, StoppingGivesBackWhatWaitsAndWaitsForWhatRuns) {
  Start({.policy = {.max_rows = 1}});
  Hold(true);
  std::deque<Task> tasks(3);
  ASSERT_TRUE(Submit(tasks[0]).ok());
  AwaitInside(1);
  ASSERT_TRUE(Submit(tasks[1]).ok());
  EXPECT_FALSE(scheduler_->Stop(1ms));
  EXPECT_EQ(tasks[1].End(), static_cast<int>(DropReason::kStopping));
  EXPECT_EQ(Submit(tasks[2]).code(), StatusCode::kUnavailable);
  Hold(false);
  EXPECT_TRUE(scheduler_->Stop(60s));
  EXPECT_EQ(tasks[0].End(), -1);
}

// Every task ends exactly once (a promise set twice throws), whatever happens at the same time.
TEST_F(SchedulerTest, EveryTaskEndsOnceUnderStress) {
  Start({.policy = {.max_rows = 8, .max_delay = 50us, .preferred = {4}},
         .limits = {.max_requests = 64, .levels = 3},
         .instances = 3});
  std::atomic<bool> over{false};
  std::thread time([&] {
    while (!over) {
      clock_.Advance(20us);
      std::this_thread::yield();
    }
  });
  std::atomic<int> run{0}, dropped{0}, refused{0}, cancelled{0};
  std::vector<std::thread> clients;
  for (uint64_t c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      Rng rng(c + 1);
      for (int round = 0; round < 60; ++round) {
        std::deque<Task> tasks(16);
        std::vector<Task*> open;
        for (Task& task : tasks) {
          task.rows = 1 + static_cast<uint32_t>(rng.Below(3));
          task.level = 1 + static_cast<uint32_t>(rng.Below(3));
          task.key = rng.Below(2);
          if (rng.Below(4) == 0)
            task.deadline = clock_.SteadyNow() + std::chrono::microseconds(rng.Below(500));
          if (Submit(task).ok()) {
            open.push_back(&task);
          } else {
            ++refused;
          }
        }
        for (Task* task : open) {
          uint64_t what = rng.Below(8);
          if (what == 0 && scheduler_->Cancel(*task)) {
            ++cancelled;
            continue;
          }
          ++(task->End() == -1 ? run : dropped);
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  over = true;
  time.join();
  EXPECT_EQ(run + dropped + refused + cancelled, 4 * 60 * 16);
  EXPECT_GT(run, 0);
  EXPECT_EQ(scheduler_->depth(), 0u);
  EXPECT_TRUE(scheduler_->Stop(60s));
}

}  // namespace
}  // namespace leadsman
