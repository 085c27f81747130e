#include "rollout/controller.h"

#include <algorithm>
#include <deque>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "rollout/expected_end.h"
#include "rollout/journal.h"
#include "rollout/record.h"
#include "rollout/step.h"

namespace leadsman {
namespace {

/// How long a stable version may be neither ready nor failed before a ready one takes its place.
constexpr Duration kStableGrace = std::chrono::seconds(60);
constexpr Duration kIdleInterval = std::chrono::seconds(1);
/// Until a model has a stable version, its first ready one is looked for this often: a second version that becomes ready
/// in the meantime would be taken for the first.
constexpr Duration kSettleInterval = std::chrono::milliseconds(50);
constexpr size_t kViewsPerModel = 100;
/// A rollout that nothing happens to is journaled this often only; a crash forgets as much of its
/// elapsed time at most.
constexpr Duration kIdleJournal = std::chrono::seconds(60);
/// Answers from outside that wait for a tick to be journaled; beyond them the oldest go.
constexpr size_t kReadingsKept = 64;
/// Of why a candidate is not ready.
constexpr size_t kLongestReason = 300;
/// A rollout that the journal holds for longer is told to people.
constexpr Duration kUnwrittenTold = std::chrono::seconds(60);

bool Contains(const std::vector<int64_t>& versions, int64_t version) {
  return std::find(versions.begin(), versions.end(), version) != versions.end();
}

/// They begin anew with another measure, too.
void AddLosses(const ArmTotals& from, const ArmTotals& to, ArmDelta& delta) {
  const bool restarted = to.losses.count < from.losses.count || to.losses.sum < from.losses.sum ||
                         to.losses.clipped < from.losses.clipped || to.unmeasured < from.unmeasured;
  delta.losses = to.losses;
  delta.unmeasured = to.unmeasured;
  if (restarted) return;
  delta.losses.Subtract(from.losses);
  delta.unmeasured -= from.unmeasured;
}

/// What was counted between two readings. A sum that went down says that its source started anew:
/// then all of the new sum came after the older reading. Requests and labels are counted by
/// different hands.
ArmDelta Difference(const ArmTotals& from, const ArmTotals& to,
                    const std::vector<uint32_t>& thresholds) {
  bool restarted = to.requests < from.requests || to.errors < from.errors;
  for (size_t i = 0; i < to.latency.size() && !restarted; ++i) {
    restarted = to.latency[i] < from.latency[i];
  }
  const bool labels_restarted = to.labelled < from.labelled || to.wrong < from.wrong;
  ArmDelta delta;
  LatencyBuckets latency = to.latency;
  if (!restarted) {
    for (size_t i = 0; i < latency.size(); ++i) latency[i] -= from.latency[i];
  }
  delta.requests = to.requests - (restarted ? 0 : from.requests);
  delta.errors = to.errors - (restarted ? 0 : from.errors);
  delta.labelled = to.labelled - (labels_restarted ? 0 : from.labelled);
  delta.wrong = to.wrong - (labels_restarted ? 0 : from.wrong);
  delta.timed = CountFrom(latency, 0);
  for (uint32_t bucket : thresholds) delta.slow.push_back(CountFrom(latency, bucket));
  AddLosses(from, to, delta);
  return delta;
}

/// As of one arm. Labels come by another hand than pairs.
PairDelta Difference(const PairTotals& from, const PairTotals& to,
                     const std::vector<uint32_t>& thresholds) {
  const uint64_t labels = to.stable_wrong + to.candidate_wrong + to.both_wrong;
  const bool restarted = to.pairs < from.pairs || to.compared < from.compared;
  const bool labels_restarted = labels < from.stable_wrong + from.candidate_wrong + from.both_wrong;
  const PairTotals none;
  const PairTotals& since = restarted ? none : from;
  const PairTotals& labels_since = labels_restarted ? none : from;
  LatencyBuckets stable = to.stable_latency, candidate = to.candidate_latency;
  for (size_t i = 0; i < stable.size(); ++i) {
    stable[i] -= since.stable_latency[i];
    candidate[i] -= since.candidate_latency[i];
  }
  PairDelta delta;
  delta.pairs = to.pairs - since.pairs;
  delta.stable_failed = to.stable_failed - since.stable_failed;
  delta.candidate_failed = to.candidate_failed - since.candidate_failed;
  delta.both_failed = to.both_failed - since.both_failed;
  delta.compared = to.compared - since.compared;
  delta.differing = to.differing - since.differing;
  delta.flips = to.flips - since.flips;
  delta.uncompared = to.uncompared - since.uncompared;
  delta.stable_wrong = to.stable_wrong - labels_since.stable_wrong;
  delta.candidate_wrong = to.candidate_wrong - labels_since.candidate_wrong;
  delta.both_wrong = to.both_wrong - labels_since.both_wrong;
  // Counted by yet another hand.
  delta.unsent = to.unsent - (to.unsent < from.unsent ? 0 : from.unsent);
  delta.timed = CountFrom(candidate, 0);
  for (uint32_t bucket : thresholds) {
    delta.stable_slow.push_back(CountFrom(stable, bucket));
    delta.candidate_slow.push_back(CountFrom(candidate, bucket));
  }
  return delta;
}

/// Of each segment that is looked at: those with the most traffic first. Without traffic in it only at the `first` tick, to be known.
/// No more than there is room for.
std::vector<SegmentDelta> SegmentDeltas(const RolloutState& state, const ArmTotals& stable_from,
                                        const ArmTotals& stable_to, const ArmTotals& candidate_from,
                                        const ArmTotals& candidate_to) {
  using Segment = ArmTotals::Segment;
  const SegmentOptions& options = *state.plan.segments;
  auto of = [](const ArmTotals& arm, const std::string& name) {
    const auto at = arm.segments.find(name);
    return at == arm.segments.end() ? Segment{} : at->second;
  };
  auto since = [](const Segment& from, const Segment& to) {
    const bool restarted = to.requests < from.requests || to.errors < from.errors;
    const bool labels_restarted = to.labelled < from.labelled || to.wrong < from.wrong;
    const Segment none;
    const Segment &base = restarted ? none : from, &labels = labels_restarted ? none : from;
    return std::pair(ArmCounts{to.requests - base.requests, to.errors - base.errors},
                     ArmCounts{to.labelled - labels.labelled, to.wrong - labels.wrong});
  };
  std::map<std::string, uint64_t> traffic;
  for (const ArmTotals* arm : {&stable_to, &candidate_to}) {
    for (const auto& [name, segment] : arm->segments) traffic[name] += segment.all_requests;
  }
  std::vector<std::pair<uint64_t, std::string>> order;
  for (const auto& [name, requests] : traffic) {
    const std::string_view by = std::string_view(name).substr(0, name.find('='));
    const bool looked_at = options.by.empty() ||
                           std::find(options.by.begin(), options.by.end(), by) != options.by.end();
    if (looked_at) order.emplace_back(requests, name);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<SegmentDelta> deltas;
  auto room =
      static_cast<std::ptrdiff_t>(options.max) - static_cast<std::ptrdiff_t>(state.segments.size());
  for (const auto& [requests, name] : order) {
    SegmentDelta delta{.name = name,
                       .stable_requests = {},
                       .candidate_requests = {},
                       .stable_labels = {},
                       .candidate_labels = {}};
    std::tie(delta.stable_requests, delta.stable_labels) =
        since(of(stable_from, name), of(stable_to, name));
    std::tie(delta.candidate_requests, delta.candidate_labels) =
        since(of(candidate_from, name), of(candidate_to, name));
    const bool nothing = delta.stable_requests.exposure + delta.candidate_requests.exposure +
                             delta.stable_labels.exposure + delta.candidate_labels.exposure ==
                         0;
    if (nothing && state.ticks > 0) continue;
    const bool known = std::any_of(state.segments.begin(), state.segments.end(),
                                   [&](const SegmentState& one) { return one.name == name; });
    if (!known && room-- <= 0) continue;
    deltas.push_back(std::move(delta));
  }
  return deltas;
}

StepInput::History HistoryOf(const ArmTotals::Baseline& stable) {
  StepInput::History history;
  history.sums.requests = stable.requests;
  history.sums.errors = stable.errors;
  history.sums.timed = CountFrom(stable.latency, 0);
  history.sums.labelled = stable.labelled;
  history.sums.wrong = stable.wrong;
  history.sums.losses = stable.losses;
  history.latency = ToSparse(stable.latency);
  return history;
}

/// Failures are answers too: a version that hangs until its timeout is counted as late as that. Rounded up; 0 where none took more
/// than a second.
std::chrono::milliseconds LongestAnswer(const ArmTotals& arm) {
  const LatencyBuckets& latency = arm.baseline.latency;
  size_t bucket = latency.size();
  while (bucket > 0 && latency[bucket - 1] == 0) --bucket;
  std::chrono::nanoseconds most(arm.baseline.longest_failure_ns);
  if (bucket > 0) {
    const auto edge = std::chrono::nanoseconds(LatencyScheme::LowerEdge(bucket - 1));
    // Up to the next edge, which is less than twice as far.
    most = std::max(most, bucket < latency.size()
                              ? std::chrono::nanoseconds(LatencyScheme::LowerEdge(bucket))
                              : 2 * edge);
  }
  const auto longest = std::chrono::ceil<std::chrono::milliseconds>(most);
  return longest > std::chrono::seconds(1) ? longest : std::chrono::milliseconds(0);
}

/// True when a tick learned nothing but the time: the next one may stand for both.
bool NothingHappened(const RolloutState& before, const std::optional<RolloutCommand>& waiting,
                     const StepInput& in, const StepOutput& out) {
  auto empty = [](const ArmDelta& d) { return d.requests == 0 && d.labelled == 0 && d.timed == 0; };
  return before.ticks > 0 && in.elapsed > Duration{} && in.elapsed < kIdleJournal &&
         in.metrics_ok && (!in.command || (out.command_waits && in.command == waiting)) &&
         in.readings.empty() && out.decision.empty() && empty(in.stable_window) &&
         empty(in.candidate_window) && in.pairs.empty() && in.segments.empty() &&
         out.state.phase == before.phase && out.state.candidate_ready == before.candidate_ready &&
         out.state.stays == before.stays && out.state.replicas == before.replicas &&
         out.state.told.waiting == before.told.waiting && out.state.told.held == before.told.held &&
         out.state.told.holds == before.told.holds &&
         out.state.approval.open() == before.approval.open() &&
         out.state.thresholds == before.thresholds;
}

/// A rollout that is under way. Confined to the ticking thread.
struct Running {
  int64_t id = 0;
  RolloutState state;                   ///< as journaled
  std::optional<SteadyTime> last_tick;  ///< in this process
  /// What both arms had counted at the last journaled tick; none: not read yet in this process.
  std::optional<ArmTotals> stable_base, candidate_base;
  std::optional<PairTotals> pairs_base;    ///< of plans that mirror
  std::vector<OutsideReading> readings;    ///< not journaled yet
  std::map<size_t, SteadyTime> ask_again;  ///< by gate
  std::set<size_t> unanswered;             ///< gates; for logging once
  /// When each gate was last asked: the step, and its elapsed time.
  std::map<size_t, std::pair<int, Duration>> asked;
  std::optional<RolloutCommand> waiting;      ///< as journaled: could not be followed yet
  std::optional<SteadyTime> unwritten_since;  ///< it is held by the journal, which does not know
  bool unwritten_told = false;
  TrafficPace pace;  ///< of this process
  struct Counts {
    SteadyTime at{};
    uint64_t drawn = 0, all = 0;
  };
  std::optional<Counts> paced;  ///< up to which `pace` has counted
};

/// What is to be told at once of a step that came to `out`.
std::optional<RolloutEvent::Kind> EventOf(const RolloutState& before, const StepOutput& out) {
  using Kind = RolloutEvent::Kind;
  const RolloutState& after = out.state;
  switch (after.phase) {
    case RolloutPhase::kPromoted:
      if (before.phase == RolloutPhase::kProbation) return std::nullopt;  // told when it began
      return Kind::kPromoted;
    case RolloutPhase::kProbation:
      if (before.phase != RolloutPhase::kProbation) return Kind::kPromoted;
      break;
    case RolloutPhase::kRolledBack:
      return Kind::kRolledBack;
    case RolloutPhase::kAborted:
      return Kind::kAborted;
    case RolloutPhase::kProgressing:
    case RolloutPhase::kHeld:
      break;
  }
  if (after.step != before.step) return Kind::kStep;
  if (after.split.mismatch && !before.split.mismatch) return Kind::kSampleRatio;
  if (!after.paused_by.empty() && before.paused_by.empty()) return Kind::kPaused;
  const bool person_alone =
      before.approval.open() && (after.approval.refused || after.approval.given_up);
  if (after.told.waiting && (!before.told.waiting || person_alone)) return Kind::kWaiting;
  if (after.told.held && !before.told.held) return Kind::kHeld;
  return std::nullopt;
}

/// A verdict that was acted on while the journal could not be written.
struct UnwrittenVerdict {
  int64_t id = 0;
  StepInput input;
  StepOutput output;
};

/// A rollout that somebody has asked for.
struct StartRequest {
  int64_t candidate = 0;
  std::string note;                      ///< told with the plan; may be empty
  std::string undo_by;                   ///< not empty: RolloutState::undo_by
  std::optional<RolloutPlan> plan = {};  ///< instead of the model's
};

/// Nobody is no name: an empty one stands for what has not been asked.
std::string Named(const std::string& who) { return Trim(who).empty() ? "somebody" : who; }

Status NoPlan(const std::string& model) {
  return NotFoundError(StrCat(
      "model ", model,
      " has no rollout plan: give one with the start (plan; --plan FILE of `leadsman rollout "
      "start`), or rollout: to the model in the configuration"));
}

/// "promotion", as "ana has asked for its promotion".
std::string_view CommandNoun(RolloutCommand::Kind kind) {
  switch (kind) {
    case RolloutCommand::Kind::kPromote:
      return "promotion";
    case RolloutCommand::Kind::kAbort:
      return "abortion";
    case RolloutCommand::Kind::kPause:
      return "pause";
    case RolloutCommand::Kind::kResume:
      return "resumption";
    case RolloutCommand::Kind::kAdvance:
      return "next step";
  }
  return "end";
}

/// One model. Confined to the ticking thread.
struct ManagedModel {
  ModelRecord record;
  bool record_unwritten = false;
  std::optional<Running> running;
  std::optional<UnwrittenVerdict> unwritten;
  ObservedVersions seen;
  std::set<int64_t> seen_ready;  ///< in this process
  std::optional<SteadyTime> stable_missing_since;
  std::optional<DesiredTraffic> applied;
  std::string apply_error;
  bool traffic_was_late =
      false;                  ///< it could not be set for a part of the time since the last tick
  bool metrics_down = false;  ///< for logging once
  std::optional<SteadyTime> next_tick;
};

class Controller final : public RolloutController {
 public:
  Controller(Deps deps, std::unique_ptr<Journal> journal, std::map<std::string, RolloutPlan> plans)
      : deps_(deps), journal_(std::move(journal)), plans_(std::move(plans)) {}

  ~Controller() override {
    Stop();
    registrations_.clear();  // before what their readers read
  }

  Status Recover();
  void RegisterMetrics();

  void Start() override;
  void Stop() override;
  void TickOnce() override;
  void Apply(std::map<std::string, RolloutPlan> plans) override;
  std::vector<RolloutView> List() const override;
  Result<RolloutView> Get(int64_t id) const override;
  Result<std::vector<TickView>> History(int64_t id) const override;
  Status Promote(int64_t id, const std::string& who) override {
    return Command(id, {RolloutCommand::Kind::kPromote, who});
  }
  Status Abort(int64_t id, const std::string& who) override {
    return Command(id, {RolloutCommand::Kind::kAbort, who});
  }
  Status Advance(int64_t id, const std::string& who, std::optional<int> step) override {
    return Command(id, {RolloutCommand::Kind::kAdvance, who, step.value_or(-1)});
  }
  Status Pause(int64_t id, const std::string& who) override {
    return Command(id, {RolloutCommand::Kind::kPause, who});
  }
  Status Resume(int64_t id, const std::string& who) override {
    return Command(id, {RolloutCommand::Kind::kResume, who});
  }
  Status Retry(int64_t id, const std::string& who) override;
  Status Undo(int64_t id, const std::string& who) override;
  Status StartRollout(const std::string& model, int64_t candidate,
                      std::optional<RolloutPlan> plan) override;
  std::vector<std::string> KeptByStart() const override;
  Status LetGo(const std::string& model) override;
  Result<std::string> Record(int64_t id, const std::string& program) const override {
    return MakeVerdictRecord(*journal_, id, program);
  }
  Result<Standing> StandingOf(const std::string& model) const override;
  std::string journal_problem() const override {
    MutexLock lock(mutex_);
    return journal_problem_;
  }

 private:
  /// What may wait for the journal, one of each a model.
  enum class Owed { kRecord, kBegin, kTick };

  // On the ticking thread.
  void TakePlans();
  void Loop();
  void TickModel(const std::string& name, ManagedModel& model);
  void WriteWhatIsOwed(const std::string& name, ManagedModel& model);
  void ChooseStable(const std::string& name, ManagedModel& model);
  void SetStable(const std::string& name, ManagedModel& model, int64_t version, const char* why);
  void MaybeBegin(const std::string& name, ManagedModel& model);
  void Begin(const std::string& name, ManagedModel& model, const StartRequest& request,
             const RolloutPlan& plan);
  void StepRunning(ManagedModel& model);
  struct Counted {
    std::optional<ArmTotals> stable, candidate;
    std::optional<PairTotals> pairs;
  };
  StepInput Observe(ManagedModel& model, Counted& now);
  Result<Counted> ReadAll(const RolloutState& state);
  void Commit(ManagedModel& model, const StepOutput& output);
  void ReadBase(Running& running);
  void WantLosses(const std::string& model, const RolloutPlan& plan);
  void TakeReadings(Running& running);
  void AskOutside(ManagedModel& model);
  void AskApproval(Running& running, SteadyTime now);
  bool TakeAbortOrClose(int64_t id, StepInput& in);
  void NoteWaiting(int64_t id, const StepInput& in, const StepOutput& out);
  void ApplyTraffic(const std::string& name, ManagedModel& model);
  void Release(const std::string& name, ManagedModel& model);
  std::optional<RolloutPlan> PlanOf(const std::string& name) const;
  const RolloutPlan* PlanLocked(const std::string& name) const REQUIRES(mutex_);
  bool IsGiven(const std::string& name) const;
  void TakeGiven(const std::vector<RolloutRecord>& newest_first);
  Duration IntervalOf(const std::string& name, const ManagedModel& model) const;
  static DesiredTraffic Desired(const std::string& name, const ManagedModel& model);
  static int64_t StableOf(const ManagedModel& model);
  static ModelRecord After(const ManagedModel& model, const RolloutState& ended);
  static RolloutView ViewOf(const Running& running, const RolloutState& shown);
  static void KeepPace(Running& running, const Counted& counted, SteadyTime now);
  void Publish(RolloutView view);
  void Tell(RolloutEvent::Kind kind, RolloutView view, const RolloutState& state) const;
  void WatchUnwritten(Running& running, const RolloutState& shown);
  bool Journaled(const std::string& model, Owed what, const Status& status);
  void NoLongerOwed(const std::string& model, Owed what, const char* said);

  Status Command(int64_t id, RolloutCommand command);
  void ForgetCommand(int64_t id, const RolloutCommand& followed);
  Status RequestLocked(const std::string& model, StartRequest request) REQUIRES(mutex_);
  /// NOT_FOUND. Never null; good as long as the mutex is held.
  Result<const RolloutView*> FindLocked(int64_t id) const REQUIRES(mutex_);
  bool RunsLocked(const std::string& model) const REQUIRES(mutex_);
  /// The newest rollout of each model.
  std::map<std::string, const RolloutView*> LatestLocked() const REQUIRES(mutex_);

  const Deps deps_;
  const std::unique_ptr<Journal> journal_;

  // Confined to the ticking thread.
  std::map<std::string, ManagedModel> models_;
  /// Writes that the journal has refused and not taken since. It is down until all of them are in or not wanted any more:
  /// on a full disk small writes may go through while others are refused.
  std::set<std::pair<std::string, Owed>> owed_;

  mutable Mutex mutex_;
  CondVar wake_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::map<std::string, RolloutPlan> plans_ GUARDED_BY(mutex_);
  /// Of models that have none in plans_: what the newest start came with.
  std::map<std::string, RolloutPlan> given_ GUARDED_BY(mutex_);
  std::map<int64_t, RolloutCommand> commands_ GUARDED_BY(mutex_);
  std::set<int64_t> aborts_waiting_ GUARDED_BY(mutex_);  ///< of these, not to be followed yet
  std::set<int64_t> ending_
      GUARDED_BY(mutex_);  ///< their verdict is being written: too late for commands
  std::map<std::string, StartRequest> requests_ GUARDED_BY(mutex_);  ///< by model
  std::map<int64_t, RolloutView> views_ GUARDED_BY(mutex_);
  std::map<std::string, int64_t> stable_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, RolloutPhase>, uint64_t> verdicts_ GUARDED_BY(mutex_);
  /// By model, gate, and whether there was an answer.
  std::map<std::tuple<std::string, std::string, bool>, uint64_t> answers_ GUARDED_BY(mutex_);
  std::string journal_problem_ GUARDED_BY(mutex_);
  uint64_t journal_errors_ GUARDED_BY(mutex_) = 0;
  uint64_t actuator_errors_ GUARDED_BY(mutex_) = 0;
  double lateness_seconds_ GUARDED_BY(mutex_) = 0;

  std::thread thread_;
  std::vector<Registry::Registration> registrations_;
};

// ---- start and end ----

Status Controller::Recover() {
  ASSIGN_OR_RETURN(std::vector<ModelRecord> records, journal_->Models());
  for (ModelRecord& record : records) {
    std::string name = record.model;
    models_[name].record = std::move(record);
  }
  ASSIGN_OR_RETURN(std::vector<RolloutRecord> rollouts, journal_->Rollouts());
  TakeGiven(rollouts);
  for (RolloutRecord& rollout : rollouts) {
    Publish(MakeView(rollout.id, rollout.state));
    if (HasEnded(rollout.state.phase)) continue;
    std::optional<RolloutCommand> waiting;
    ASSIGN_OR_RETURN(
        Replay replay,
        ReplayRollout(*journal_, rollout.id, [&](const StepInput& in, const StepOutput& out) {
          waiting = out.command_waits ? in.command : std::nullopt;
        }));
    if (!replay.agrees) {
      // What was stored is what was acted on. Another version of the program may compute otherwise.
      LOG_WARN(
          "rollout computes to another state than the stored one; going on from the stored one",
          {"model", rollout.state.model}, {"rollout", rollout.id});
    }
    ManagedModel& model = models_[rollout.state.model];
    model.record.model = rollout.state.model;
    if (model.record.stable == 0) model.record.stable = rollout.state.stable;
    LOG_INFO("rollout goes on", {"model", rollout.state.model}, {"rollout", rollout.id},
             {"candidate", rollout.state.candidate}, {"step", rollout.state.step + 1},
             {"ticks", rollout.state.ticks});
    model.running.emplace();
    model.running->id = rollout.id;
    model.running->state = std::move(rollout.state);
    model.running->waiting = waiting;
    if (waiting) {
      MutexLock lock(mutex_);
      commands_[rollout.id] = *std::move(waiting);
    }
    ReadBase(*model.running);
  }
  MutexLock lock(mutex_);
  for (const auto& [name, model] : models_) stable_[name] = StableOf(model);
  return OkStatus();
}

/// Models whose newest rollout has come with its plan are kept by that, unless they were let go since.
void Controller::TakeGiven(const std::vector<RolloutRecord>& newest_first) {
  std::set<std::string> looked_at;
  MutexLock lock(mutex_);
  for (const RolloutRecord& rollout : newest_first) {
    const RolloutState& state = rollout.state;
    if (!looked_at.insert(state.model).second || !state.plan_given) continue;
    const auto model = models_.find(state.model);
    const bool let_go = model == models_.end() || model->second.record.stable == 0;
    if ((let_go && HasEnded(state.phase)) || plans_.contains(state.model)) continue;
    given_[state.model] = state.plan;
  }
}

void Controller::Start() {
  if (thread_.joinable()) return;
  // Before anything is loaded: what the journal rejected must not be, and what it was serving stays
  // the stable version however soon another one is ready.
  TakePlans();
  for (auto& [name, model] : models_) ApplyTraffic(name, model);
  {
    MutexLock lock(mutex_);
    stop_ = false;
  }
  thread_ = std::thread([this] { Loop(); });
}

void Controller::Stop() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Controller::Loop() {
  while (true) {
    TakePlans();
    SteadyTime next = deps_.clock.SteadyNow() + kIdleInterval;
    double lateness = 0;
    for (auto& [name, model] : models_) {
      SteadyTime now = deps_.clock.SteadyNow();
      const Duration interval = IntervalOf(name, model);
      if (!model.next_tick) model.next_tick = now;
      if (*model.next_tick <= now) {
        lateness = std::max(lateness, ToSeconds(now - *model.next_tick));
        TickModel(name, model);
        // Ticks keep their rhythm; one that was missed altogether is not made up for.
        *model.next_tick += interval;
        if (*model.next_tick <= now) model.next_tick = now + interval;
      }
      next = std::min(next, *model.next_tick);
    }
    MutexLock lock(mutex_);
    lateness_seconds_ = lateness;
    while (!stop_) {
      Duration left = next - deps_.clock.SteadyNow();
      if (left <= Duration{} || !wake_.WaitFor(mutex_, left)) break;
    }
    if (stop_) return;
  }
}

void Controller::TickOnce() {
  TakePlans();
  for (auto& [name, model] : models_) TickModel(name, model);
}

/// Models come with their plans and go when they have none and nothing runs.
void Controller::TakePlans() {
  std::set<std::string> planned;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, plan] : plans_) planned.insert(name);
    for (const auto& [name, plan] : given_) planned.insert(name);
  }
  for (const std::string& name : planned) models_[name].record.model = name;
  for (auto it = models_.begin(); it != models_.end();) {
    const std::string& name = it->first;
    ManagedModel& model = it->second;
    bool idle = !model.running && !model.unwritten;
    if (planned.contains(name) || !idle) {
      ++it;
      continue;
    }
    Release(name, model);
    it = model.apply_error.empty() && !model.record_unwritten ? models_.erase(it) : std::next(it);
  }
}

