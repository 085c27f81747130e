#include "monitor/alarm_book.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::hours kKeepEndedSilences{24};
constexpr std::chrono::hours kLongestSilence{24 * 366};
constexpr size_t kMaxSilenceText = 1000;

bool Fires(const Alarm& alarm) { return alarm.state == AlarmState::kFiring; }

}  // namespace

std::string_view AlarmStateName(AlarmState state) {
  switch (state) {
    case AlarmState::kPending:
      return "pending";
    case AlarmState::kFiring:
      return "firing";
    case AlarmState::kResolved:
      return "resolved";
    case AlarmState::kInactive:
      break;
  }
  return "inactive";
}

bool Silence::Matches(const AlarmSubject& subject) const {
  return (kind.empty() || kind == AlarmKindName(subject.kind)) &&
         (model.empty() || model == subject.model) &&
         (version == 0 || version == subject.version) && (of.empty() || of == subject.of);
}

void AlarmBookOptions::SetThresholdFor(milliseconds threshold_for) {
  for (AlarmKind kind : {AlarmKind::kAccuracy, AlarmKind::kQuality, AlarmKind::kTrafficStopped,
                         AlarmKind::kSchemaViolation, AlarmKind::kCaptureLoss}) {
    pending_for[static_cast<size_t>(kind)] = threshold_for;
  }
}

void AlarmBook::Move(Entry& entry, AlarmState to, Transitions& out) {
  const AlarmState from = std::exchange(entry.alarm.state, to);
  out.push_back({entry.alarm, from, to, false});
}

bool AlarmBook::MakeRoom() {
  if (entries_.size() < options_.max_alarms) return true;
  auto oldest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.alarm.state != AlarmState::kResolved) continue;
    if (oldest == entries_.end() || it->second.resolved < oldest->second.resolved) oldest = it;
  }
  if (oldest == entries_.end()) return false;
  entries_.erase(oldest);
  return true;
}

int64_t AlarmBook::NewId(WallTime wall) {
  last_alarm_ = std::max(last_alarm_ + 1, UnixMillis(wall));
  return last_alarm_;
}

AlarmBook::Entry* AlarmBook::Open(const Finding& finding, WallTime wall, SteadyTime now) {
  auto found = entries_.find(finding.subject);
  if (found == entries_.end()) {
    if (!MakeRoom()) return nullptr;
    found = entries_.emplace(finding.subject, Entry{}).first;
    found->second.alarm.id = NewId(wall);
  }
  Entry& entry = found->second;
  if (entry.alarm.state == AlarmState::kResolved && now - entry.resolved > options_.reopen_within) {
    entry.alarm = Alarm();  // another story
    entry.alarm.id = NewId(wall);
  }
  if (entry.alarm.state != AlarmState::kPending && !Fires(entry.alarm)) {
    entry.wrong_since = now;
    entry.alarm.pending_since = wall;
  }
  return &entry;
}

void AlarmBook::TakeWrong(const Finding& finding, WallTime wall, SteadyTime now, Transitions& out) {
  Entry* entry = Open(finding, wall, now);
  if (entry == nullptr) {
    ++dropped_;
    return;
  }
  Alarm& alarm = entry->alarm;
  const AlarmSeverity kept =
      Fires(alarm) ? std::min(finding.severity, alarm.finding.severity) : finding.severity;
  alarm.finding = finding;
  alarm.finding.severity = kept;
  entry->told = true;
  entry->last_wrong = now;
  if (Fires(alarm)) return;
  if (alarm.state != AlarmState::kPending) Move(*entry, AlarmState::kPending, out);
  if (now - entry->wrong_since < options_.pending_for[static_cast<size_t>(finding.subject.kind)])
    return;
  alarm.fired = wall;
  ++alarm.firings;
  Move(*entry, AlarmState::kFiring, out);
}

void AlarmBook::TakeUnknown(const Finding& finding, SteadyTime now) {
  auto found = entries_.find(finding.subject);
  if (found == entries_.end() || !Fires(found->second.alarm)) return;
  found->second.told = true;
  found->second.last_wrong = now;
}

bool AlarmBook::TakeWell(Entry& entry, WallTime wall, SteadyTime now, Transitions& out) {
  Alarm& alarm = entry.alarm;
  switch (alarm.state) {
    case AlarmState::kPending:
      // One that has fired before is still what was resolved.
      Move(entry, alarm.firings > 0 ? AlarmState::kResolved : AlarmState::kInactive, out);
      return alarm.firings == 0;
    case AlarmState::kFiring:
      if (now - entry.last_wrong < options_.keep_firing_for) return false;
      alarm.resolved = wall;
      entry.resolved = now;
      Move(entry, AlarmState::kResolved, out);
      out.back().notify = std::exchange(alarm.notified, false);
      alarm.silence = 0;
      return false;
    case AlarmState::kResolved:
      return now - entry.resolved > options_.keep_resolved;
    case AlarmState::kInactive:
      break;
  }
  return true;
}

void AlarmBook::MarkSilenced(WallTime wall) {
  std::erase_if(silences_, [&](const auto& silence) {
    return silence.second.until + kKeepEndedSilences < wall;
  });
  for (auto& [subject, entry] : entries_) {
    Alarm& alarm = entry.alarm;
    alarm.silence = 0;
    if (!Fires(alarm) && alarm.state != AlarmState::kPending) continue;
    for (const auto& [id, silence] : silences_) {
      if (silence.until <= wall || !silence.Matches(subject)) continue;
      alarm.silence = id;
      break;
    }
  }
}

