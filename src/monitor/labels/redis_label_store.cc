#include "monitor/labels/redis_label_store.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/rng.h"
#include "base/start_thread.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Of one round trip.
constexpr size_t kMostTasks = 500;
/// Predictions of so long go together.
constexpr milliseconds kGather{200};
constexpr seconds kPing{5};
constexpr milliseconds kFirstPause{250}, kLongestPause{5'000};
constexpr seconds kTellOfStrange{60};

std::string RandomToken() {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string token;
  for (uint64_t bits = RandomSeed(), i = 0; i < 16; ++i, bits >>= 4) token += kDigits[bits & 15];
  return token;
}

}  // namespace

RedisLabelStore::RedisLabelStore(const RedisOptions& options, Clock& clock)
    : options_(options), clock_(clock), codec_(options_, RandomToken()) {
  state_.since = clock.Now();
}

Result<std::unique_ptr<RedisLabelStore>> RedisLabelStore::Create(const RedisOptions& options,
                                                                 Clock& clock) {
  if (std::vector<std::string> wrong = CheckRedisFiles(options); !wrong.empty())
    return InvalidArgumentError(Join(wrong, "\n"));
  std::unique_ptr<RedisLabelStore> store(new RedisLabelStore(options, clock));
  if (options.tls) {
    ASSIGN_OR_RETURN(store->tls_, net::TlsClient::Create(*options.tls));
  }
  ASSIGN_OR_RETURN(store->thread_,
                   StartThread("label-redis", [made = store.get()] { made->Run(); }));
  return store;
}