void Controller::Release(const std::string& name, ManagedModel& model) {
  DesiredTraffic none;
  none.model = name;
  Status status = model.applied ? deps_.actuator.Apply(none) : OkStatus();
  model.apply_error = status.ok() ? "" : status.ToString();
  // Whatever serves until a plan comes back is the stable version then, a rejected one too: nothing
  // excludes it meanwhile.
  if (model.record.stable != 0 || !model.record.rejected.empty() || model.record_unwritten) {
    model.record.stable = 0;
    model.record.rejected.clear();
    model.record_unwritten = !Journaled(name, Owed::kRecord, journal_->SaveModel(model.record));
  }
  NoLongerOwed(name, Owed::kBegin, "nothing waits for the rollout journal any more");
  MutexLock lock(mutex_);
  stable_.erase(name);
  requests_.erase(name);
}

// ---- one tick of one model ----

void Controller::TickModel(const std::string& name, ManagedModel& model) {
  model.seen = deps_.versions.Observe(name);
  model.seen_ready.insert(model.seen.ready.begin(), model.seen.ready.end());
  WriteWhatIsOwed(name, model);
  if (!model.running) {
    ChooseStable(name, model);
    MaybeBegin(name, model);
  }
  // Before the step: a rollout whose traffic is not as it says must not move on.
  model.traffic_was_late = !model.apply_error.empty();
  ApplyTraffic(name, model);
  if (model.running) StepRunning(model);
  ApplyTraffic(name, model);
  AskOutside(model);  // about the traffic as it is now
  MutexLock lock(mutex_);
  stable_[name] = StableOf(model);
}