void AlarmBook::NotifyUnsilenced(Transitions& out) {
  for (auto& [subject, entry] : entries_) {
    Alarm& alarm = entry.alarm;
    if (!Fires(alarm) || alarm.silence != 0) continue;
    if (!alarm.notified || alarm.finding.severity < alarm.notified_severity) Notify(alarm, out);
  }
}

void AlarmBook::Notify(Alarm& alarm, Transitions& out) {
  alarm.notified = true;
  alarm.notified_severity = alarm.finding.severity;
  // The transition of this look tells it, if there is one; otherwise a silence has ended, or it became more severe.
  auto mine = std::find_if(out.begin(), out.end(), [&](const AlarmTransition& t) {
    return t.alarm.id == alarm.id && t.to == AlarmState::kFiring;
  });
  if (mine == out.end())
    mine = out.insert(out.end(), {alarm, AlarmState::kFiring, AlarmState::kFiring, false});
  mine->alarm = alarm;
  mine->notify = true;
}

std::vector<AlarmTransition> AlarmBook::Step(std::span<const Finding> findings, WallTime wall,
                                             SteadyTime now) {
  Transitions out;
  watched_ = findings.size();
  for (auto& [subject, entry] : entries_) entry.told = false;
  for (const Finding& finding : findings) {
    if (finding.wrong) {
      TakeWrong(finding, wall, now, out);
    } else if (finding.unknown) {
      TakeUnknown(finding, now);
    }
  }
  for (auto it = entries_.begin(); it != entries_.end();) {
    const bool goes = !it->second.told && TakeWell(it->second, wall, now, out);
    it = goes ? entries_.erase(it) : std::next(it);
  }
  MarkSilenced(wall);
  NotifyUnsilenced(out);
  return out;
}

std::vector<Alarm> AlarmBook::Alarms() const {
  std::vector<Alarm> alarms;
  for (const auto& [subject, entry] : entries_) alarms.push_back(entry.alarm);
  std::sort(alarms.begin(), alarms.end(),
            [](const Alarm& a, const Alarm& b) { return a.id < b.id; });
  return alarms;
}

std::vector<Silence> AlarmBook::Silences() const {
  std::vector<Silence> silences;
  for (const auto& [id, silence] : silences_) silences.push_back(silence);
  return silences;
}

Result<Silence> AlarmBook::AddSilence(Silence silence, WallTime wall) {
  if (silence.kind.empty() && silence.model.empty() && silence.version == 0 && silence.of.empty()) {
    return InvalidArgumentError(
        "a silence of everything hides what nobody expects: give kind, model, version or of");
  }
  if (!silence.kind.empty()) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kAlarmKindCount; ++i)
      names.emplace_back(AlarmKindName(static_cast<AlarmKind>(i)));
    if (std::find(names.begin(), names.end(), silence.kind) == names.end()) {
      return InvalidArgumentError(
          StrCat("kind: there is no ", CutUtf8(silence.kind, 40), "; kinds: ", HumanList(names)));
    }
  }
  if (silence.until <= wall) return InvalidArgumentError("until: must be in the future");
  if (silence.until - wall > kLongestSilence)
    return InvalidArgumentError("until: must be within a year");
  if (silence.author.empty())
    return InvalidArgumentError("author: whom to ask about it must not be empty");
  if (silence.comment.empty())
    return InvalidArgumentError("comment: why it is silenced must not be empty");
  for (const std::string* text : {&silence.model, &silence.of, &silence.author, &silence.comment}) {
    if (text->size() > kMaxSilenceText)
      return InvalidArgumentError(StrCat("a text is longer than ", kMaxSilenceText, " bytes"));
  }
  if (silences_.size() >= options_.max_silences) {
    return ResourceExhaustedError(
        StrCat("there are ", silences_.size(), " silences; remove some first"));
  }
  silence.id = next_silence_++;
  silence.created = wall;
  silences_.emplace(silence.id, silence);
  MarkSilenced(wall);
  return silence;
}

Status AlarmBook::RemoveSilence(int64_t id, WallTime wall) {
  if (silences_.erase(id) == 0) return NotFoundError(StrCat("there is no silence ", id));
  MarkSilenced(wall);
  return OkStatus();
}

void AlarmBook::Restore(std::vector<Alarm> alarms, std::vector<Silence> silences, WallTime wall,
                        SteadyTime now) {
  for (Alarm& alarm : alarms) {
    if (entries_.size() >= options_.max_alarms) break;
    last_alarm_ = std::max(last_alarm_, alarm.id);
    // How long something was wrong before the restart is not known to whom looks now.
    if (alarm.state == AlarmState::kPending && alarm.firings > 0)
      alarm.state = AlarmState::kResolved;
    if (!Fires(alarm) && alarm.state != AlarmState::kResolved) continue;
    Entry entry;
    entry.last_wrong = entry.wrong_since = now;
    const Duration ago =
        std::clamp<Duration>(wall - alarm.resolved, Duration::zero(), options_.keep_resolved);
    entry.resolved = now - ago;
    entry.alarm = std::move(alarm);
    AlarmSubject subject = entry.alarm.finding.subject;
    entries_.emplace(std::move(subject), std::move(entry));
  }
  for (Silence& silence : silences) {
    next_silence_ = std::max(next_silence_, silence.id + 1);
    silences_.emplace(silence.id, std::move(silence));
  }
}

}  // namespace leadsman
