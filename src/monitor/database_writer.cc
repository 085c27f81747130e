#include "monitor/database_writer.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "stats/process_metrics.h"

namespace leadsman {
namespace {

/// Puts what was offered first before what came later.
template <typename T>
void Prepend(std::vector<T>& earlier, std::vector<T>& later) {
  if (earlier.empty()) return;
  std::move(later.begin(), later.end(), std::back_inserter(earlier));
  later = std::move(earlier);
  earlier.clear();
}

/// Gives up the oldest beyond the limit.
template <typename T>
uint64_t Trim(std::vector<T>& rows, size_t limit) {
  if (rows.size() <= limit) return 0;
  size_t lost = rows.size() - limit;
  rows.erase(rows.begin(), rows.begin() + static_cast<ptrdiff_t>(lost));
  return lost;
}

uint64_t Trim(Database::Batch& batch) {
  constexpr size_t kMaxRows = DatabaseWriter::kMaxRows;
  return Trim(batch.predictions, kMaxRows) + Trim(batch.marks, kMaxRows) +
         Trim(batch.windows, kMaxRows / 10);
}

}  // namespace

DatabaseWriter::DatabaseWriter(Database& database)
    : database_(database),
      failing_(!database.why_not_open().ok()),
      trouble_{std::string(database.why_not_open().message()), SystemClock().Now()},
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "monitor-db");
}

DatabaseWriter::~DatabaseWriter() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

bool DatabaseWriter::Offer(Database::Batch& batch, const Database::Purge& purge, SteadyTime now,
                           bool force) {
  MutexLock lock(mutex_);
  if (busy_) {
    rows_lost_ += Trim(batch);  // a write that hangs must not fill the memory
    return false;
  }
  if (failing_) {
    for (auto& [key, quality] : in_hand_.quality) batch.quality.try_emplace(key, quality);
    in_hand_.quality.clear();
    for (auto& [key, bytes] : in_hand_.details) batch.details.try_emplace(key, std::move(bytes));
    in_hand_.details.clear();
    batch.losses.merge(in_hand_.losses);
    in_hand_.losses.clear();
    for (auto& [key, bytes] : in_hand_.drift) batch.drift.try_emplace(key, std::move(bytes));
    in_hand_.drift.clear();
    for (auto& [key, name] : in_hand_.names) batch.names.try_emplace(key, std::move(name));
    in_hand_.names.clear();
    batch.seen.merge(in_hand_.seen);
    in_hand_.seen.clear();
    batch.counts.merge(in_hand_.counts);
    in_hand_.counts.clear();
    for (auto& [key, mark] : in_hand_.edges) batch.edges.try_emplace(key, std::move(mark));
    in_hand_.edges.clear();
    Prepend(in_hand_.predictions, batch.predictions);
    Prepend(in_hand_.marks, batch.marks);
    Prepend(in_hand_.windows, batch.windows);
    rows_lost_ += Trim(batch);
    if (not_before_ == SteadyTime{}) {
      pause_ = std::clamp<Duration>(pause_ * 2, std::chrono::seconds(1), std::chrono::seconds(30));
      not_before_ = now + pause_;
    }
    if (now < not_before_ && !force) return false;
  } else {
    pause_ = {};
  }
  not_before_ = {};
  in_hand_ = std::move(batch);
  batch = {};
  purge_ = purge;
  busy_ = true;
  busy_since_ = SystemClock().Now();
  changed_.NotifyAll();
  return true;
}

bool DatabaseWriter::WaitIdle(std::chrono::milliseconds timeout) {
  auto until = SystemClock().SteadyNow() + timeout;
  MutexLock lock(mutex_);
  while (busy_) {
    auto left = until - SystemClock().SteadyNow();
    if (left <= Duration::zero()) return false;
    changed_.WaitFor(mutex_, left);
  }
  return !failing_;
}

void DatabaseWriter::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!busy_ && !stop_) changed_.WaitFor(mutex_, std::chrono::seconds(60));
      if (!busy_) return;
    }
    // While `busy_` nobody else touches the batch.
    const Database::Batch* batch;
    Database::Purge purge;
    {
      MutexLock lock(mutex_);
      batch = &in_hand_;
      purge = purge_;
    }
    Status status = database_.Write(*batch, purge);
    Duration cpu = ThreadCpuTime();
    bool was_failing;
    {
      MutexLock lock(mutex_);
      was_failing = std::exchange(failing_, !status.ok());
      if (status.ok()) {
        in_hand_ = {};
      } else {
        ++errors_;
        if (!was_failing) trouble_.since = busy_since_;
        trouble_.why = status.message();
      }
      cpu_ = cpu;
      busy_ = false;
    }
    changed_.NotifyAll();
    if (!status.ok() && !was_failing) {
      LOG_WARN("monitor database cannot be written; going on in memory and trying again",
               {"reason", status});
    } else if (status.ok() && was_failing) {
      LOG_INFO("monitor database is written again");
    }
  }
}

std::optional<DatabaseWriter::Trouble> DatabaseWriter::trouble() const {
  constexpr std::chrono::seconds kHangs{10};
  MutexLock lock(mutex_);
  if (failing_) return trouble_;
  if (busy_ && SystemClock().Now() - busy_since_ > kHangs)
    return Trouble{"a write to the disk does not come back", busy_since_};
  return std::nullopt;
}

uint64_t DatabaseWriter::errors() const {
  MutexLock lock(mutex_);
  return errors_;
}
uint64_t DatabaseWriter::rows_lost() const {
  MutexLock lock(mutex_);
  return rows_lost_;
}
Duration DatabaseWriter::cpu() const {
  MutexLock lock(mutex_);
  return cpu_;
}

}  // namespace leadsman
