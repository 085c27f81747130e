#include "monitor/alarm_loop.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr std::chrono::milliseconds kFirstOnDisk{1000};

std::vector<std::string> SubjectLabels(const Alarm& alarm) {
  const AlarmSubject& s = alarm.finding.subject;
  return {std::string(AlarmKindName(s.kind)),
          std::string(AlarmSeverityName(alarm.finding.severity)), s.model,
          s.version == 0 ? "" : std::to_string(s.version), s.of};
}

MetricSample Sample(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

}  // namespace

AlarmLoop::AlarmLoop(Deps deps, AlarmBookOptions options, AlarmStore::Content found)
    : deps_(deps),
      keeper_(deps.counts, deps.clock.SteadyNow()),
      outbox_(deps.store, deps.clock, std::move(found.owed)),
      book_(options) {
  {
    MutexLock lock(mutex_);
    book_.Restore(std::move(found.alarms), std::move(found.silences), deps_.clock.Now(),
                  deps_.clock.SteadyNow());
    Publish();
  }
  AddMetrics();
}

AlarmLoop::~AlarmLoop() { Stop(); }

void AlarmLoop::Add(std::unique_ptr<Watch> watch) { watches_.push_back(std::move(watch)); }
void AlarmLoop::AddSender(AlarmSender& sender) { senders_.push_back(&sender); }

void AlarmLoop::Begin() {
  outbox_.Begin();
  keeper_.Restore(deps_.clock.Now(), deps_.clock.SteadyNow());
  MutexLock lock(mutex_);
  begun_ = true;
  if (early_.empty()) return;
  outbox_.Add(std::exchange(early_, {}));
  Save();
}

void AlarmLoop::Announce(News news, const std::string& delivery) {
  constexpr size_t kMostEarly = 1000;
  AlarmNotice notice;
  notice.delivery = delivery;
  notice.at = deps_.clock.Now();
  notice.news = std::move(news);
  MutexLock lock(mutex_);
  if (!begun_) {
    if (early_.size() < kMostEarly) early_.push_back(std::move(notice));
    return;
  }
  outbox_.Add({std::move(notice)});
  Save();
  if (thread_) thread_->RunSoon();  // the senders are told by the loop
}

Status AlarmLoop::Start(std::chrono::milliseconds interval) {
  Begin();
  LookOrSay();
  ASSIGN_OR_RETURN(std::unique_ptr<Periodic> thread,
                   Periodic::Start("alarms", interval, [this] { LookOrSay(); }));
  MutexLock lock(mutex_);
  thread_ = std::move(thread);
  return OkStatus();
}

void AlarmLoop::Stop() {
  std::unique_ptr<Periodic> thread;
  {
    MutexLock lock(mutex_);
    thread = std::move(thread_);
  }
  if (!thread) return;
  thread.reset();  // without the lock: a look may want it
  keeper_.Keep(deps_.clock.Now(), deps_.clock.SteadyNow(), true);
  MutexLock lock(mutex_);
  Save();
}

/// What a watch or a library throws must not end the process, nor the looks.
void AlarmLoop::LookOrSay() {
  try {
    Look();
  } catch (const std::exception& e) {
    LOG_ERROR("alarms could not be looked at; it is tried again", {"reason", e.what()});
    MutexLock lock(mutex_);
    ++failed_looks_;
  }
}

void AlarmLoop::Save() { outbox_.Save(book_.Alarms(), book_.Silences()); }

void AlarmLoop::Publish() {
  view_ =
      std::make_shared<const View>(View{book_.Alarms(), looked_, book_.watched(), book_.dropped()});
}

void AlarmLoop::Log(const AlarmTransition& t) {
  if (t.to != AlarmState::kFiring &&
      (t.to != AlarmState::kResolved || t.from == AlarmState::kPending))
    return;
  const Finding& f = t.alarm.finding;
  const char* message = t.to == AlarmState::kFiring ? "alarm fires" : "alarm has ended";
  LOG_WARN(message, {"id", t.alarm.id}, {"kind", AlarmKindName(f.subject.kind)},
           {"severity", AlarmSeverityName(f.severity)}, {"model", f.subject.model},
           {"version", f.subject.version}, {"of", f.subject.of}, {"silence", t.alarm.silence},
           {"summary", f.summary});
}

