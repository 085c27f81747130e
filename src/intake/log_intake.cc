#include "intake/log_intake.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "base/fs.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "intake/content_mark.h"
#include "intake/glob.h"
#include "intake/intake_metrics.h"
#include "intake/log_follower.h"
#include "intake/record_events.h"
#include "intake/source_reader.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;

/// Files that are told of at the start; further ones with their first line.
constexpr size_t kMaxPreviews = 100;
/// How long the sink is waited for once the end has been asked for.
constexpr std::chrono::seconds kLastWait{5};
constexpr std::chrono::milliseconds kRoomWait{1};
/// Between two looks at what waits.
constexpr std::chrono::milliseconds kTick{250};

std::string JournalPath(const std::string& data_dir, const std::string& source) {
  char name[64];
  std::snprintf(name, sizeof(name), "log-positions-%016llx",
                static_cast<unsigned long long>(HashBytes(source)));
  return JoinPath(data_dir, name);
}

FollowerOptions FollowerOptionsOf(const LogSource& source) {
  FollowerOptions options;
  options.globs = {source.path};
  options.from = source.from == LogSource::From::kBeginning ? FollowerOptions::From::kBeginning
                                                            : FollowerOptions::From::kEnd;
  return options;
}

}  // namespace

struct LogIntake::Impl {
  /// One source on its way from files to events. Of the thread, but for counters and views.
  struct Source {
    Source(Impl& owner, const LogSource& s)
        : source(s),
          events({owner.deps.clock, owner.deps.sink, counters,
                  [&owner] { return owner.AwaitRoom(); }, owner.deps.redactor},
                 s),
          reader({owner.deps.clock, events, counters, owner.deps.redactor}, s) {}

    const LogSource source;
    SourceCounters counters;
    RecordEvents events;
    SourceReader reader;
    std::optional<PositionJournal> journal;
    std::unique_ptr<LogFollower> follower;
    uint64_t last_ticket = 0;
    bool resumed = false;                    ///< a former start has left positions
    std::atomic<uint64_t> skipped_bytes{0};  ///< SourceView::skipped_bytes
    uint64_t settled = 0;  ///< counters.predictions when the sink was last made safe
    std::vector<Registry::Registration> registrations;  ///< last: they read the above
  };

  Impl(Deps d, Options o) : deps(std::move(d)), options(std::move(o)) {}

  Status Build() {
    for (const LogSource& source : options.sources) {
      sources.push_back(std::make_unique<Source>(*this, source));
      Source& s = *sources.back();
      std::optional<Positions> positions;
      if (!options.data_dir.empty()) {
        s.journal.emplace(JournalPath(options.data_dir, source.path), deps.clock);
        auto loaded = s.journal->Load();
        if (!loaded.ok()) return Annotate(loaded.status(), "positions of " + source.path);
        positions = std::move(*loaded);
        s.resumed = positions.has_value();
      }
      s.follower =
          std::make_unique<LogFollower>(LogFollower::Deps{deps.clock}, FollowerOptionsOf(source),
                                        positions, [&s](const LineBatch& batch) {
                                          s.reader.Take(batch);
                                          s.last_ticket = batch.ticket;
                                        });
      s.registrations = AddIntakeMetrics(
          {source.path, s.counters, s.follower->counters(), s.journal ? &*s.journal : nullptr},
          deps.registry);
    }
    return OkStatus();
  }

  /// In RecordEvents: the sink is full.
  bool AwaitRoom() {
    MutexLock lock(mutex);
    if (stop && deps.clock.SteadyNow() >= stop_at + kLastWait) {
      lost = true;
      return false;
    }
    // A notification is the end's, which is no reason to hurry here.
    (void)changed.WaitFor(mutex, kRoomWait);
    return true;
  }

  bool Stopping() {
    MutexLock lock(mutex);
    return stop;
  }

  using Owners = std::map<std::pair<uint64_t, uint64_t>, const Source*>;  ///< by device and inode

  void Preview() {
    Owners owners;
    for (auto& s : sources) {
      GlobResult found = ExpandGlob(s->source.path, kMaxPreviews);
      std::erase_if(found.paths, [](const std::string& path) { return !StampOf(path).ok(); });
      if (found.paths.empty())
        LOG_WARN("no file of a log source is there yet; it is looked for every second",
                 {"source", s->source.path});
      for (const std::string& path : found.paths) s->reader.Preview(path);
      TellSkipped(*s, found.paths);
      TellShared(*s, found.paths, owners);
    }
  }