RedisLabelStore::~RedisLabelStore() {
  if (!thread_.joinable()) return;  // never started
  cancelled_ = true;
  {
    MutexLock lock(mutex_);
    stop_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

void RedisLabelStore::Keep(const KeptPrediction& prediction) {
  RedisLabelTask task;
  task.prediction = prediction;
  bool wake;
  {
    MutexLock lock(mutex_);
    wake = keeps_.empty() || keeps_.size() + 1 == kMostTasks;
    keep_bytes_ += task.bytes();
    keeps_.push_back(std::move(task));
    MakeRoom();
  }
  if (wake) changed_.NotifyAll();
}

void RedisLabelStore::Ask(RedisLabelTask task) {
  {
    MutexLock lock(mutex_);
    asks_.push_back(std::move(task));
  }
  changed_.NotifyAll();
}

void RedisLabelStore::Find(uint64_t ticket, const std::string& request_id, uint32_t row) {
  RedisLabelTask task;
  task.kind = RedisLabelTask::Kind::kFind;
  task.ticket = ticket;
  task.prediction.request_id = request_id;
  task.prediction.row = row;
  Ask(std::move(task));
}

void RedisLabelStore::Claim(uint64_t ticket, const KeptPrediction& prediction,
                            const std::string& label, WallTime) {
  RedisLabelTask task;
  task.kind = RedisLabelTask::Kind::kClaim;
  task.ticket = ticket;
  task.prediction = prediction;
  task.label = label;
  Ask(std::move(task));
}

std::vector<LabelStore::Answer> RedisLabelStore::Take() {
  MutexLock lock(mutex_);
  return std::exchange(answers_, {});
}

bool RedisLabelStore::Settle(milliseconds timeout) {
  const auto until = RealClock::now() + timeout;
  MutexLock lock(mutex_);
  hurry_ = true;
  changed_.NotifyAll();
  auto settled = [this]() NO_THREAD_SAFETY_ANALYSIS {
    return keeps_.empty() && asks_.empty() && !working_;
  };
  while (ready_ && !settled() && RealClock::now() < until)
    changed_.WaitFor(mutex_, until - RealClock::now());
  hurry_ = false;
  return settled();
}

RedisLabelStore::Counters RedisLabelStore::counters() const {
  MutexLock lock(mutex_);
  Counters counters = counters_;
  counters.queued = keeps_.size();
  return counters;
}

RedisLabelStore::State RedisLabelStore::state() const {
  MutexLock lock(mutex_);
  return state_;
}

void RedisLabelStore::MakeRoom() {
  while (keeps_.size() > kMostKept || (keep_bytes_ > kMostBytes && keeps_.size() > 1)) {
    keep_bytes_ -= keeps_.front().bytes();
    keeps_.pop_front();
    ++counters_.predictions_lost;
  }
}

/// Before what has come since; in their order.
void RedisLabelStore::PutBack(Tasks tasks) {
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task) {
    if (task->kind == RedisLabelTask::Kind::kKeep) {
      keep_bytes_ += task->bytes();
      keeps_.push_front(std::move(*task));
    } else {
      asks_.push_front(std::move(*task));
    }
  }
  MakeRoom();
}

bool RedisLabelStore::IsDue(RealClock::time_point now) const {
  if (now < not_before_) return false;
  const bool keeps =
      !keeps_.empty() && (hurry_ || now >= next_keeps_ || keeps_.size() >= kMostTasks);
  return keeps || !asks_.empty() || connection_ == nullptr || now >= next_ping_;
}

RedisLabelStore::RealClock::time_point RedisLabelStore::NextDue() const {
  if (connection_ == nullptr) return not_before_;
  auto due = next_ping_;
  if (!keeps_.empty()) due = std::min(due, next_keeps_);
  return std::max(due, not_before_);
}

RedisLabelStore::Tasks RedisLabelStore::TakeTasks() {
  Tasks tasks;
  while (!asks_.empty() && tasks.size() < kMostTasks) {
    tasks.push_back(std::move(asks_.front()));
    asks_.pop_front();
  }
  while (!keeps_.empty() && tasks.size() < kMostTasks) {
    keep_bytes_ -= keeps_.front().bytes();
    tasks.push_back(std::move(keeps_.front()));
    keeps_.pop_front();
  }
  return tasks;
}

/// What is to be done, which may be nothing but a sign of life; nothing at all: the end.
std::optional<RedisLabelStore::Tasks> RedisLabelStore::Await() {
  MutexLock lock(mutex_);
  working_ = false;
  changed_.NotifyAll();
  for (;;) {
    if (stop_) return std::nullopt;
    const auto now = RealClock::now();
    if (IsDue(now)) break;
    changed_.WaitFor(mutex_, NextDue() - now);
  }
  working_ = true;
  return connection_ == nullptr ? Tasks() : TakeTasks();
}

Status RedisLabelStore::Connect() {
  ASSIGN_OR_RETURN(connection_, RedisConnection::Open(options_, tls_.get(), cancelled_));
  next_ping_ = {};  // whether it takes what we have is seen by that alone
  return OkStatus();
}

void RedisLabelStore::Run() {
  while (auto tasks = Await()) {
    const bool connected = connection_ != nullptr;
    const Status status = connected ? Do(std::move(*tasks)) : Connect();
    if (cancelled_) return;
    if (!status.ok()) {
      NoteAway(status);
    } else if (connected && !ready_) {
      NoteReady();
    }
  }
}

/// One round trip. An error: what is left of `tasks` waits in the queues again.
Status RedisLabelStore::Do(Tasks tasks) {
  const auto now = RealClock::now();
  next_ping_ = now + kPing;
  next_keeps_ = now + kGather;
  std::vector<RedisConnection::Command> commands;
  const WallTime wall = clock_.Now();
  for (const RedisLabelTask& task : tasks) codec_.AddCommands(task, wall, commands);
  if (commands.empty()) commands.push_back({"PING"});
  auto replies = connection_->Ask(commands);
  if (!replies.ok()) {
    MutexLock lock(mutex_);
    PutBack(std::move(tasks));
    return replies.status();
  }
  if (!tasks.empty()) return Read(std::move(tasks), *replies);
  const RedisConnection::Reply& pong = replies->front();
  return pong.kind == RedisConnection::Reply::Kind::kError ? StatusOfRedis(pong.text, options_)
                                                           : OkStatus();
}

Status RedisLabelStore::Read(Tasks tasks, std::span<const RedisConnection::Reply> replies) {
  Tasks again;
  std::vector<Answer> answers;
  Status away, strange;
  uint64_t refused = 0, lost = 0;
  for (RedisLabelTask& task : tasks) {
    const size_t count = RedisLabelTaskCodec::CommandsOf(task.kind);
    RedisLabelTaskCodec::Outcome outcome = codec_.Read(task, replies.first(count));
    replies = replies.subspan(count);
    if (!outcome.again.ok()) {
      away = std::move(outcome.again);
      again.push_back(std::move(task));
      continue;
    }
    if (!outcome.strange.ok()) {
      strange = std::move(outcome.strange);
      ++refused;
      if (task.kind == RedisLabelTask::Kind::kKeep) ++lost;
    }
    if (outcome.answer) answers.push_back(std::move(*outcome.answer));
  }
  if (!strange.ok()) NoteStrange(strange);
  MutexLock lock(mutex_);
  counters_.errors += refused;
  counters_.predictions_lost += lost;
  std::move(answers.begin(), answers.end(), std::back_inserter(answers_));
  PutBack(std::move(again));
  return away;
}

void RedisLabelStore::NoteReady() {
  pause_ = milliseconds(0);
  not_before_ = {};
  const bool told = told_.has_value();
  told_.reset();
  {
    MutexLock lock(mutex_);
    state_ = {true, clock_.Now(), OkStatus()};
    ready_ = true;
  }
  if (told)
    LOG_INFO("redis takes predictions and labels again", {"address", options_.address});
  else
    LOG_INFO("predictions wait for their labels in redis", {"address", options_.address},
             {"database", options_.database}, {"key_prefix", options_.key_prefix});
}

void RedisLabelStore::NoteAway(const Status& why) {
  connection_.reset();
  pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
  not_before_ = RealClock::now() + pause_;
  {
    MutexLock lock(mutex_);
    if (state_.ready) state_.since = clock_.Now();
    state_.ready = false;
    state_.why = why;
    ready_ = false;
    ++counters_.errors;
  }
  changed_.NotifyAll();  // those in Settle
  if (told_ == why.code()) return;
  told_ = why.code();
  LOG_WARN("redis takes no predictions and labels; they wait, and are tried again",
           {"address", options_.address}, {"reason", why});
}

void RedisLabelStore::NoteStrange(const Status& why) {
  const auto now = RealClock::now();
  if (strange_told_ && now - *strange_told_ < kTellOfStrange) return;
  strange_told_ = now;
  LOG_WARN("redis refuses a prediction or a label", {"reason", why});
}

}  // namespace leadsman