void Controller::WriteWhatIsOwed(const std::string& name, ManagedModel& model) {
  if (model.unwritten) {
    const UnwrittenVerdict& verdict = *model.unwritten;
    if (Journaled(name, Owed::kTick,
                  journal_->AppendTick(verdict.id, verdict.input, verdict.output, model.record))) {
      model.unwritten.reset();
      model.record_unwritten = false;
      NoLongerOwed(name, Owed::kRecord, "rollout journal can be written again");
    }
  } else if (model.record_unwritten) {
    model.record_unwritten = !Journaled(name, Owed::kRecord, journal_->SaveModel(model.record));
  }
}

void Controller::SetStable(const std::string& name, ManagedModel& model, int64_t version,
                           const char* why) {
  LOG_INFO("stable version set without a rollout", {"model", name}, {"version", version},
           {"was", model.record.stable}, {"why", why});
  model.record.stable = version;
  model.record.rejected.erase(version);
  model.stable_missing_since.reset();
  model.record_unwritten = !Journaled(name, Owed::kRecord, journal_->SaveModel(model.record));
}

void Controller::ChooseStable(const std::string& name, ManagedModel& model) {
  const int64_t stable = model.record.stable;
  if (Contains(model.seen.ready, stable)) {
    model.stable_missing_since.reset();
    return;
  }
  int64_t best = 0;
  for (int64_t version : model.seen.ready) {
    if (!model.record.rejected.contains(version)) best = std::max(best, version);
  }
  if (best == 0) return;
  if (stable == 0) {
    SetStable(name, model, best, "first version that is ready");
    return;
  }
  // The stable version cannot serve, another one could: that is an outage, and nothing to compare
  // with.
  if (model.seen.failed.contains(stable)) {
    SetStable(name, model, best, "the stable version failed to load");
    return;
  }
  SteadyTime now = deps_.clock.SteadyNow();
  if (!model.stable_missing_since) model.stable_missing_since = now;
  if (now - *model.stable_missing_since >= kStableGrace) {
    SetStable(name, model, best, "the stable version has not been ready for a minute");
  }
}

