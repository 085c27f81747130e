#include "kube/event_recorder.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "kube/micro_time.h"

namespace leadsman::kube {
namespace {

constexpr size_t kLongestNote = 1024;
constexpr size_t kLongestWord = 128;
constexpr auto kFarewell = std::chrono::seconds(2);

std::string KeyOf(const Happening& h) {
  return StrCat(h.about.uid(), "\n", h.about.key(), "\n", h.reason, "\n", h.action, "\n", h.note,
                h.warning ? "!" : "");
}

Json Reference(const Object& about) {
  Json reference = {
      {"apiVersion", about.api_version()}, {"kind", about.kind()}, {"name", about.name()}};
  if (!about.ns().empty()) reference["namespace"] = about.ns();
  if (!about.uid().empty()) reference["uid"] = about.uid();
  if (!about.resource_version().empty()) reference["resourceVersion"] = about.resource_version();
  return reference;
}

}  // namespace

Result<std::unique_ptr<EventRecorder>> EventRecorder::Start(Client& client,
                                                            EventRecorderOptions options,
                                                            Clock& clock) {
  std::unique_ptr<EventRecorder> made(new EventRecorder(client, std::move(options), clock));
  ASSIGN_OR_RETURN(made->thread_, StartThread("kube events", [raw = made.get()] { raw->Run(); }));
  return made;
}

EventRecorder::~EventRecorder() {
  (void)Flush(kFarewell);
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void EventRecorder::Record(Happening happening) {
  MutexLock lock(mutex_);
  if (waiting_.size() >= options_.max_waiting) {
    ++dropped_;
    return;
  }
  waiting_.push_back(std::move(happening));
  changed_.NotifyAll();
}

bool EventRecorder::Flush(std::chrono::milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (!waiting_.empty() || busy_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    (void)changed_.WaitFor(mutex_, left);
  }
  return true;
}

uint64_t EventRecorder::written() const {
  MutexLock lock(mutex_);
  return written_;
}

uint64_t EventRecorder::dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

void EventRecorder::Run() {
  bool refused = false;
  for (;;) {
    Happening next;
    {
      MutexLock lock(mutex_);
      while (!stop_ && waiting_.empty()) (void)changed_.WaitFor(mutex_, std::chrono::seconds(60));
      if (stop_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      busy_ = true;
    }
    const Status status = Write(next);
    if (!status.ok() && !refused) LOG_WARN("Events cannot be written", {"reason", status});
    refused = !status.ok();
    MutexLock lock(mutex_);
    busy_ = false;
    status.ok() ? ++written_ : ++dropped_;
    changed_.NotifyAll();
  }
}

Status EventRecorder::Write(const Happening& happening) {
  const SteadyTime now = clock_.SteadyNow();
  const std::string key = KeyOf(happening);
  const auto found = known_.find(key);
  if (found == known_.end() || now - found->second.last > options_.series)
    return WriteNew(happening, key);
  Known& known = found->second;
  ++known.count;
  known.last = now;
  // The second time at once: that it repeats is news.
  if (known.count > 2 && now - known.told < options_.between) return OkStatus();
  const Json patch = {
      {"series", {{"count", known.count}, {"lastObservedTime", MicroTime(clock_.Now())}}}};
  auto patched = client_.MergePatch(Events(), known.ns, known.name, patch, options_.controller);
  if (patched.ok()) known.told = now;
  // The server forgets Events after an hour, or as it is told.
  if (patched.status().code() == StatusCode::kNotFound) return WriteNew(happening, key);
  return patched.status();
}

Status EventRecorder::WriteNew(const Happening& happening, const std::string& key) {
  ForgetOld();
  const std::string ns(happening.about.ns().empty() ? "default" : happening.about.ns());
  // An Event's name must be that of a DNS subdomain: the object's, which is one, and something of its own.
  const std::string name =
      StrCat(happening.about.name().substr(0, 200), ".", UnixNanos(clock_.Now()));
  const Object event(Json{{"apiVersion", Events().ApiVersion()},
                          {"kind", Events().kind},
                          {"metadata", {{"name", name}, {"namespace", ns}}},
                          {"eventTime", MicroTime(clock_.Now())},
                          {"reportingController", options_.controller},
                          {"reportingInstance", CutUtf8(options_.instance, kLongestWord)},
                          {"type", happening.warning ? "Warning" : "Normal"},
                          {"reason", CutUtf8(happening.reason, kLongestWord)},
                          {"action", CutUtf8(happening.action, kLongestWord)},
                          {"note", ToUtf8(CutUtf8(happening.note, kLongestNote))},
                          {"regarding", Reference(happening.about)}});
  auto created = client_.Create(Events(), event, options_.controller);
  if (!created.ok()) return created.status();
  const SteadyTime now = clock_.SteadyNow();
  known_[key] = {ns, name, 1, now, now};
  return OkStatus();
}

void EventRecorder::ForgetOld() {
  if (known_.size() < options_.max_known) return;
  const SteadyTime now = clock_.SteadyNow();
  std::erase_if(known_,
                [&](const auto& entry) { return now - entry.second.last > options_.series; });
  if (known_.size() >= options_.max_known) known_.clear();
}

}  // namespace leadsman::kube