  /// At the first start what a file holds already is not read, unless that is asked for.
  static void TellSkipped(Source& s, const std::vector<std::string>& paths) {
    if (s.source.from == LogSource::From::kBeginning || s.resumed) return;
    uint64_t bytes = 0;
    for (const std::string& path : paths)
      if (auto stamp = StampOf(path); stamp.ok()) bytes += static_cast<uint64_t>(stamp->size);
    s.skipped_bytes = bytes;
    if (bytes > 0)
      LOG_INFO(
          "what stands in a log already is not read; from: beginning (--from-beginning) at the "
          "first start would read it",
          {"source", s.source.path}, {"files", paths.size()}, {"bytes", bytes});
  }

  /// One file under two names or patterns: nobody can tell which of the two was meant.
  static void TellShared(const Source& s, const std::vector<std::string>& paths, Owners& owners) {
    for (const std::string& path : paths) {
      auto stamp = StampOf(path);
      if (!stamp.ok()) continue;
      auto [owner, added] = owners.try_emplace({stamp->device, stamp->inode}, &s);
      if (!added && owner->second != &s)
        LOG_WARN("two log sources read the same file: its requests count twice; take it out of one",
                 {"file", path}, {"source", s.source.path}, {"other", owner->second->source.path});
    }
  }

  void Run() {
    Preview();
    for (;;) {
      SteadyTime next = deps.clock.SteadyNow() + kTick;
      bool more = false;
      safe_now.reset();
      for (auto& s : sources) {
        if (Stopping()) break;
        LogFollower::Next step = s->follower->Poll();
        s->reader.Tick();
        s->follower->Accept(s->reader.settled(s->last_ticket));
        SaveIfDue(*s);
        more = more || step.more;
        next = std::min(next, step.look);
      }
      looked = true;
      MutexLock lock(mutex);
      while (!stop && !more && deps.clock.SteadyNow() < next)
        (void)changed.WaitFor(mutex, next - deps.clock.SteadyNow());
      if (stop) break;
    }
    for (auto& s : sources) {
      s->reader.Finish();
      s->follower->Accept(s->last_ticket);
    }
    const bool safe = deps.settle() && !lost;
    for (auto& s : sources) {
      if (!s->journal) continue;
      Status saved = safe ? s->journal->Save(s->follower->Accepted())
                          : UnavailableError("the monitor did not write what was read");
      if (!saved.ok())
        LOG_WARN("positions in logs were not kept; the last lines will be read again",
                 {"source", s->source.path}, {"reason", saved});
    }
  }

  /// Positions never run ahead of what is safe: a crash must not lose what it has passed.
  void SaveIfDue(Source& s) {
    if (!s.journal) return;
    s.journal->SaveIfDue([&]() -> std::optional<Positions> {
      const uint64_t given = s.counters.predictions;
      if (given != s.settled) {
        if (!safe_now) safe_now = deps.settle();
        if (!*safe_now) return std::nullopt;
        s.settled = given;
      }
      return s.follower->Accepted();
    });
  }

  const Deps deps;
  const Options options;
  std::vector<std::unique_ptr<Source>> sources;
  std::atomic<bool> looked{false};
  Mutex mutex;
  CondVar changed;
  bool stop GUARDED_BY(mutex) = false;
  bool lost = false;  ///< the thread's: the sink took something no more, so it is to be read again
  std::optional<bool> safe_now;  ///< the thread's: what `settle` has said in this pass
  SteadyTime stop_at GUARDED_BY(mutex){};
  std::thread thread;
};

LogIntake::LogIntake(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LogIntake::~LogIntake() { Stop(); }

Result<std::unique_ptr<LogIntake>> LogIntake::Create(Deps deps, Options options) {
  auto impl = std::make_unique<Impl>(std::move(deps), std::move(options));
  RETURN_IF_ERROR(impl->Build());
  return std::unique_ptr<LogIntake>(new LogIntake(std::move(impl)));
}

void LogIntake::Start() {
  impl_->thread = std::thread([this] { impl_->Run(); });
  pthread_setname_np(impl_->thread.native_handle(), "log-intake");
}

void LogIntake::Stop() {
  if (!impl_->thread.joinable()) return;
  {
    MutexLock lock(impl_->mutex);
    impl_->stop = true;
    impl_->stop_at = impl_->deps.clock.SteadyNow();
    impl_->changed.NotifyAll();
  }
  impl_->thread.join();
}

bool LogIntake::looked() const { return impl_->looked; }

std::vector<SourceView> LogIntake::views() const {
  std::vector<SourceView> views;
  for (const auto& source : impl_->sources) {
    SourceView view;
    view.source = source->source.path;
    view.TakeCounters(source->counters);
    view.lag_bytes = source->follower->counters().lag_bytes;
    view.skipped_bytes = source->skipped_bytes;
    view.other_paths = source->events.other_paths();
    view.TakeFeatures(source->events.features());
    view.files = source->reader.views();
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace leadsman::intake