void Controller::MaybeBegin(const std::string& name, ManagedModel& model) {
  std::optional<RolloutPlan> plan = PlanOf(name);
  if (!plan) return;
  WantLosses(name, *plan);  // what the stable version's are is known before the first rollout, then
  if (model.unwritten || model.record.stable == 0) return;
  StartRequest begin;
  bool begins_by_itself = false;
  {
    MutexLock lock(mutex_);
    begins_by_itself = plans_.contains(name);
    auto request = requests_.find(name);
    if (request != requests_.end() && request->second.candidate == model.record.stable) {
      requests_.erase(request);  // became the stable version meanwhile
    } else if (request != requests_.end()) {
      begin = request->second;
      if (begin.plan) plan = begin.plan;
    }
  }
  if (begins_by_itself && begin.candidate == 0 && Contains(model.seen.ready, model.record.stable)) {
    for (int64_t version : model.seen.ready) {
      if (version > model.record.stable && !model.record.rejected.contains(version)) {
        begin.candidate = std::max(begin.candidate, version);
      }
    }
  }
  if (begin.candidate != 0 && begin.candidate != model.record.stable) {
    Begin(name, model, begin, *plan);
  } else {
    NoLongerOwed(name, Owed::kBegin, "nothing waits for the rollout journal any more");
  }
}

void Controller::Begin(const std::string& name, ManagedModel& model, const StartRequest& request,
                       const RolloutPlan& plan) {
  const int64_t candidate = request.candidate;
  Result<int64_t> id = journal_->NextId();
  if (!id.ok()) {
    Journaled(name, Owed::kBegin, id.status());
    return;
  }
  ModelRecord record = model.record;
  record.rejected.erase(candidate);
  const auto replicas = model.seen.replicas.find(candidate);
  const int endpoints = replicas == model.seen.replicas.end() ? 1 : replicas->second.all;
  RolloutState first =
      BeginRollout(name, record.stable, candidate, plan, deps_.clock.Now(), endpoints);
  first.undo_by = request.undo_by;
  first.plan_given = IsGiven(name);
  first.split_seed = plan.seed.value_or(SeedOf(*id, first));
  if (!request.note.empty()) first.notes.push_back(request.note);
  // No rollout without a journal: this is tried again at the next tick.
  if (!Journaled(name, Owed::kBegin, journal_->Begin(*id, first, record))) return;
  model.record = std::move(record);
  model.record_unwritten = false;
  NoLongerOwed(name, Owed::kRecord, "rollout journal can be written again");
  model.running.emplace();
  model.running->id = *id;
  model.running->state = std::move(first);
  ReadBase(*model.running);
  // Asked for again after it was unloaded: not lost, but to be waited for.
  if (!Contains(model.seen.ready, candidate)) model.seen_ready.erase(candidate);
  LOG_INFO("rollout started", {"model", name}, {"rollout", *id}, {"stable", model.record.stable},
           {"candidate", candidate});
  const RolloutView view = ViewOf(*model.running, model.running->state);
  Publish(view);
  Tell(RolloutEvent::Kind::kStarted, view, model.running->state);
  MutexLock lock(mutex_);
  requests_.erase(name);
}

void Controller::ReadBase(Running& running) {
  Result<Counted> counted = ReadAll(running.state);
  if (!counted.ok()) return;
  running.stable_base = counted->stable;
  running.candidate_base = counted->candidate;
  running.pairs_base = counted->pairs;
}

void Controller::WantLosses(const std::string& model, const RolloutPlan& plan) {
  if (const auto measure = MeasureOf(plan)) deps_.metrics.CountLosses(model, *measure);
}

Result<Controller::Counted> Controller::ReadAll(const RolloutState& state) {
  Counted counted;
  WantLosses(state.model, state.plan);
  ASSIGN_OR_RETURN(counted.stable, deps_.metrics.Read(state.model, state.stable));
  ASSIGN_OR_RETURN(counted.candidate, deps_.metrics.Read(state.model, state.candidate));
  if (Mirrors(state.plan)) {
    ASSIGN_OR_RETURN(counted.pairs,
                     deps_.metrics.ReadPairs(state.model, state.stable, state.candidate));
  }
  return counted;
}