void AlarmLoop::Look() {
  const WallTime wall = deps_.clock.Now();
  const SteadyTime now = deps_.clock.SteadyNow();
  std::vector<Finding> findings;
  for (const auto& watch : watches_) {
    std::vector<Finding> more = watch->Look(wall, now);
    std::move(more.begin(), more.end(), std::back_inserter(findings));
  }
  std::vector<AlarmTransition> news;
  std::vector<AlarmNotice> notices;
  {
    MutexLock lock(mutex_);
    news = book_.Step(findings, wall, now);
    looked_ = wall;
    for (const AlarmTransition& t : news) {
      ++transitions_[static_cast<size_t>(t.to)];
      if (t.notify) notices.push_back(MakeNotice(t, wall));
    }
    outbox_.Add(notices);
    if (!news.empty()) Save();
    Publish();
  }
  for (const AlarmTransition& transition : news) Log(transition);
  // What an alarm rests on is on the disk with it: a process that is killed now finds it again.
  keeper_.Keep(wall, now, !news.empty());
  std::vector<Alarm> firing;
  for (const Alarm& alarm : view()->alarms) {
    if (alarm.state == AlarmState::kFiring && alarm.silence == 0) firing.push_back(alarm);
  }
  if (!notices.empty()) deps_.store.AwaitWritten(kFirstOnDisk);
  for (AlarmSender* sender : senders_) sender->Tell(firing);
}

std::shared_ptr<const AlarmLoop::View> AlarmLoop::view() const {
  MutexLock lock(mutex_);
  return view_;
}

Result<Alarm> AlarmLoop::Get(int64_t id) const {
  const auto present = view();
  for (const Alarm& alarm : present->alarms) {
    if (alarm.id == id) return alarm;
  }
  return NotFoundError(StrCat("there is no alarm ", id, " (any more)"));
}

std::vector<Silence> AlarmLoop::Silences() const {
  MutexLock lock(mutex_);
  return book_.Silences();
}

Result<Silence> AlarmLoop::AddSilence(Silence silence) {
  MutexLock lock(mutex_);
  auto added = book_.AddSilence(std::move(silence), deps_.clock.Now());
  if (!added.ok()) return added;
  TakeSilences();
  return added;
}

Status AlarmLoop::RemoveSilence(int64_t id) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(book_.RemoveSilence(id, deps_.clock.Now()));
  TakeSilences();
  return OkStatus();
}

void AlarmLoop::TakeSilences() {
  Save();
  Publish();
  if (thread_) thread_->RunSoon();  // who is told is told by the loop
}

void AlarmLoop::AddMetrics() {
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, Registry::Reader reader) {
    registrations_.push_back(
        deps_.registry.Add({name, help, type, std::move(labels)}, std::move(reader)));
  };
  auto of_alarms = [this](double (*value)(const Alarm&)) {
    return [this, value] {
      std::vector<MetricSample> samples;
      const auto present = view();
      for (const Alarm& alarm : present->alarms)
        samples.push_back(Sample(SubjectLabels(alarm), value(alarm)));
      return samples;
    };
  };
  auto single = [](auto read) {
    return [read] { return std::vector<MetricSample>{Sample({}, static_cast<double>(read()))}; };
  };
  const std::vector<std::string> subject = {"kind", "severity", "model", "version", "subject"};
  add("leadsman_alarm_firing",
      "1 while the alarm fires and is not silenced, else 0; alarms that have fired in the last day "
      "or may fire soon. An empty model: the whole process; an empty version: all of the model.",
      MetricType::kGauge, subject, of_alarms([](const Alarm& alarm) {
        return alarm.state == AlarmState::kFiring && alarm.silence == 0 ? 1.0 : 0.0;
      }));
  add("leadsman_alarm_evidence",
      "What the alarm rests on, when it was last wrong: see docs/alarms.md for each kind.",
      MetricType::kGauge, subject,
      of_alarms([](const Alarm& alarm) { return alarm.finding.evidence; }));
  add("leadsman_alarm_transitions_total", "Alarms that changed into a state.", MetricType::kCounter,
      {"to"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(mutex_);
        for (size_t i = 0; i < transitions_.size(); ++i) {
          samples.push_back(Sample({std::string(AlarmStateName(static_cast<AlarmState>(i)))},
                                   static_cast<double>(transitions_[i])));
        }
        return samples;
      });
  add("leadsman_alarm_watched", "Subjects that the watches tell of.", MetricType::kGauge, {},
      single([this] { return view()->watched; }));
  add("leadsman_alarm_dropped_total",
      "Findings that became no alarm because there were too many alarms.", MetricType::kCounter, {},
      single([this] { return view()->dropped; }));
  add("leadsman_alarm_last_look_timestamp_seconds", "When the watches were last asked.",
      MetricType::kGauge, {}, single([this] { return UnixSeconds(view()->looked); }));
  add("leadsman_alarm_failed_looks_total", "Looks that failed; the log says why.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(mutex_);
        return failed_looks_;
      }));
  add("leadsman_alarm_store_errors_total",
      "Times that alarms and silences could not be written to the disk; they are tried again.",
      MetricType::kCounter, {}, single([this] { return deps_.store.errors(); }));
}

}  // namespace leadsman