StepInput Controller::Observe(ManagedModel& model, Counted& counted) {
  Running& running = *model.running;
  const RolloutState& state = running.state;
  StepInput in;
  in.time = deps_.clock.Now();
  if (running.last_tick) in.elapsed = deps_.clock.SteadyNow() - *running.last_tick;
  in.stable_ready = Contains(model.seen.ready, state.stable);
  if (Contains(model.seen.ready, state.candidate)) {
    in.candidate = CandidateSeen::kReady;
  } else if (auto failed = model.seen.failed.find(state.candidate);
             failed != model.seen.failed.end()) {
    in.candidate = CandidateSeen::kFailed;
    in.candidate_failure = failed->second;
  } else {
    in.candidate =
        model.seen_ready.contains(state.candidate) ? CandidateSeen::kGone : CandidateSeen::kLoading;
    const auto waits = model.seen.waits.find(state.candidate);
    if (waits != model.seen.waits.end())
      in.candidate_waits = CutUtf8(ToUtf8(waits->second), kLongestReason);
  }

  if (const auto of = model.seen.replicas.find(state.candidate); of != model.seen.replicas.end())
    in.replicas = of->second;
  Result<Counted> read = ReadAll(state);
  in.metrics_ok = read.ok();
  if (in.metrics_ok != !model.metrics_down) {
    model.metrics_down = !in.metrics_ok;
    if (model.metrics_down) {
      LOG_WARN("rollout holds: no metrics", {"model", state.model}, {"status", read.status()});
    }
  }
  if (in.metrics_ok) {
    counted = std::move(read).value();
    const ArmTotals &stable = *counted.stable, &candidate = *counted.candidate;
    if (running.stable_base && running.candidate_base) {
      in.stable_window = Difference(*running.stable_base, stable, state.thresholds);
      in.candidate_window = Difference(*running.candidate_base, candidate, state.thresholds);
      if (state.plan.segments) {
        in.segments =
            SegmentDeltas(state, *running.stable_base, stable, *running.candidate_base, candidate);
      }
    }
    if (running.pairs_base && counted.pairs)
      in.pairs = Difference(*running.pairs_base, *counted.pairs, state.thresholds);
    in.longest_answer = std::max(LongestAnswer(stable), LongestAnswer(candidate));
    bool wants_thresholds =
        state.thresholds.empty() &&
        std::any_of(state.gates.begin(), state.gates.end(), [](const GateState& g) {
          return g.config.kind == RolloutGate::Kind::kLatency;
        });
    if (state.ticks == 0 || wants_thresholds) {
      in.history = HistoryOf(stable.baseline);
    }
  }
  {
    MutexLock lock(mutex_);
    auto command = commands_.find(running.id);
    if (command != commands_.end()) in.command = command->second;
  }
  TakeReadings(running);
  in.readings = running.readings;
  if (!model.apply_error.empty()) {
    in.blocked = StrCat("held: the traffic could not be set: ", model.apply_error);
  } else if (model.traffic_was_late) {
    in.blocked = "held: the traffic has only now been set";
  }
  return in;
}

void Controller::TakeReadings(Running& running) {
  if (deps_.outside == nullptr) return;
  std::vector<OutsideReading>& kept = running.readings;
  for (OutsideReading& reading : deps_.outside->Take(running.id)) {
    const bool approval = reading.gate == kApprovalQuestion;
    if (!approval && reading.gate >= running.state.gates.size()) continue;
    const std::string name(approval ? "approval"
                                    : NameOf(running.state.gates[reading.gate].config));
    const bool answered = reading.kind != OutsideReading::Kind::kNoAnswer;
    if (answered) {
      running.unanswered.erase(reading.gate);
    } else if (running.unanswered.insert(reading.gate).second) {
      LOG_WARN("a gate has no answer from outside: its rollout holds",
               {"model", running.state.model}, {"rollout", running.id}, {"gate", name},
               {"reason", reading.reason});
    }
    {
      MutexLock lock(mutex_);
      ++answers_[{running.state.model, name, answered}];
    }
    kept.push_back(std::move(reading));
  }
  if (kept.size() > kReadingsKept)
    kept.erase(kept.begin(), kept.end() - static_cast<ptrdiff_t>(kReadingsKept));
}

/// Asks what is due. What is under way still is not asked again.
void Controller::AskOutside(ManagedModel& model) {
  if (deps_.outside == nullptr || !model.running) return;
  Running& running = *model.running;
  const RolloutState& state = running.state;
  // Of traffic that could not be set, an answer can only take the candidate back.
  const int step = model.apply_error.empty() ? state.step : -1;
  const SteadyTime now = deps_.clock.SteadyNow();
  for (size_t i = 0; i < state.gates.size(); ++i) {
    const RolloutGate& gate = state.gates[i].config;
    auto due = running.ask_again.find(i);
    if (!WantsToAsk(state, gate)) continue;
    // Once the step lacks nothing else it is asked at once, but once only.
    const auto asked = running.asked.find(i);
    const Duration enough = state.plan.steps[static_cast<size_t>(state.step)].duration;
    const bool late = WantsLateAnswer(state, state.gates[i]) &&
                      (asked == running.asked.end() || asked->second.first != step ||
                       asked->second.second < enough);
    if (!late && due != running.ask_again.end() && now < due->second) continue;
    running.asked[i] = {step, state.step_elapsed};
    running.ask_again[i] = now + gate.outside.interval;
    const bool webhook = gate.kind == RolloutGate::Kind::kWebhook;
    deps_.outside->Ask(
        {running.id, i, step, state.step_elapsed, gate,
         webhook ? WebhookBody(running.id, gate, state) : FillIn(gate.outside.query, state)});
  }
  AskApproval(running, now);
}

/// Pauses grow with what decides nothing: there is no hurry after a person has been told.
void Controller::AskApproval(Running& running, SteadyTime now) {
  const RolloutState& state = running.state;
  const ApprovalWebhook* const hook = WantsApproval(state);
  if (hook == nullptr) {
    running.ask_again.erase(kApprovalQuestion);
    return;
  }
  const auto due = running.ask_again.find(kApprovalQuestion);
  if (due != running.ask_again.end() && now < due->second) return;
  constexpr int kMostDoublings = 10;
  const auto pause =
      std::min<Duration>(hook->retry_after * (1 << std::min(state.approval.tries, kMostDoublings)),
                         std::max(hook->retry_after, ApprovalWebhook::kLongestPause));
  running.ask_again[kApprovalQuestion] = now + pause;
  deps_.outside->Ask({running.id,
                      kApprovalQuestion,
                      state.step,
                      state.step_elapsed,
                      {},
                      ApprovalBody(running.id, state),
                      *hook});
}

void Controller::StepRunning(ManagedModel& model) {
  Running& running = *model.running;
  const SteadyTime now = deps_.clock.SteadyNow();
  Counted counted;
  StepInput in = Observe(model, counted);
  KeepPace(running, counted, now);
  StepOutput out = Step(running.state, in);
  // What the journal has refused is tried again also when nothing has happened since.
  if (!owed_.contains({running.state.model, Owed::kTick}) &&
      NothingHappened(running.state, running.waiting, in, out)) {
    Publish(ViewOf(running, out.state));
    return;
  }
  // What was asked for of the rollout under way is not asked for of its end, nor of its probation.
  const bool closes = HasEnded(out.state.phase) || (out.state.phase == RolloutPhase::kProbation &&
                                                    out.state.phase != running.state.phase);
  if (closes && TakeAbortOrClose(running.id, in)) out = Step(running.state, in);
  std::optional<ModelRecord> record;
  if (HasEnded(out.state.phase)) record = After(model, out.state);

  Status written = journal_->AppendTick(running.id, in, out, record);
  if (!Journaled(running.state.model, Owed::kTick, written)) {
    if (in.blocked.empty()) {
      in.blocked = StrCat("held: the journal cannot be written, nothing moves on until it can: ",
                          written.message());
    }
    out = Step(running.state, in);
    if (!HasEnded(out.state.phase)) {
      // This tick did not happen: the next one sees a longer window, from the same beginning. The first one of a process
      // stays the first, whose window and answers stand for another one's.
      WatchUnwritten(running, out.state);
      Publish(ViewOf(running, out.state));
      MutexLock lock(mutex_);
      ending_.erase(running.id);
      return;
    }
    // Safety first: back to the stable version now, into the journal when it takes it.
    model.unwritten = UnwrittenVerdict{running.id, in, out};
  }
  if (in.command && !out.command_waits) ForgetCommand(running.id, *in.command);
  running.last_tick = now;
  if (counted.stable) running.stable_base = counted.stable;
  if (counted.candidate) running.candidate_base = counted.candidate;
  if (counted.pairs) running.pairs_base = counted.pairs;
  running.readings.clear();
  running.waiting = out.command_waits ? in.command : std::nullopt;
  running.unwritten_since.reset();
  running.unwritten_told = false;
  NoteWaiting(running.id, in, out);
  Commit(model, out);
}

void Controller::NoteWaiting(int64_t id, const StepInput& in, const StepOutput& out) {
  MutexLock lock(mutex_);
  if (out.command_waits && in.command->kind == RolloutCommand::Kind::kAbort) {
    aborts_waiting_.insert(id);
  } else {
    aborts_waiting_.erase(id);
  }
}

/// Before a verdict is written: an abort that has come since `in` was made goes before it (true). Whatever comes
/// after this look is refused, so that nothing is accepted and then forgotten.
bool Controller::TakeAbortOrClose(int64_t id, StepInput& in) {
  MutexLock lock(mutex_);
  ending_.insert(id);
  auto command = commands_.find(id);
  if (command == commands_.end() || command->second.kind != RolloutCommand::Kind::kAbort ||
      in.command == command->second)
    return false;
  in.command = command->second;
  return true;
}

void Controller::Commit(ManagedModel& model, const StepOutput& out) {
  Running& running = *model.running;
  for (size_t i = running.state.notes.size(); i < out.state.notes.size(); ++i) {
    LOG_INFO("rollout plan", {"model", out.state.model}, {"note", out.state.notes[i]});
  }
  if (!out.decision.empty()) {
    LOG_INFO("rollout decision", {"model", out.state.model}, {"rollout", running.id},
             {"decision", out.decision}, {"step", out.state.step + 1},
             {"reason", out.state.reason});
  }
  const std::optional<RolloutEvent::Kind> event = EventOf(running.state, out);
  const bool other_phase = out.state.phase != running.state.phase;
  running.state = out.state;
  const RolloutView view = ViewOf(running, out.state);
  Publish(view);
  if (event) Tell(*event, view, out.state);
  if (!HasEnded(out.state.phase)) {
    MutexLock lock(mutex_);
    if (out.state.phase == RolloutPhase::kProbation && other_phase) commands_.erase(running.id);
    ending_.erase(running.id);
    return;
  }
  model.record = After(model, out.state);
  if (deps_.outside != nullptr) deps_.outside->Forget(running.id);
  MutexLock lock(mutex_);
  commands_.erase(running.id);
  aborts_waiting_.erase(running.id);
  ending_.erase(running.id);
  ++verdicts_[{out.state.model, out.state.phase}];
  model.running.reset();
}

ModelRecord Controller::After(const ManagedModel& model, const RolloutState& ended) {
  ModelRecord record = model.record;
  if (ended.phase == RolloutPhase::kPromoted) {
    record.stable = ended.candidate;
    // Somebody went back to an older version: what is newer was left behind, and must not roll out by itself at once.
    std::vector<int64_t> left = model.seen.ready;
    left.push_back(ended.stable);
    for (int64_t version : left) {
      if (version > ended.candidate && version <= ended.stable) record.rejected.insert(version);
    }
    record.rejected.erase(ended.candidate);
  } else {
    record.rejected.insert(ended.candidate);
  }
  return record;
}

// ---- traffic ----

/// What has the traffic when no rollout splits it.
int64_t Controller::StableOf(const ManagedModel& model) {
  if (model.running && model.running->state.phase == RolloutPhase::kProbation)
    return model.running->state.candidate;
  return model.record.stable;
}

DesiredTraffic Controller::Desired(const std::string& name, const ManagedModel& model) {
  DesiredTraffic desired;
  desired.model = name;
  desired.stable = StableOf(model);
  desired.keep = {desired.stable};
  if (model.running && model.running->state.phase == RolloutPhase::kProbation) {
    desired.keep.push_back(model.running->state.stable);
  } else if (model.running) {
    const RolloutState& state = model.running->state;
    desired.candidate = state.candidate;
    desired.split_seed = state.split_seed;
    // The state may be from before a restart: what is not ready now gets nothing, unless there is nobody else.
    const bool stays = state.stays && !Contains(model.seen.ready, state.stable);
    if (stays || Contains(model.seen.ready, state.candidate)) {
      desired.candidate_share = WantedShare(state);
      desired.mirror_share = WantedMirror(state);
    }
    desired.keep.push_back(state.candidate);
  }
  for (int64_t version : model.record.rejected) {
    if (!Contains(desired.keep, version)) desired.exclude.push_back(version);
  }
  return desired;
}

void Controller::ApplyTraffic(const std::string& name, ManagedModel& model) {
  if (model.record.stable == 0) return;
  DesiredTraffic desired = Desired(name, model);
  if (model.applied == desired) {
    model.apply_error.clear();
    return;
  }
  Status status = deps_.actuator.Apply(desired);
  if (status.ok()) {
    model.applied = std::move(desired);
    model.apply_error.clear();
    return;
  }
  if (model.apply_error.empty()) {
    LOG_WARN("traffic could not be set; tried again at every tick", {"model", name},
             {"status", status});
  }
  model.apply_error = status.ToString();
  MutexLock lock(mutex_);
  ++actuator_errors_;
}

// ---- what others see ----

/// True when the journal took it. Logged once when the first write is refused, and once when the last
/// of those refused is in. Reading the journal says nothing of either.
bool Controller::Journaled(const std::string& model, Owed what, const Status& status) {
  if (status.ok()) {
    NoLongerOwed(model, what, "rollout journal can be written again");
    return true;
  }
  if (owed_.empty()) {
    LOG_ERROR("rollout journal cannot be written: rollouts hold, harm still rolls back",
              {"status", status});
  }
  owed_.emplace(model, what);
  MutexLock lock(mutex_);
  journal_problem_ = StrCat(
      "the rollout journal cannot be written: no rollout begins or moves on until it can, harm is ",
      "still taken back: ", status.message());
  ++journal_errors_;
  return false;
}

void Controller::NoLongerOwed(const std::string& model, Owed what, const char* said) {
  if (owed_.erase({model, what}) == 0 || !owed_.empty()) return;
  LOG_INFO(said);
  MutexLock lock(mutex_);
  journal_problem_.clear();
}

RolloutView Controller::ViewOf(const Running& running, const RolloutState& shown) {
  RolloutView view = MakeView(running.id, shown);
  view.expected_end = ExpectEnd(shown, running.pace);
  return view;
}

/// A source that counts anew begins it anew.
void Controller::KeepPace(Running& running, const Counted& counted, SteadyTime now) {
  if (!counted.stable || !counted.candidate) return;
  const ArmTotals &stable = *counted.stable, &candidate = *counted.candidate;
  const Running::Counts present{now, stable.requests + candidate.requests,
                                stable.baseline.requests + candidate.baseline.requests};
  const std::optional<Running::Counts> before = std::exchange(running.paced, present);
  if (!before || present.drawn < before->drawn || present.all < before->all) return;
  running.pace.Add(now - before->at, present.drawn - before->drawn, present.all - before->all);
}

void Controller::Publish(RolloutView view) {
  MutexLock lock(mutex_);
  const std::string model = view.model;
  const int64_t id = view.id;
  const bool is_new = !views_.contains(id);
  views_[id] = std::move(view);
  if (!is_new) return;
  size_t of_this_model = 0;
  for (auto it = views_.end(); it != views_.begin();) {
    --it;
    if (it->second.model == model && ++of_this_model > kViewsPerModel) it = views_.erase(it);
  }
}

void Controller::Tell(RolloutEvent::Kind kind, RolloutView view, const RolloutState& state) const {
  if (!deps_.tell) return;
  // The start's time too: without a file for the journal numbers begin anew in each process.
  deps_.tell({kind,
              StrCat("rollout-", view.id, "-", UnixMillis(state.started), "-",
                     RolloutEventName(kind), "-", state.ticks),
              deps_.clock.Now(), std::move(view)});
}

/// Once for each time that the journal holds it for long. What else holds it, its state knows.
void Controller::WatchUnwritten(Running& running, const RolloutState& shown) {
  const SteadyTime now = deps_.clock.SteadyNow();
  if (!running.unwritten_since) running.unwritten_since = now;
  if (shown.phase != RolloutPhase::kHeld || !shown.paused_by.empty()) return;
  if (running.unwritten_told || now - *running.unwritten_since < kUnwrittenTold) return;
  running.unwritten_told = true;
  Tell(RolloutEvent::Kind::kHeld, ViewOf(running, shown), shown);
}

std::optional<RolloutPlan> Controller::PlanOf(const std::string& name) const {
  MutexLock lock(mutex_);
  const RolloutPlan* plan = PlanLocked(name);
  return plan == nullptr ? std::nullopt : std::optional(*plan);
}

const RolloutPlan* Controller::PlanLocked(const std::string& name) const {
  for (const auto* plans : {&plans_, &given_}) {
    if (auto it = plans->find(name); it != plans->end()) return &it->second;
  }
  return nullptr;
}

bool Controller::IsGiven(const std::string& name) const {
  MutexLock lock(mutex_);
  return given_.contains(name);
}

Duration Controller::IntervalOf(const std::string& name, const ManagedModel& model) const {
  if (model.running) return model.running->state.plan.interval;
  std::optional<RolloutPlan> plan = PlanOf(name);
  if (!plan) return kIdleInterval;
  return model.record.stable == 0 ? std::min<Duration>(plan->interval, kSettleInterval)
                                  : Duration(plan->interval);
}

void Controller::Apply(std::map<std::string, RolloutPlan> plans) {
  MutexLock lock(mutex_);
  for (auto& [name, plan] : plans) {
    Status valid = ValidatePlan(plan);
    if (valid.ok()) continue;
    LOG_ERROR("rollout plan refused, the one before is kept", {"model", name}, {"status", valid});
    auto old = plans_.find(name);
    plan = old == plans_.end() ? RolloutPlan{} : old->second;
  }
  plans_ = std::move(plans);
  for (const auto& [model, plan] : plans_) given_.erase(model);
}

std::vector<RolloutView> Controller::List() const {
  MutexLock lock(mutex_);
  std::vector<RolloutView> list;
  for (auto it = views_.rbegin(); it != views_.rend(); ++it) list.push_back(it->second);
  return list;
}

Result<RolloutView> Controller::Get(int64_t id) const {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const RolloutView* view, FindLocked(id));
  return *view;
}

Result<const RolloutView*> Controller::FindLocked(int64_t id) const {
  auto it = views_.find(id);
  if (it == views_.end()) return NotFoundError(StrCat("no rollout ", id));
  return &it->second;
}

Result<std::vector<TickView>> Controller::History(int64_t id) const {
  std::vector<TickView> ticks;
  auto replay = ReplayRollout(*journal_, id, [&](const StepInput& in, const StepOutput& out) {
    ticks.push_back(MakeTickView(in, out));
  });
  if (!replay.ok()) return replay.status();
  return ticks;
}

Result<RolloutController::Standing> Controller::StandingOf(const std::string& model) const {
  MutexLock lock(mutex_);
  const RolloutPlan* plan = PlanLocked(model);
  if (plan == nullptr) return NoPlan(model);
  auto stable = stable_.find(model);
  return Standing{*plan, stable == stable_.end() ? 0 : stable->second};
}

Status Controller::Command(int64_t id, RolloutCommand command) {
  using Kind = RolloutCommand::Kind;
  command.who = Named(command.who);
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const RolloutView* found, FindLocked(id));
  const RolloutView& view = *found;
  if (HasEnded(view.phase)) {
    return FailedPreconditionError(StrCat("rollout ", id, " has ended: ", view.reason));
  }
  if (ending_.contains(id)) {
    return FailedPreconditionError(
        StrCat("rollout ", id, " is ending just now: look at what it has come to"));
  }
  if (view.phase == RolloutPhase::kProbation && command.kind != Kind::kPromote &&
      command.kind != Kind::kAbort) {
    return FailedPreconditionError(StrCat(
        "rollout ", id, " is in probation, there is no step to leave and nothing to pause: ",
        "promote it in full to let version ", view.stable, " go, or abort it to go back to that"));
  }
  if (command.kind == Kind::kAdvance && command.step >= 0 && command.step != view.step) {
    return FailedPreconditionError(StrCat("step: rollout ", id, " is in step ", view.step,
                                          " (counted from 0) and not in ", command.step,
                                          ": look at it, and ask for the step that it is in"));
  }
  auto waiting = commands_.find(id);
  if (waiting != commands_.end()) {
    const RolloutCommand& first = waiting->second;
    if (first.kind == command.kind) return OkStatus();  // asked for already
    const std::string asked = StrCat(first.who, " has asked for its ", CommandNoun(first.kind));
    // An abort that has found nothing to go back to.
    const bool may_change = aborts_waiting_.contains(id) && first.kind == Kind::kAbort &&
                            command.kind == Kind::kPromote;
    if (first.kind == Kind::kAbort && !may_change) {
      return FailedPreconditionError(
          StrCat("rollout ", id, ": ", asked, ", which takes effect at its next tick"));
    }
    if (command.kind != Kind::kAbort && !may_change) {
      return FailedPreconditionError(StrCat("rollout ", id, ": ", asked,
                                            ", which waits for its next tick or its version: ask "
                                            "again after it, or abort the rollout"));
    }
    LOG_INFO("another command takes the place of one that has not taken effect", {"rollout", id},
             {"given_up", CommandNoun(first.kind)}, {"asked_by", first.who});
  } else if (command.kind == Kind::kPause && !view.paused_by.empty()) {
    return OkStatus();
  } else if (command.kind == Kind::kResume && view.paused_by.empty()) {
    return FailedPreconditionError(StrCat("rollout ", id, " is not paused; it is ",
                                          RolloutPhaseName(view.phase), ": ", view.reason));
  }
  if (command.kind == Kind::kAdvance) command.step = view.step;  // never another one
  commands_[id] = std::move(command);
  return OkStatus();
}

/// It has had its effect. One that took its place meanwhile stays.
void Controller::ForgetCommand(int64_t id, const RolloutCommand& followed) {
  MutexLock lock(mutex_);
  auto it = commands_.find(id);
  if (it != commands_.end() && it->second == followed) commands_.erase(it);
}

bool Controller::RunsLocked(const std::string& model) const {
  return std::any_of(views_.begin(), views_.end(), [&](const auto& entry) {
    return entry.second.model == model && !HasEnded(entry.second.phase);
  });
}

Status Controller::StartRollout(const std::string& model, int64_t candidate,
                                std::optional<RolloutPlan> plan) {
  if (plan) RETURN_IF_ERROR(ValidatePlan(*plan));
  std::string note = plan ? "goes by a plan that came with its start" : "";
  MutexLock lock(mutex_);
  return RequestLocked(model, {candidate, std::move(note), "", std::move(plan)});
}

std::vector<std::string> Controller::KeptByStart() const {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, plan] : given_) names.push_back(name);
  return names;
}

Status Controller::LetGo(const std::string& model) {
  MutexLock lock(mutex_);
  if (!given_.contains(model)) return OkStatus();
  if (RunsLocked(model) || requests_.contains(model)) {
    return FailedPreconditionError(
        StrCat("a rollout of model ", model, " is under way: abort it or wait for its end"));
  }
  given_.erase(model);
  return OkStatus();
}

Status Controller::RequestLocked(const std::string& model, StartRequest request) {
  if (PlanLocked(model) == nullptr && !request.plan) return NoPlan(model);
  if (request.candidate <= 0) return InvalidArgumentError("candidate: must be a version above 0");
  if (RunsLocked(model) || requests_.contains(model)) {
    return AlreadyExistsError(
        StrCat("a rollout of model ", model, " is under way: abort it or wait for its end"));
  }
  // Of a model that has not been looked at yet the stable version is found with the next tick.
  const bool looked_at = PlanLocked(model) != nullptr;
  auto stable = stable_.find(model);
  if (looked_at && (stable == stable_.end() || stable->second == 0)) {
    return FailedPreconditionError(StrCat("model ", model, " has no stable version yet"));
  }
  if (stable != stable_.end() && stable->second == request.candidate) {
    return FailedPreconditionError(StrCat("version ", request.candidate, " of model ", model,
                                          " is the stable version already"));
  }
  if (request.plan && !plans_.contains(model)) given_[model] = *request.plan;
  requests_[model] = std::move(request);
  return OkStatus();
}

Status Controller::Retry(int64_t id, const std::string& asked_by) {
  const std::string who = Named(asked_by);
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const RolloutView* found, FindLocked(id));
  const RolloutView& view = *found;
  if (!HasEnded(view.phase)) {
    return FailedPreconditionError(
        StrCat("rollout ", id, " is under way: only one that was rolled back or aborted is begun ",
               "anew"));
  }
  if (view.phase == RolloutPhase::kPromoted) {
    return FailedPreconditionError(
        StrCat("rollout ", id, " was promoted: there is nothing to try again"));
  }
  return RequestLocked(
      view.model, {view.candidate, StrCat("rollout ", id, " once more, asked for by ", who), ""});
}

Status Controller::Undo(int64_t id, const std::string& asked_by) {
  const std::string who = Named(asked_by);
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const RolloutView* found, FindLocked(id));
  const RolloutView& view = *found;
  if (!HasEnded(view.phase)) {
    return FailedPreconditionError(
        StrCat("rollout ", id, " is under way: abort it to go back to version ", view.stable));
  }
  if (view.phase != RolloutPhase::kPromoted) {
    return FailedPreconditionError(StrCat("rollout ", id, " has not changed the stable version (",
                                          RolloutPhaseName(view.phase), "): nothing to undo"));
  }
  auto stable = stable_.find(view.model);
  const int64_t now = stable == stable_.end() ? 0 : stable->second;
  if (now != view.candidate) {
    return FailedPreconditionError(
        StrCat("rollout ", id, " made version ", view.candidate, " of model ", view.model,
               " the stable one, which is version ", now,
               " by now: undo the rollout that made it so, or start one to the version you want"));
  }
  return RequestLocked(view.model,
                       {view.stable, StrCat("undoes rollout ", id, ", asked for by ", who), who});
}

// ---- metrics ----

std::map<std::string, const RolloutView*> Controller::LatestLocked() const {
  std::map<std::string, const RolloutView*> latest;
  for (const auto& [id, view] : views_) latest[view.model] = &view;
  return latest;
}

void Controller::RegisterMetrics() {
  using Samples = std::vector<MetricSample>;
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, Registry::Reader reader) {
    registrations_.push_back(
        deps_.registry.Add({name, help, type, std::move(labels)}, std::move(reader)));
  };
  auto per_rollout = [&](const char* name, const char* help,
                         std::function<double(const RolloutView&)> value) {
    add(name, help, MetricType::kGauge, {"model"}, [this, value] {
      MutexLock lock(mutex_);
      Samples samples;
      for (const auto& [model, view] : LatestLocked()) samples.push_back({{model}, value(*view)});
      return samples;
    });
  };
  per_rollout("leadsman_rollout_candidate_share",
              "Share of the traffic wanted for the candidate, 0 when no rollout runs.",
              [](const RolloutView& v) { return v.share; });
  per_rollout(
      "leadsman_rollout_mirror_share",
      "Share of the requests of which copies are wanted for the candidate, 0 when no rollout "
      "mirrors.",
      [](const RolloutView& v) { return v.mirror; });
  per_rollout("leadsman_rollout_step", "Present step of the newest rollout, counted from 1.",
              [](const RolloutView& v) { return v.step + 1.0; });
  per_rollout("leadsman_rollout_candidate_version", "Candidate of the newest rollout.",
              [](const RolloutView& v) { return static_cast<double>(v.candidate); });
  per_rollout("leadsman_rollout_exposed_requests",
              "Requests that the split has given to the candidate of the newest rollout.",
              [](const RolloutView& v) { return static_cast<double>(v.candidate_requests); });
  add("leadsman_rollout_harmed_segments",
      "Tests of segments that have found harm in the newest rollout, of a plan that looks at them "
      "(rollout.segments).",
      MetricType::kGauge, {"model"}, [this] {
        MutexLock lock(mutex_);
        Samples samples;
        for (const auto& [model, view] : LatestLocked()) {
          if (!view->segments) continue;
          const auto& tests = view->segments->tests_of;
          const auto harmed = std::count_if(tests.begin(), tests.end(),
                                            [](const SegmentView& one) { return one.harmed; });
          samples.push_back({{model}, static_cast<double>(harmed)});
        }
        return samples;
      });
  auto per_split = [&](const char* name, const char* help,
                       std::function<double(const RolloutView::SampleRatio&)> value) {
    add(name, help, MetricType::kGauge, {"model"}, [this, value] {
      MutexLock lock(mutex_);
      Samples samples;
      for (const auto& [model, view] : LatestLocked()) {
        if (view->sample_ratio && !HasEnded(view->phase))
          samples.push_back({{model}, value(*view->sample_ratio)});
      }
      return samples;
    });
  };
  per_split("leadsman_rollout_sample_ratio_mismatch",
            "1 when requests are not split as the rollout's step says, which holds it.",
            [](const auto& split) { return split.mismatch ? 1.0 : 0.0; });
  per_split("leadsman_rollout_sample_ratio_log_e",
            "Natural logarithm of the e-value against the split that the rollout's step says.",
            [](const auto& split) { return split.log_e; });
  add("leadsman_rollout_stable_version", "The version that has the traffic when no rollout runs.",
      MetricType::kGauge, {"model"}, [this] {
        MutexLock lock(mutex_);
        Samples samples;
        for (const auto& [model, version] : stable_) {
          if (version != 0) samples.push_back({{model}, static_cast<double>(version)});
        }
        return samples;
      });
  add("leadsman_rollout_phase", "1 for the phase that the newest rollout is in.",
      MetricType::kGauge, {"model", "phase"}, [this] {
        MutexLock lock(mutex_);
        Samples samples;
        for (const auto& [model, view] : LatestLocked()) {
          for (auto phase :
               {RolloutPhase::kProgressing, RolloutPhase::kHeld, RolloutPhase::kProbation,
                RolloutPhase::kPromoted, RolloutPhase::kRolledBack, RolloutPhase::kAborted}) {
            samples.push_back(
                {{model, std::string(RolloutPhaseName(phase))}, view->phase == phase ? 1.0 : 0.0});
          }
        }
        return samples;
      });
  auto evidence = [&](const char* name, const char* help, double GateView::*harm,
                      double GateView::*safe) {
    add(name, help, MetricType::kGauge, {"model", "gate", "test"}, [this, harm, safe] {
      MutexLock lock(mutex_);
      Samples samples;
      for (const auto& [model, view] : LatestLocked()) {
        for (const GateView& gate : view->gates) {
          if (gate.outside) continue;
          samples.push_back({{model, gate.gate, "harm"}, gate.*harm});
          samples.push_back({{model, gate.gate, "safe"}, gate.*safe});
        }
      }
      return samples;
    });
  };
  evidence("leadsman_rollout_evidence_log_e", "Natural logarithm of the e-value of a gate's test.",
           &GateView::harm_log_e, &GateView::safe_log_e);
  evidence("leadsman_rollout_evidence_log_bound",
           "The e-value's bound, as a natural logarithm: harm at or above it "
           "rolls back, safe at or above it lets a step be left.",
           &GateView::harm_log_bound, &GateView::safe_log_bound);
  add("leadsman_rollout_outside_answers_total",
      "Questions of gates, and for approvals, to a Prometheus or a webhook, by whether there was "
      "an answer.",
      MetricType::kCounter, {"model", "gate", "outcome"}, [this] {
        MutexLock lock(mutex_);
        Samples samples;
        for (const auto& [key, count] : answers_) {
          const auto& [model, gate, answered] = key;
          samples.push_back(
              {{model, gate, answered ? "answered" : "no_answer"}, static_cast<double>(count)});
        }
        return samples;
      });
  add("leadsman_rollout_verdicts_total", "Rollouts ended since the process started.",
      MetricType::kCounter, {"model", "verdict"}, [this] {
        MutexLock lock(mutex_);
        Samples samples;
        for (const auto& [model, version] : stable_) {
          for (auto phase :
               {RolloutPhase::kPromoted, RolloutPhase::kRolledBack, RolloutPhase::kAborted}) {
            auto it = verdicts_.find({model, phase});
            double count = it == verdicts_.end() ? 0 : static_cast<double>(it->second);
            samples.push_back({{model, std::string(RolloutPhaseName(phase))}, count});
          }
        }
        return samples;
      });
  auto plain = [&](const char* name, const char* help, MetricType type,
                   std::function<double()> value) {
    add(name, help, type, {}, [value] { return Samples{{{}, value()}}; });
  };
  plain("leadsman_rollout_journal_errors_total", "Writes that the rollout journal refused.",
        MetricType::kCounter, [this] {
          MutexLock lock(mutex_);
          return static_cast<double>(journal_errors_);
        });
  plain("leadsman_rollout_actuator_errors_total", "Times that the wanted traffic could not be set.",
        MetricType::kCounter, [this] {
          MutexLock lock(mutex_);
          return static_cast<double>(actuator_errors_);
        });
  plain("leadsman_rollout_tick_lateness_seconds", "How much later than due the last tick began.",
        MetricType::kGauge, [this] {
          MutexLock lock(mutex_);
          return lateness_seconds_;
        });
}

}  // namespace

std::string_view RolloutEventName(RolloutEvent::Kind kind) {
  using Kind = RolloutEvent::Kind;
  switch (kind) {
    case Kind::kStarted:
      return "started";
    case Kind::kStep:
      return "step";
    case Kind::kHeld:
      return "held";
    case Kind::kSampleRatio:
      return "sample_ratio";
    case Kind::kWaiting:
      return "waiting";
    case Kind::kPaused:
      return "paused";
    case Kind::kPromoted:
      return "promoted";
    case Kind::kRolledBack:
      return "rolled_back";
    case Kind::kAborted:
      return "aborted";
  }
  return "unknown";
}

Result<std::unique_ptr<RolloutController>> RolloutController::Create(
    Deps deps, std::map<std::string, RolloutPlan> plans) {
  for (const auto& [name, plan] : plans) {
    Status valid = ValidatePlan(plan);
    if (!valid.ok()) return Annotate(valid, StrCat("rollout plan of model ", name));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal, Journal::Open(deps.journal));
  auto controller = std::make_unique<Controller>(deps, std::move(journal), std::move(plans));
  RETURN_IF_ERROR(controller->Recover());
  controller->RegisterMetrics();
  return std::unique_ptr<RolloutController>(std::move(controller));
}

}  // namespace leadsman
