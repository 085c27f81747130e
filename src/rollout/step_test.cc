#include "rollout/step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <sstream>

#include "base/strings.h"
#include "math/rate_difference.h"
#include "rollout/freeze.h"
#include "rollout/serialize.h"
#include "rollout/words.h"
#include "support/sanitized.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// ---- scripts ----
//
// testdata/*.script: lines of input, each followed by what Step made of it ("=> …"); UPDATE=1
// rewrites the latter.
//   plan steps=0.05:10s,0.5 gates=errors:margin=2:floor=0,latency:ignore_below=10ms,quality
//        alpha=0.01 beta=0.05 max=1h inconclusive=hold warmup=5s               (all on one line,
//        all optional)
//        freeze=fri/16:00/24:00     day (- for each), from, to; once more for another
//   or instead of steps: blue_green=preview:watch[:min_requests[:approval]]
//   or ab=weight:duration:min_requests:hold|winner|stable
//   or rolling=batches:duration[:max_unavailable]
//   or shadow=mirror:duration[:min_requests[:approval]]; a step m0.1:10s mirrors
//   begin 2 3                       stable 2, candidate 3
//   history requests=1000 errors=10 labelled=500 wrong=5 loss=500*0.1:0.05
//   tick +1s x20 s=900,9 c=100,1 sl=90,2 cl=10,0 slat=20ms*855,90ms*36 clat=…   20 ticks of 1 s
//   each: requests and
//        errors, labels and wrong ones, latencies of both arms
//        sloss=90*0.1:0.05[:3[:2]] closs=…  labels and their losses as shares of the highest: mean, spread; of these above the
//        highest; and more labels, without a loss
//        candidate=loading|failed|gone  stable=down  metrics=down  blocked
//        promote=who  abort=who  pause=who  resume=who  next=who[:step]         commands; only for the
//        first tick of a row, and given again as long as they wait. `next` is Advance, of the present
//        step if none is named
//        ready=2/4  endpoints of the candidate
//        longest=30s  the longest answer so far
//        p=100,1,2,3  copies: answered, failed by the candidate alone, by the stable alone, by both
//        pd=90,4,1[,5]  compared, differing, with another class; not comparable
//        unsent=5  copies that the candidate was not sent
//        pl=3,1,0  labelled rows with another class: wrong the candidate alone, the stable alone, both
//        pslat=20ms*85 pclat=…  latencies of originals and copies
//        r=0:0.31  r=1:pass[:step]  answers to the gate of this index, for each tick of the row:
//        a number, nodata, none, pass, fail, hold; asked in the present step if none is named
//   rules                           what threshold rules would have made of the requests since `begin`
//   undo who                        the rollout is the way back to an earlier version
//   steps with approval: 0.05:10s:0:approval[:webhook|:webhook_abort]; r=a:pass, fail, hold or none are its answers
//   lost_after=10s progress_deadline=10m   0 unless they are said
//        of a tick waits=no_endpoint: why the candidate is not ready, _ for a space
//   a gate's weight: errors:weight=3
//   segments=4[:hold], and of a tick seg=tenant=acme:90,1:10,5[:40,1:4,1]: requests and errors, labels and
//        wrong ones of one segment
// Ticks print when something was decided, and the last of a row.

milliseconds ParseSpan(std::string_view text) {
  for (auto [suffix, unit] : {std::pair<std::string_view, double>{"ms", 1},
                              {"h", 3'600'000},
                              {"m", 60'000},
                              {"s", 1000}}) {
    if (text.ends_with(suffix)) {
      text.remove_suffix(suffix.size());
      return milliseconds(static_cast<int64_t>(ParseDouble(text).value() * unit));
    }
  }
  ADD_FAILURE() << "not a span: " << text;
  return {};
}

std::pair<std::string_view, std::string_view> KeyValue(std::string_view word) {
  size_t at = word.find('=');
  return at == word.npos ? std::pair{word, std::string_view()}
                         : std::pair{word.substr(0, at), word.substr(at + 1)};
}

/// What others' rules make of the same requests, looked at once a minute: for comparison.
class ThresholdRules {
 public:
  void Count(const StepInput& in) {
    window_ += in.elapsed;
    elapsed_ += in.elapsed;
    Add(mine_, {in.candidate_window.requests, in.candidate_window.errors});
    Add(my_minute_, {in.candidate_window.requests, in.candidate_window.errors});
    Add(theirs_, {in.stable_window.requests, in.stable_window.errors});
    if (window_ < std::chrono::minutes(1)) return;
    window_ = {};
    const bool fails = my_minute_.exposure > 0 && Rate(my_minute_) > 0.01;
    my_minute_ = {};
    failed_ += fails;
    in_a_row_ = fails ? in_a_row_ + 1 : 0;
    Note(five_fail_, failed_ >= 5);
    Note(five_in_a_row_, in_a_row_ >= 5);
    Note(one_fails_, failed_ >= 1);
    Note(four_fail_, failed_ >= 4);
    const auto all = static_cast<double>(mine_.exposure + theirs_.exposure);
    if (mine_.exposure == 0 || theirs_.exposure == 0 || mine_.events == 0) return;
    const double pooled = static_cast<double>(mine_.events + theirs_.events) / all;
    const double error =
        std::sqrt(pooled * (1 - pooled) * all / static_cast<double>(mine_.exposure) /
                  static_cast<double>(theirs_.exposure));
    Note(z_, (Rate(mine_) - Rate(theirs_)) / error > 2.326);
  }
  std::vector<std::string> Said() const {
    auto said = [](const char* rule, const std::optional<Duration>& at) {
      return StrCat(rule, ": ", at ? StrCat("takes it back after ", words::Span(*at)) : "goes on");
    };
    return {said("five minutes above 1 % (Flagger)", five_fail_),
            said("five in a row", five_in_a_row_),
            said("one minute above 1 % (Argo, failureLimit 0)", one_fails_),
            said("four minutes above 1 % (Argo, failureLimit 3)", four_fail_),
            said("pooled z-test at 1 %, each minute", z_)};
  }

 private:
  static double Rate(const ArmCounts& counts) {
    return static_cast<double>(counts.events) / static_cast<double>(counts.exposure);
  }
  void Note(std::optional<Duration>& at, bool now) const {
    if (now && !at) at = elapsed_;
  }
  Duration window_{}, elapsed_{};
  ArmCounts mine_, theirs_, my_minute_;
  int failed_ = 0, in_a_row_ = 0;
  std::optional<Duration> five_fail_, five_in_a_row_, one_fails_, four_fail_, z_;
};

class ScriptRunner {
 public:
  ScriptRunner() { plan_.lost_after = plan_.progress_deadline = {}; }
  /// What a line brings about, a line of output each.
  std::vector<std::string> Run(std::string_view line) {
    std::vector<std::string_view> words;
    for (std::string_view word : Split(line, ' ')) {
      if (!word.empty()) words.push_back(word);
    }
    std::string_view verb = words[0];
    words.erase(words.begin());
    if (verb == "plan") return Plan(words);
    if (verb == "begin") {
      plan_.gates = gates_;
      state_ = BeginRollout("digits", ParseInt64(words.at(0)).value(),
                            ParseInt64(words.at(1)).value(), plan_, FromUnixMillis(0),
                            words.size() > 2 ? static_cast<int>(ParseInt64(words[2]).value()) : 0);
      history_ = pending_history_;
      rules_ = {};
      return {};
    }
    if (verb == "history") {
      for (std::string_view word : words) {
        auto [key, value] = KeyValue(word);
        if (key == "loss") {
          SetLosses(pending_history_.sums, value);
          continue;
        }
        auto n = static_cast<uint64_t>(ParseInt64(value).value());
        (key == "requests"   ? pending_history_.sums.requests
         : key == "errors"   ? pending_history_.sums.errors
         : key == "labelled" ? pending_history_.sums.labelled
                             : pending_history_.sums.wrong) = n;
      }
      return {};
    }
    if (verb == "notes") return state_->notes;
    if (verb == "rules") return rules_.Said();
    if (verb == "undo") {
      state_->undo_by = words.at(0);
      return {};
    }
    if (verb == "tick") return Tick(words);
    ADD_FAILURE() << "unknown verb " << verb;
    return {};
  }

 private:
  using Words = std::vector<std::string_view>;

  std::vector<std::string> Plan(const Words& words) {
    for (std::string_view word : words) {
      auto [key, value] = KeyValue(word);
      if (key == "steps") {
        plan_.steps.clear();
        for (std::string_view text : Split(value, ',')) {
          auto parts = Split(text, ':');
          RolloutStep step;
          const bool mirrors = parts[0].starts_with("m");
          if (mirrors) parts[0].remove_prefix(1);
          (mirrors ? step.mirror : step.weight) = ParseDouble(parts[0]).value();
          if (mirrors) step.weight = 0;
          if (parts.size() > 1) step.duration = ParseSpan(parts[1]);
          if (parts.size() > 2) step.min_requests = ParseInt64(parts[2]).value();
          step.approval = parts.size() > 3 && parts[3] == "approval";
          if (step.approval && parts.size() > 4) {
            ApprovalWebhook& hook = step.approval.webhook.emplace();
            hook.url = "https://ci.example.org/approve/s3cret";
            hook.deadline = std::chrono::minutes(10);
            if (parts[4] == "webhook_abort") hook.on_refusal = ApprovalWebhook::OnRefusal::kAbort;
          }
          plan_.steps.push_back(step);
        }
      } else if (key == "freeze") {
        // day/from/to, day "-": each
        auto parts = Split(value, '/');
        FreezeWindow& window = plan_.freeze.emplace_back();
        if (parts[0] != "-") window.days = {ParseDay(parts[0]).value()};
        window.from = ParseTimeOfDay(parts[1]).value();
        window.to = ParseTimeOfDay(parts[2]).value();
      } else if (key == "blue_green") {
        // preview:watch[:min_requests[:approval]]
        auto parts = Split(value, ':');
        plan_.strategy = RolloutPlan::Strategy::kBlueGreen;
        plan_.blue_green.emplace();
        plan_.blue_green->preview_duration = ParseSpan(parts[0]);
        plan_.blue_green->watch_duration = ParseSpan(parts[1]);
        if (parts.size() > 2) plan_.blue_green->min_requests = ParseInt64(parts[2]).value();
        plan_.blue_green->auto_promote = parts.size() <= 3;
      } else if (key == "ab") {
        using OnEnd = AbOptions::OnEnd;
        auto parts = Split(value, ':');
        plan_.strategy = RolloutPlan::Strategy::kAb;
        plan_.ab.emplace();
        plan_.ab->weight = ParseDouble(parts[0]).value();
        plan_.ab->duration = ParseSpan(parts[1]);
        plan_.ab->min_requests = ParseInt64(parts[2]).value();
        plan_.ab->on_end = parts[3] == "winner"   ? OnEnd::kPromoteWinner
                           : parts[3] == "stable" ? OnEnd::kStable
                                                  : OnEnd::kHold;
      } else if (key == "rolling") {
        auto parts = Split(value, ':');
        plan_.strategy = RolloutPlan::Strategy::kRolling;
        plan_.rolling.emplace();
        plan_.rolling->batches = static_cast<int>(ParseInt64(parts[0]).value());
        plan_.rolling->duration = ParseSpan(parts[1]);
        if (parts.size() > 2) plan_.rolling->max_unavailable = ParseDouble(parts[2]).value();
      } else if (key == "shadow") {
        // mirror:duration[:min_requests[:approval]]
        auto parts = Split(value, ':');
        plan_.strategy = RolloutPlan::Strategy::kShadow;
        plan_.shadow.emplace();
        plan_.shadow->mirror = ParseDouble(parts[0]).value();
        plan_.shadow->duration = ParseSpan(parts[1]);
        if (parts.size() > 2) plan_.shadow->min_requests = ParseInt64(parts[2]).value();
        plan_.shadow->auto_promote = parts.size() <= 3;
      } else if (key == "gates") {
        gates_.clear();
        if (value == "none") continue;
        for (std::string_view text : Split(value, ',')) gates_.push_back(Gate(text));
      } else if (key == "alpha") {
        plan_.alpha = ParseDouble(value).value();
      } else if (key == "probation") {
        plan_.probation = ParseSpan(value);
      } else if (key == "sample_ratio_alpha") {
        plan_.sample_ratio_alpha = ParseDouble(value).value();
      } else if (key == "beta") {
        plan_.beta = ParseDouble(value).value();
      } else if (key == "segments") {
        // max[:hold]
        auto parts = Split(value, ':');
        plan_.segments.emplace();
        plan_.segments->max = static_cast<int>(ParseInt64(parts[0]).value());
        if (parts.size() > 1) plan_.segments->on_harm = SegmentOptions::OnHarm::kHold;
      } else if (key == "progress_deadline") {
        plan_.progress_deadline = ParseSpan(value);
      } else if (key == "lost_after") {
        plan_.lost_after = ParseSpan(value);
      } else if (key == "max") {
        plan_.max_duration = ParseSpan(value);
      } else if (key == "warmup") {
        plan_.warmup = ParseSpan(value);
      } else if (key == "inconclusive") {
        plan_.on_inconclusive = value == "hold"      ? RolloutPlan::OnInconclusive::kHold
                                : value == "promote" ? RolloutPlan::OnInconclusive::kPromote
                                                     : RolloutPlan::OnInconclusive::kRollBack;
      } else {
        ADD_FAILURE() << "unknown key " << key;
      }
    }
    return {};
  }
  RolloutGate Gate(std::string_view text) {
    auto parts = Split(text, ':');
    RolloutGate gate;
    gate.kind = ParseGateName(parts[0]).value();
    for (size_t i = 1; i < parts.size(); ++i) {
      auto [key, value] = KeyValue(parts[i]);
      if (key == "margin") gate.margin = ParseDouble(value).value();
      if (key == "weight") gate.weight = ParseDouble(value).value();
      if (key == "floor") gate.floor = ParseDouble(value).value();
      if (key == "ignore_below") gate.ignore_below = ParseSpan(value);
      if (key == "max") gate.max = ParseDouble(value).value();
      if (key == "only_classes") gate.only_classes = true;
      if (key == "metric") gate.loss.metric = ParseLossMetric(value).value();
      if (key == "highest") gate.loss.highest = ParseDouble(value).value();
      if (key == "good_enough") gate.loss.good_enough = ParseDouble(value).value();
      if (key == "slower_than") gate.slower_than = ParseSpan(value);
      if (key == "min") gate.outside.min = ParseDouble(value).value();
      if (key == "name") gate.outside.name = value;
      if (key == "interval") gate.outside.interval = ParseSpan(value);
      if (key == "failures") gate.outside.failures = static_cast<int>(ParseInt64(value).value());
      if (key == "on_no_data") gate.outside.on_no_data = OutsideOptions::OnNoData::kFail;
      if (key == "when") {
        gate.outside.when = value == "after_switch" ? OutsideOptions::When::kAfterSwitch
                                                    : OutsideOptions::When::kBeforeSwitch;
      }
      if (key == "safe_quantile") gate.safe_quantile = ParseDouble(value).value();
    }
    if (gate.kind == RolloutGate::Kind::kPromql) {
      gate.outside.address = "http://prometheus:9090";
      gate.outside.query = "errors{version=\"{{candidate}}\"}";
    }
    if (gate.kind == RolloutGate::Kind::kWebhook) gate.outside.url = "https://ci.example.org/gate";
    return gate;
  }

  /// gate:what[:step], what = a number, nodata, none, pass, fail or hold
  OutsideReading Reading(std::string_view text) const {
    using Kind = OutsideReading::Kind;
    auto parts = Split(text, ':');
    OutsideReading reading;
    reading.gate =
        parts[0] == "a" ? kApprovalQuestion : static_cast<size_t>(ParseInt64(parts[0]).value());
    reading.step =
        parts.size() > 2 ? static_cast<int>(ParseInt64(parts[2]).value()) - 1 : state_->step;
    if (parts[1] == "none") {
      reading.reason = "prometheus:9090: connection refused";
    } else if (parts[1] == "nodata") {
      reading.kind = Kind::kNoData;
    } else if (parts[1] == "pass" || parts[1] == "fail" || parts[1] == "hold") {
      reading.kind = parts[1] == "pass"   ? Kind::kPass
                     : parts[1] == "fail" ? Kind::kFail
                                          : Kind::kHold;
      reading.reason = "tests";
    } else {
      reading.kind = Kind::kValue;
      reading.value = ParseDouble(parts[1]).value();
    }
    return reading;
  }

  static std::pair<uint64_t, uint64_t> Two(std::string_view value) {
    auto parts = Split(value, ',');
    return {static_cast<uint64_t>(ParseInt64(parts[0]).value()),
            static_cast<uint64_t>(ParseInt64(parts[1]).value())};
  }
  static std::vector<uint64_t> Counts(std::string_view value, size_t size) {
    std::vector<uint64_t> counts;
    for (std::string_view text : Split(value, ','))
      counts.push_back(static_cast<uint64_t>(ParseInt64(text).value()));
    counts.resize(size);
    return counts;
  }
  static LatencyBuckets Latency(std::string_view value) {
    LatencyBuckets buckets{};
    for (std::string_view text : Split(value, ',')) {
      size_t star = text.find('*');
      auto ns = static_cast<uint64_t>(Duration(ParseSpan(text.substr(0, star))).count());
      buckets[LatencyScheme::Index(ns)] +=
          static_cast<uint64_t>(ParseInt64(text.substr(star + 1)).value());
    }
    return buckets;
  }
  /// count*mean:spread[:clipped[:unmeasured]]
  static void SetLosses(ArmDelta& arm, std::string_view text) {
    const size_t star = text.find('*');
    const auto parts = Split(text.substr(star + 1), ':');
    const double mean = ParseDouble(parts[0]).value(), spread = ParseDouble(parts[1]).value();
    auto number = [&](size_t i) {
      return i < parts.size() ? static_cast<uint64_t>(ParseInt64(parts[i]).value()) : 0;
    };
    arm.losses.count = static_cast<uint64_t>(ParseInt64(text.substr(0, star)).value());
    const auto n = static_cast<double>(arm.losses.count);
    arm.losses.sum = n * mean;
    arm.losses.squares = n * (mean * mean + spread * spread);
    arm.losses.clipped = number(2);
    arm.unmeasured = number(3);
    arm.labelled = arm.losses.count + arm.unmeasured;
  }
  void SetLatency(ArmDelta& arm, const LatencyBuckets& buckets) {
    arm.timed = CountFrom(buckets, 0);
    arm.slow.clear();
    for (uint32_t bucket : state_->thresholds) arm.slow.push_back(CountFrom(buckets, bucket));
  }

  std::vector<std::string> Tick(const Words& words) {
    StepInput in;
    int times = 1;
    LatencyBuckets stable_latency{}, candidate_latency{}, stable_pairs{}, candidate_pairs{};
    for (std::string_view word : words) {
      auto [key, value] = KeyValue(word);
      if (word[0] == '+')
        in.elapsed = ParseSpan(word.substr(1));
      else if (word[0] == 'x')
        times = static_cast<int>(ParseInt64(word.substr(1)).value());
      else if (key == "s")
        std::tie(in.stable_window.requests, in.stable_window.errors) = Two(value);
      else if (key == "c")
        std::tie(in.candidate_window.requests, in.candidate_window.errors) = Two(value);
      else if (key == "sl")
        std::tie(in.stable_window.labelled, in.stable_window.wrong) = Two(value);
      else if (key == "cl")
        std::tie(in.candidate_window.labelled, in.candidate_window.wrong) = Two(value);
      else if (key == "sloss")
        SetLosses(in.stable_window, value);
      else if (key == "closs")
        SetLosses(in.candidate_window, value);
      else if (key == "slat")
        stable_latency = Latency(value);
      else if (key == "clat")
        candidate_latency = Latency(value);
      else if (key == "ready") {
        auto parts = Split(value, '/');
        in.replicas = {static_cast<int>(ParseInt64(parts[0]).value()),
                       static_cast<int>(ParseInt64(parts[1]).value())};
      } else if (key == "seg") {
        // name:s,e:c,e[:sl,w:cl,w]
        auto parts = Split(value, ':');
        SegmentDelta& segment = in.segments.emplace_back();
        segment.name = parts[0];
        auto of = [&](size_t i) {
          const auto [exposure, events] = i < parts.size() ? Two(parts[i]) : Two("0,0");
          return ArmCounts{exposure, events};
        };
        segment.stable_requests = of(1);
        segment.candidate_requests = of(2);
        segment.stable_labels = of(3);
        segment.candidate_labels = of(4);
      } else if (key == "p") {
        const auto counts = Counts(value, 4);
        in.pairs.pairs = counts[0];
        in.pairs.candidate_failed = counts[1];
        in.pairs.stable_failed = counts[2];
        in.pairs.both_failed = counts[3];
      } else if (key == "pd") {
        const auto counts = Counts(value, 4);
        in.pairs.compared = counts[0];
        in.pairs.differing = counts[1];
        in.pairs.flips = counts[2];
        in.pairs.uncompared = counts[3];
      } else if (key == "pl") {
        const auto counts = Counts(value, 3);
        in.pairs.candidate_wrong = counts[0];
        in.pairs.stable_wrong = counts[1];
        in.pairs.both_wrong = counts[2];
      } else if (key == "unsent")
        in.pairs.unsent = static_cast<uint64_t>(ParseInt64(value).value());
      else if (key == "pslat")
        stable_pairs = Latency(value);
      else if (key == "pclat")
        candidate_pairs = Latency(value);
      else if (key == "waits") {
        in.candidate_waits = value;
        std::replace(in.candidate_waits.begin(), in.candidate_waits.end(), '_', ' ');
      } else if (key == "longest")
        in.longest_answer = ParseSpan(value);
      else if (key == "r")
        in.readings.push_back(Reading(value));
      else if (key == "stable")
        in.stable_ready = false;
      else if (key == "metrics")
        in.metrics_ok = false;
      else if (key == "blocked")
        in.blocked = "held: the journal cannot be written";
      else if (key == "promote")
        in.command = RolloutCommand{RolloutCommand::Kind::kPromote, std::string(value)};
      else if (key == "abort")
        in.command = RolloutCommand{RolloutCommand::Kind::kAbort, std::string(value)};
      else if (key == "pause")
        in.command = RolloutCommand{RolloutCommand::Kind::kPause, std::string(value)};
      else if (key == "resume")
        in.command = RolloutCommand{RolloutCommand::Kind::kResume, std::string(value)};
      else if (key == "next") {
        auto parts = Split(value, ':');
        in.command = RolloutCommand{
            RolloutCommand::Kind::kAdvance, std::string(parts[0]),
            parts.size() > 1 ? static_cast<int>(ParseInt64(parts[1]).value()) - 1 : state_->step};
      } else if (key == "candidate" && value == "loading")
        in.candidate = CandidateSeen::kLoading;
      else if (key == "candidate" && value == "gone")
        in.candidate = CandidateSeen::kGone;
      else if (key == "candidate" && value == "failed") {
        in.candidate = CandidateSeen::kFailed;
        in.candidate_failure = "model.onnx is truncated";
      } else
        ADD_FAILURE() << "unknown word " << word;
    }
    std::vector<std::string> printed;
    for (int i = 0; i < times; ++i) {
      for (OutsideReading& reading : in.readings) reading.step_elapsed = state_->step_elapsed;
      clock_ += in.elapsed;
      in.time = FromUnixMillis(0) + clock_;
      SetLatency(in.stable_window, stable_latency);
      SetLatency(in.candidate_window, candidate_latency);
      in.pairs.timed = CountFrom(candidate_pairs, 0);
      in.pairs.stable_slow.clear();
      in.pairs.candidate_slow.clear();
      for (uint32_t bucket : state_->thresholds) {
        in.pairs.stable_slow.push_back(CountFrom(stable_pairs, bucket));
        in.pairs.candidate_slow.push_back(CountFrom(candidate_pairs, bucket));
      }
      for (size_t b = 0; b < stable_latency.size(); ++b) seen_latency_[b] += stable_latency[b];
      in.history.reset();
      if (state_->ticks == 0 || state_->thresholds.empty()) {
        in.history = history_;
        in.history->latency = ToSparse(seen_latency_);
      }
      if (in.metrics_ok) rules_.Count(in);
      StepOutput out = Step(*state_, in);
      // Every script also shows that state and input survive the journal to the bit.
      StepOutput again =
          Step(ParseState(SerializeState(*state_)).value(), ParseInput(SerializeInput(in)).value());
      EXPECT_EQ(out.decision, again.decision);
      EXPECT_TRUE(out.state == again.state) << "tick " << out.state.ticks;
      state_ = out.state;
      if (!out.command_waits) in.command.reset();
      if (!out.decision.empty() || i + 1 == times) {
        printed.push_back(
            StrCat(words::Span(clock_), " ", RolloutPhaseName(state_->phase),
                   out.decision.empty() ? "" : StrCat(" [", out.decision, "]"), " step ",
                   state_->step + 1, " share ", WantedShare(*state_),
                   WantedMirror(*state_) > 0 ? StrCat(" mirror ", WantedMirror(*state_)) : "", ": ",
                   state_->reason));
      }
      if (HasEnded(state_->phase)) break;
    }
    return printed;
  }

  RolloutPlan plan_;
  ThresholdRules rules_;
  std::vector<RolloutGate> gates_;
  std::optional<RolloutState> state_;
  StepInput::History pending_history_, history_;
  LatencyBuckets seen_latency_{};
  Duration clock_{};
};

TEST(StepScripts, AllDoWhatTheySay) {
  const auto folder = std::filesystem::path(SourceDir()) / "src/rollout/testdata";
  const bool update = std::getenv("UPDATE") != nullptr;
  int scripts = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".script") continue;
    SCOPED_TRACE(entry.path().filename().string());
    ++scripts;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    std::string wanted = text.str(), got;
    ScriptRunner runner;
    for (std::string_view line : Split(wanted, '\n')) {
      if (line.starts_with("=> ")) continue;
      got += StrCat(line, "\n");
      if (line.empty() || line[0] == '#') continue;
      for (const std::string& output : runner.Run(line)) got += StrCat("=> ", output, "\n");
    }
    while (got.ends_with("\n\n")) got.pop_back();
    if (update) {
      std::ofstream(entry.path()) << got;
    } else {
      EXPECT_EQ(got, wanted) << "run with UPDATE=1 if the new output is right";
    }
  }
  EXPECT_GE(scripts, 10);
}

// ---- what scripts cannot say ----

RolloutPlan QuickPlan() {
  RolloutPlan plan;
  plan.steps = {{0.1}, {0.5}};
  RolloutGate errors;
  errors.margin = 2;
  errors.floor = 0;
  plan.gates = {errors};
  return plan;
}

TEST(StepTest, WallClockJumpsChangeNothingButTheTimesShown) {
  RolloutState steady = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0)), jumpy = steady;
  StepInput in;
  in.elapsed = seconds(1);
  in.stable_window.requests = 900;
  in.stable_window.errors = 9;
  in.candidate_window.requests = 100;
  in.candidate_window.errors = 1;
  for (int i = 0; i < 20; ++i) {
    in.time = FromUnixMillis(1000 * i);
    steady = Step(steady, in).state;
    in.time = FromUnixMillis(i % 2 ? 86'400'000'000 : -5'000'000);
    jumpy = Step(jumpy, in).state;
  }
  EXPECT_EQ(steady.step, jumpy.step);
  EXPECT_EQ(steady.elapsed, jumpy.elapsed);
  EXPECT_TRUE(steady.gates == jumpy.gates);
  EXPECT_EQ(steady.reason, jumpy.reason);
}

TEST(StepTest, ARolloutThatHasEndedStaysAsItIs) {
  RolloutState state = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0));
  StepInput in;
  in.command = RolloutCommand{RolloutCommand::Kind::kAbort, "someone"};
  state = Step(state, in).state;
  ASSERT_EQ(state.phase, RolloutPhase::kAborted);
  EXPECT_TRUE(Step(state, in).state == state);
}

TEST(StepTest, EventsBeyondTheirExposureDoNotCount) {
  RolloutState state = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0));
  StepInput in;
  in.stable_window.requests = 10;
  in.candidate_window.requests = 1;
  in.candidate_window.errors = 5;
  state = Step(state, in).state;
  EXPECT_EQ(state.gates[0].candidate[0].events, 1u);
}

TEST(StepTest, AQuietServiceGathersEvidenceTheSame) {
  // A request a second never puts both versions into one tick.
  RolloutState state = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0));
  StepInput in;
  state = Step(state, in).state;
  in.elapsed = seconds(1);
  for (int i = 0; i < 400 && !HasEnded(state.phase); ++i) {
    const bool to_candidate = i % 10 == 9;
    in.candidate_window.requests = to_candidate;
    in.candidate_window.errors = to_candidate && i % 20 == 19;
    in.stable_window.requests = !to_candidate;
    state = Step(state, in).state;
  }
  EXPECT_EQ(state.phase, RolloutPhase::kRolledBack) << state.reason;
  EXPECT_LE(state.candidate_sums.requests, 16u);
}

TEST(StepTest, WindowsOfDifferentSharesAreNotAddedUp) {
  RolloutPlan plan = QuickPlan();
  RolloutState state = BeginRollout("m", 1, 2, plan, FromUnixMillis(0));
  StepInput in;
  state = Step(state, in).state;
  in.elapsed = seconds(1);
  in.stable_window.requests = 9;
  in.candidate_window.requests = 1;
  state = Step(state, in).state;
  EXPECT_EQ(state.gates[0].open[0].stable.exposure, 9u) << "too little to know the share by";

  // The candidate is away: its share is 0, and the stable has an incident of its own.
  StepInput away = in;
  away.candidate = CandidateSeen::kLoading;
  state = Step(state, away).state;
  EXPECT_EQ(state.gates[0].open[0], EvidenceWindow{}) << "taken as it was";
  away.candidate_window = {};
  away.stable_window.errors = 9;
  for (int i = 0; i < 50; ++i) state = Step(state, away).state;
  EXPECT_EQ(state.gates[0].open[0], EvidenceWindow{});
  EXPECT_EQ(state.gates[0].safe.log_e(), 0) << "no evidence for a candidate that was not there";
  EXPECT_EQ(state.gates[0].stable[0].events, 450u);

  state = Step(state, away).state;
  state = Step(state, in).state;  // back, from the end of this window on
  EXPECT_EQ(state.gates[0].open[0], EvidenceWindow{});
  state = Step(state, in).state;
  EXPECT_EQ(state.gates[0].open[0].candidate.exposure, 1u);
}

TEST(StepTest, AfterARestartAWindowBeginsAnew) {
  RolloutState state = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0));
  StepInput in;
  state = Step(state, in).state;
  in.elapsed = seconds(1);
  in.stable_window.requests = 9;
  in.candidate_window.requests = 1;
  state = Step(state, in).state;
  in.elapsed = {};
  state = Step(state, in).state;
  EXPECT_EQ(state.gates[0].open[0], EvidenceWindow{});
}

RolloutPlan AbPlan() {
  RolloutPlan plan = QuickPlan();
  plan.strategy = RolloutPlan::Strategy::kAb;
  plan.ab.emplace().duration = seconds(1);
  plan.max_duration = std::chrono::hours(1);
  plan.sample_ratio_alpha = 0;
  return plan;
}

TEST(StepTest, AReadoutPromisesWhatThePlanHasAndNotWhatHasBeenCountedSoFar) {
  RolloutPlan plan = AbPlan();
  const double missed = 1 - plan.ab->confidence;
  StepInput in;
  in.stable_window.requests = in.candidate_window.requests = 1000;
  in.stable_window.errors = 20;
  in.candidate_window.errors = 10;
  auto low = [](double level) { return DifferenceOfRates({1000, 10}, {1000, 20}, level).low; };

  std::vector<ReadoutView> readout =
      MakeReadout(Step(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)), in).state);
  ASSERT_EQ(readout.size(), 1u);
  EXPECT_EQ(readout[0].low, low(1 - missed));

  // No label has come, and no threshold is known: they share the confidence all the same.
  plan.gates.resize(3);
  plan.gates[1].kind = RolloutGate::Kind::kLatency;
  plan.gates[2].kind = RolloutGate::Kind::kQuality;
  readout = MakeReadout(Step(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)), in).state);
  ASSERT_EQ(readout.size(), 1u);
  EXPECT_EQ(readout[0].low, low(1 - missed / 3.0));
  in.candidate_window.labelled = in.stable_window.labelled = 10;
  readout = MakeReadout(Step(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)), in).state);
  ASSERT_EQ(readout.size(), 2u);
  EXPECT_EQ(readout[0].low, low(1 - missed / 3.0));

  // Labels that no gate counts take no part.
  readout = MakeReadout(Step(BeginRollout("m", 1, 2, AbPlan(), FromUnixMillis(0)), in).state);
  EXPECT_EQ(readout.size(), 1u);
}

TEST(StepTest, AReadoutBySegmentIsRightForAllSegmentsThatThereMayBe) {
  RolloutPlan plan = AbPlan();
  plan.gates.resize(2);
  plan.gates[1].kind = RolloutGate::Kind::kQuality;
  plan.segments.emplace().max = 10;
  StepInput in;
  in.stable_window.requests = in.candidate_window.requests = 1000;
  in.segments.push_back({"tenant=acme", {1000, 60}, {1000, 10}, {100, 5}, {100, 5}});
  const RolloutState state = Step(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)), in).state;
  EXPECT_EQ(MakeReadout(state).size(), 1u) << "the rest is as it was";
  const std::vector<ReadoutView> readout = MakeSegmentReadout(state);
  ASSERT_EQ(readout.size(), 2u);
  EXPECT_EQ(readout[0].segment, "tenant=acme");
  EXPECT_EQ(readout[0].metric, "errors");
  EXPECT_EQ(readout[0].verdict, ReadoutView::Verdict::kBetter);
  // Ten segments, two metrics of each.
  const double level = 1 - (1 - plan.ab->confidence) / 20;
  EXPECT_EQ(readout[0].low, DifferenceOfRates({1000, 10}, {1000, 60}, level).low);
  EXPECT_EQ(readout[1].metric, "quality");
  EXPECT_EQ(readout[1].verdict, ReadoutView::Verdict::kOpen);
  plan.segments.reset();
  EXPECT_TRUE(
      MakeSegmentReadout(Step(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)), in).state).empty());
}

TEST(StepTest, AReadoutIsComputedAnewOnlyWhenSomethingWasCounted) {
  RolloutState state = BeginRollout("m", 1, 2, AbPlan(), FromUnixMillis(0));
  StepInput in;
  state = Step(state, in).state;
  in.elapsed = seconds(2);
  in.stable_window.requests = in.candidate_window.requests = 100;
  state = Step(state, in).state;
  ASSERT_TRUE(state.awaits_approval) << state.reason;
  state.reason += ", as it was";
  EXPECT_NE(Step(state, in).state.reason, state.reason);
  in.stable_window = in.candidate_window = {};
  EXPECT_EQ(Step(state, in).state.reason, state.reason);
}

TEST(SerializeTest, AReadoutThatWasWrittenBeforeThereWasAFieldForItIsOne) {
  RolloutState state = BeginRollout("m", 1, 2, AbPlan(), FromUnixMillis(0));
  StepInput in;
  state = Step(state, in).state;
  in.elapsed = seconds(2);
  in.stable_window.requests = in.candidate_window.requests = 100;
  for (const bool held : {false, true}) {
    if (held) state = Step(state, in).state;
    ASSERT_EQ(state.reason_is_readout, held) << state.reason;
    std::string text = SerializeState(state);
    const std::string field = StrCat(",\"reason_is_readout\":", held ? "true" : "false");
    ASSERT_NE(text.find(field), std::string::npos) << text;
    text.erase(text.find(field), field.size());
    EXPECT_TRUE(ParseState(text).value() == state) << text;
  }
  in.blocked = "held: the traffic could not be set";
  EXPECT_FALSE(Step(state, in).state.reason_is_readout);
}

TEST(StepTest, BatchesThatTakeLongerThanThereIsTimeAreSaid) {
  RolloutPlan plan = QuickPlan();
  plan.strategy = RolloutPlan::Strategy::kRolling;
  plan.rolling.emplace().duration = std::chrono::hours(3);
  plan.max_duration = std::chrono::hours(24);
  auto said = [&](int batches) {
    plan.rolling->batches = batches;
    const RolloutState state = BeginRollout("m", 1, 2, plan, FromUnixMillis(0));
    return std::any_of(state.notes.begin(), state.notes.end(), [](const std::string& note) {
      return note.starts_with("rolling: 10 batches take 30 h at least, and max_duration is 24 h");
    });
  };
  EXPECT_TRUE(said(10));
  EXPECT_FALSE(said(4));
}

TEST(StepTest, ABatchForEachEndpointIsMadeAsFarAsTheyFit) {
  RolloutPlan plan = QuickPlan();
  plan.strategy = RolloutPlan::Strategy::kRolling;
  plan.rolling.emplace().duration = std::chrono::hours(3);
  plan.max_duration = std::chrono::hours(24);
  auto batches = [&](int endpoints) {
    return BeginRollout("m", 1, 2, plan, FromUnixMillis(0), endpoints).plan.rolling->batches;
  };
  EXPECT_EQ(batches(0), 2) << "nobody knows of any";
  EXPECT_EQ(batches(4), 4);
  EXPECT_EQ(batches(7), 7);
  EXPECT_EQ(batches(8), 7) << "eight would leave no time for a verdict";
  const RolloutState many = BeginRollout("m", 1, 2, plan, FromUnixMillis(0), 1000);
  EXPECT_EQ(many.plan.steps.size(), 8u);
  ASSERT_FALSE(many.notes.empty());
  EXPECT_EQ(many.notes[0],
            "rolling: of 49 batches, one for each endpoint, only 7 of 3 h fit into max_duration "
            "(24 h): it takes so many");
  plan.rolling->duration = {};
  EXPECT_EQ(batches(1000), 49);
}

TEST(SerializeTest, CopiesThatWereNotSentAreKept) {
  StepInput in;
  in.pairs.unsent = 3;
  EXPECT_EQ(ParseInput(SerializeInput(in)).value(), in);
}

TEST(ThresholdTest, LieOnBucketEdgesAboveTheQuantilesAndAboveWhatIsIgnored) {
  RolloutGate gate;
  gate.kind = RolloutGate::Kind::kLatency;
  gate.quantiles = {0.5, 0.9, 0.99};
  gate.safe_quantile = 0.9;
  gate.ignore_below = milliseconds(10);
  SparseLatency stable{{static_cast<uint32_t>(LatencyScheme::Index(1'000'000)), 600},
                       {static_cast<uint32_t>(LatencyScheme::Index(30'000'000)), 350},
                       {static_cast<uint32_t>(LatencyScheme::Index(200'000'000)), 50}};
  LatencyThresholds chosen = ChooseThresholds(gate, stable);
  ASSERT_EQ(chosen.buckets.size(), 3u);
  EXPECT_GE(LatencyScheme::LowerEdge(chosen.buckets[0]), 10'000'000u);
  EXPECT_LT(LatencyScheme::LowerEdge(chosen.buckets[0]), 11'500'000u);
  EXPECT_EQ(chosen.buckets[1], stable[1].first + 1);
  EXPECT_EQ(chosen.buckets[2], stable[2].first + 1);
  EXPECT_EQ(chosen.safe_index, 1u);
}

TEST(ThresholdTest, FastModelsGetOneThresholdAtWhatIsIgnored) {
  RolloutGate gate;
  gate.kind = RolloutGate::Kind::kLatency;
  LatencyThresholds chosen =
      ChooseThresholds(gate, {{static_cast<uint32_t>(LatencyScheme::Index(300'000)), 1000}});
  EXPECT_EQ(chosen.buckets.size(), 1u);
  EXPECT_EQ(chosen.safe_index, 0u);
}

TEST(ThresholdTest, VerySlowModelsStayInsideTheScheme) {
  RolloutGate gate;
  gate.kind = RolloutGate::Kind::kLatency;
  gate.ignore_below = seconds(60);
  LatencyThresholds chosen = ChooseThresholds(gate, {{LatencyScheme::kBuckets - 1, 1000}});
  ASSERT_EQ(chosen.buckets.size(), 1u);
  EXPECT_LT(chosen.buckets[0], LatencyScheme::kBuckets);
}

TEST(PlanTest, SaysWhichFieldIsWrong) {
  RolloutPlan plan = QuickPlan();
  EXPECT_TRUE(ValidatePlan(plan).ok());
  EXPECT_TRUE(ValidatePlan(RolloutPlan{}).ok());
  plan.gates[0].margin = 1;
  EXPECT_NE(ValidatePlan(plan).message().find("margin"), std::string_view::npos);
  plan = QuickPlan();
  plan.gates.push_back(plan.gates[0]);
  EXPECT_NE(ValidatePlan(plan).message().find("twice"), std::string_view::npos);
  plan = QuickPlan();
  plan.steps = {{0.5}, {0.1}};
  EXPECT_NE(ValidatePlan(plan).message().find("weights"), std::string_view::npos);
  plan = QuickPlan();
  plan.steps = {{0.00001}};
  EXPECT_NE(ValidatePlan(plan).message().find("0.01 %"), std::string_view::npos);
  plan = QuickPlan();
  plan.alpha = std::nan("");
  EXPECT_FALSE(ValidatePlan(plan).ok());
  plan = QuickPlan();
  plan.gates[0].floor = 1;
  EXPECT_FALSE(ValidatePlan(plan).ok());
  plan = QuickPlan();
  plan.gates[0].max = 1;
  EXPECT_NE(ValidatePlan(plan).message().find("max must be"), std::string_view::npos);
  plan.gates[0].max = 0.02;
  plan.gates[0].kind = RolloutGate::Kind::kLatency;
  EXPECT_NE(ValidatePlan(plan).message().find("slower_than"), std::string_view::npos);
  plan.gates[0].slower_than = milliseconds(200);
  EXPECT_TRUE(ValidatePlan(plan).ok());
  plan.freeze.resize(1);
  EXPECT_NE(ValidatePlan(plan).message().find("freeze: leaves no time"), std::string_view::npos);
}

TEST(PlanTest, SegmentsNeedAGateThatLooksAtThem) {
  auto wrong = [](const RolloutPlan& of) { return std::string(ValidatePlan(of).message()); };
  RolloutPlan plan;
  plan.segments.emplace();
  EXPECT_EQ(wrong(plan), "") << "errors are there by default";
  plan.segments->max = 0;
  EXPECT_EQ(wrong(plan), "segments: max must be from 1 to 200");
  plan.segments->max = 20;
  plan.gates.resize(1);
  plan.gates[0].kind = RolloutGate::Kind::kLatency;
  EXPECT_EQ(wrong(plan), "segments: needs a gate of errors or quality, which looks at them");
  plan.gates[0].kind = RolloutGate::Kind::kErrors;
  plan.strategy = RolloutPlan::Strategy::kShadow;
  EXPECT_EQ(wrong(plan), "segments: copies are not told apart by them: leave it out");
}

TEST(PlanTest, BlueGreenHasNoGateThatCompares) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kBlueGreen;
  EXPECT_TRUE(ValidatePlan(plan).ok());
  plan.gates.resize(1);
  const Status compares = ValidatePlan(plan);
  EXPECT_NE(compares.message().find("has no traffic while"), std::string_view::npos) << compares;
  plan.gates[0].max = 0.02;
  EXPECT_TRUE(ValidatePlan(plan).ok());
  plan.blue_green.emplace().watch_duration = seconds(-1);
  EXPECT_FALSE(ValidatePlan(plan).ok());
  plan.blue_green.emplace();
  plan.strategy = RolloutPlan::Strategy::kCanary;
  EXPECT_NE(ValidatePlan(plan).message().find("strategy"), std::string_view::npos);
}

TEST(PlanTest, SaysWhatAGateOutsideLacks) {
  auto error = [](auto change) {
    RolloutPlan plan;
    RolloutGate& gate = plan.gates.emplace_back();
    gate.kind = RolloutGate::Kind::kPromql;
    gate.outside.address = "http://prometheus:9090";
    gate.outside.query = "up";
    gate.max = 300;
    change(plan, gate);
    return std::string(ValidatePlan(plan).message());
  };
  using Plan = RolloutPlan;
  using Gate = RolloutGate;
  EXPECT_EQ(error([](Plan&, Gate&) {}), "");
  EXPECT_NE(error([](Plan&, Gate& g) { g.max.reset(); }).find("needs max, min"), std::string::npos);
  EXPECT_NE(error([](Plan&, Gate& g) {
              g.outside.query = "up{v=\"{{version}}\"}";
            }).find("there is no {{version}}"),
            std::string::npos);
  EXPECT_NE(error([](Plan&, Gate& g) { g.outside.query = "up{{"; }).find("not closed"),
            std::string::npos);
  EXPECT_NE(error([](Plan&, Gate& g) { g.outside.min = 301; }).find("above max"),
            std::string::npos);
  EXPECT_NE(error([](Plan&, Gate& g) { g.kind = Gate::Kind::kWebhook; }).find("url is missing"),
            std::string::npos);
  EXPECT_NE(error([](Plan& p, Gate&) { p.gates.push_back(Gate(p.gates[0])); }).find("given twice"),
            std::string::npos);
  EXPECT_EQ(error([](Plan& p, Gate&) {
              p.gates.push_back(Gate(p.gates[0]));
              p.gates[1].outside.name = "other";
            }),
            "");
  EXPECT_NE(error([](Plan&, Gate& g) {
              g.outside.when = OutsideOptions::When::kAfterSwitch;
            }).find("blue_green"),
            std::string::npos);
}

TEST(OutsideTest, QueriesAreFilledIn) {
  RolloutState state = BeginRollout("m\"x", 1, 2, QuickPlan(), FromUnixMillis(0));
  EXPECT_EQ(FillIn("a{m=\"{{model}}\",v=\"{{ candidate }}\"} / a{v=\"{{stable}}\"}", state),
            "a{m=\"m\\\"x\",v=\"2\"} / a{v=\"1\"}");
  EXPECT_EQ(FillIn("up", state), "up");
}

TEST(OutsideTest, InfiniteAnswersSurviveTheJournal) {
  StepInput in;
  in.readings = {{0, 1, {}, OutsideReading::Kind::kValue, HUGE_VAL, ""},
                 {1, 0, {}, OutsideReading::Kind::kValue, -HUGE_VAL, ""},
                 {2, 0, {}, OutsideReading::Kind::kNoAnswer, 0, "away"}};
  EXPECT_EQ(ParseInput(SerializeInput(in)).value(), in);
}

TEST(SerializeTest, StatesOfBeforeHoldsAndOutsideGatesAreRead) {
  // As a version before wrote it: no strategy, no approval, nobody's pause.
  const std::string text =
      R"({"model":"m","stable":1,"candidate":2,"plan":{"steps":[{"weight":0.1,"duration_ms":0,)"
      R"("min_requests":0}],"gates":[],"alpha":0.01,"beta":0.05,"interval_ms":1000,)"
      R"("max_duration_ms":1000,"on_inconclusive":0,"warmup_ms":0},"started":0,"ended":0,)"
      R"("last_tick":0,"ticks":0,"phase":0,"reason":"started","step":0,"elapsed":0,)"
      R"("traffic_elapsed":0,"step_elapsed":0,"candidate_ready":false,"stable_sums":[0,0,0,0,0],)"
      R"("candidate_sums":[0,0,0,0,0],"step_requests":0,"step_minimums":[],"thresholds":[],)"
      R"("gates":[],"notes":[]})";
  auto state = ParseState(text);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->plan.strategy, RolloutPlan::Strategy::kCanary);
  EXPECT_EQ(SerializeState(*state), text) << "and what is not used is not written";
}

TEST(SerializeTest, RefusesWhatIsNotAState) {
  EXPECT_EQ(ParseState("{").status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(ParseState("{\"model\": 3}").status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(ParseInput("[]").status().code(), StatusCode::kDataLoss);
  RolloutState state = BeginRollout("m", 1, 2, QuickPlan(), FromUnixMillis(0));
  std::string text = SerializeState(state);
  EXPECT_TRUE(ParseState(text).value() == state);
  std::string bad = text;
  bad.replace(bad.find("\"step\":0"), 8, "\"step\":7");
  EXPECT_EQ(ParseState(bad).status().code(), StatusCode::kDataLoss);
}

TEST(WordsTest, WriteNumbersAsPeopleDo) {
  EXPECT_EQ(words::Count(1840), "1,840");
  EXPECT_EQ(words::Count(999), "999");
  EXPECT_EQ(words::Count(1234567), "1,234,567");
  EXPECT_EQ(words::Percent(61, 203), "30 %");
  EXPECT_EQ(words::Percent(12, 1840), "0.65 %");
  EXPECT_EQ(words::Percent(0, 0), "0 %");
  EXPECT_EQ(words::EValue(std::log(3.1e7)), "3.1e7");
  EXPECT_EQ(words::EValue(std::log(300.0)), "300");
  EXPECT_EQ(words::EValue(-100), "0.01 or less");
  EXPECT_EQ(words::Span(std::chrono::hours(24)), "24 h");
  EXPECT_EQ(words::Span(milliseconds(1500)), "1.5 s");
  EXPECT_EQ(words::RoundUpNicely(257.3), 260);
}

// ---- the promises, through the whole machine ----

struct Outcome {
  int promoted = 0, rolled_back = 0, other = 0;
};

/// A whole rollout. `fill` makes the windows of each tick.
RolloutState PlayToTheEnd(const RolloutPlan& plan,
                          const std::function<void(const RolloutState&, StepInput&)>& fill) {
  RolloutState state = BeginRollout("m", 1, 2, plan, FromUnixMillis(0));
  StepInput in;
  in.elapsed = seconds(1);
  while (!HasEnded(state.phase)) {
    fill(state, in);
    state = Step(state, in).state;
  }
  return state;
}

/// Whole rollouts with default gates plus quality, ticks of 200 requests, 30 % of them labelled.
Outcome Simulate(uint64_t seed, int runs, double stable_error, double candidate_error,
                 double stable_wrong, double candidate_wrong) {
  std::mt19937_64 rng(seed);
  auto binomial = [&](uint64_t n, double p) {
    return n == 0 || p <= 0 ? 0 : std::binomial_distribution<uint64_t>(n, p)(rng);
  };
  RolloutPlan plan;
  plan.steps = {{0.1}, {0.5}};
  RolloutGate errors, quality;
  errors.margin = quality.margin = 2;
  errors.floor = quality.floor = 0.002;
  quality.kind = RolloutGate::Kind::kQuality;
  plan.gates = {errors, quality};
  plan.max_duration = std::chrono::hours(1);
  Outcome outcome;
  for (int run = 0; run < runs; ++run) {
    const RolloutState end = PlayToTheEnd(plan, [&](const RolloutState& state, StepInput& in) {
      auto mine = binomial(200, WantedShare(state));
      in.candidate_window = {mine, binomial(mine, candidate_error), 0, {}, binomial(mine, 0.3), 0};
      in.stable_window = {200 - mine, binomial(200 - mine, stable_error), 0,
                          {},         binomial(200 - mine, 0.3),          0};
      in.candidate_window.wrong = binomial(in.candidate_window.labelled, candidate_wrong);
      in.stable_window.wrong = binomial(in.stable_window.labelled, stable_wrong);
    });
    outcome.promoted += end.phase == RolloutPhase::kPromoted;
    outcome.rolled_back += end.phase == RolloutPhase::kRolledBack;
  }
  return outcome;
}

TEST(StepSimulation, EqualVersionsArePromoted) {
  Outcome outcome = Simulate(1, 300, 0.01, 0.01, 0.04, 0.04);
  EXPECT_LE(outcome.rolled_back, 3) << "of 300 at alpha = 0.01";
  EXPECT_GE(outcome.promoted, 297);
}

TEST(StepSimulation, VersionsAtTheMarginOfOneGateArePromotedWithProbabilityAtMostBeta) {
  SKIP_WHERE_SANITIZED();
  EXPECT_LE(Simulate(2, 300, 0.01, 0.02, 0.04, 0.04).promoted, 15) << "of 300 at beta = 0.05";
  EXPECT_LE(Simulate(3, 300, 0.01, 0.01, 0.04, 0.08).promoted, 15) << "of 300 at beta = 0.05";
}

RolloutPlan LossPlan() {
  RolloutPlan plan;
  plan.steps = {{0.1}, {0.5}};
  plan.gates.resize(1);
  plan.gates[0].kind = RolloutGate::Kind::kLoss;
  plan.gates[0].margin = 1.25;
  plan.gates[0].loss.highest = 50;
  plan.max_duration = std::chrono::hours(1);
  return plan;
}

/// Whole rollouts whose candidate has `times` the losses of the stable version, which change from minute to minute: ticks of 200
/// requests, 30 % of them labelled, losses of 3 m u^2.
Outcome SimulateLosses(uint64_t seed, int runs, double times, const RolloutPlan& plan) {
  std::mt19937_64 rng(seed);
  auto losses = [&](uint64_t requests, double mean, ArmDelta& arm) {
    arm.requests = requests;
    arm.labelled = requests == 0 ? 0 : std::binomial_distribution<uint64_t>(requests, 0.3)(rng);
    arm.losses = {};
    std::uniform_real_distribution<double> uniform(0, 1);
    for (uint64_t i = 0; i < arm.labelled; ++i) {
      const double u = uniform(rng);
      arm.losses.Add(3 * mean * u * u, 1);
    }
  };
  Outcome outcome;
  for (int run = 0; run < runs; ++run) {
    const RolloutState end = PlayToTheEnd(plan, [&](const RolloutState& state, StepInput& in) {
      const double mean = state.ticks % 60 < 20 ? 0.16 : 0.06;
      const auto mine = std::binomial_distribution<uint64_t>(200, WantedShare(state))(rng);
      losses(mine, times * mean, in.candidate_window);
      losses(200 - mine, mean, in.stable_window);
    });
    outcome.promoted += end.phase == RolloutPhase::kPromoted;
    outcome.rolled_back += end.reason.find("e-value") != std::string::npos &&
                           end.phase == RolloutPhase::kRolledBack &&
                           end.reason.find("inconclusive") == std::string::npos;
  }
  return outcome;
}

TEST(StepSimulation, MeanLossesThatAreEqualPromoteAndWorseOnesAreTakenBack) {
  const Outcome equal = SimulateLosses(21, 100, 1, LossPlan());
  EXPECT_LE(equal.rolled_back, 2) << "of 100 at alpha = 0.01";
  EXPECT_GE(equal.promoted, 98);
  EXPECT_EQ(SimulateLosses(22, 50, 1.5, LossPlan()).rolled_back, 50);
}

TEST(StepSimulation, AnEqualMeanLossIsTakenBackWithProbabilityAlphaAtMostHoweverLongItIsLookedAt) {
  SKIP_WHERE_SANITIZED();
  RolloutPlan plan = LossPlan();
  // Nothing is promoted, and at an alpha that would be seen.
  plan.steps = {{0.3, std::chrono::minutes(14)}};
  plan.max_duration = std::chrono::minutes(15);
  plan.alpha = 0.05;
  EXPECT_LE(SimulateLosses(23, 400, 1, plan).rolled_back, 20) << "of 400";
}

TEST(StepSimulation, AMeanLossAtTheMarginIsPromotedWithProbabilityBetaAtMost) {
  SKIP_WHERE_SANITIZED();
  RolloutPlan plan = LossPlan();
  plan.alpha = 1e-9;  // what is not taken back has all the time
  plan.max_duration = std::chrono::minutes(15);
  EXPECT_LE(SimulateLosses(24, 200, 1.25, plan).promoted, 10) << "of 200 at beta = 0.05";
}

TEST(StepSimulation, AMeanLossIsHeldAgainstABoundAlone) {
  SKIP_WHERE_SANITIZED();
  RolloutPlan plan = LossPlan();
  plan.steps = {{0.5}};
  plan.max_duration = std::chrono::minutes(15);
  plan.alpha = plan.beta = 0.05;
  // What a bound promises it promises of each moment: that of the worst minutes here, and that of the best.
  plan.gates[0].max = 50 * 0.16;
  EXPECT_LE(SimulateLosses(25, 100, 1, plan).rolled_back, 5);
  plan.gates[0].max = 50 * 0.06;
  EXPECT_LE(SimulateLosses(26, 100, 1, plan).promoted, 5);
  EXPECT_EQ(SimulateLosses(27, 20, 1.5, plan).rolled_back, 20);
  plan.gates[0].max = 50 * 0.3;
  EXPECT_EQ(SimulateLosses(28, 20, 1, plan).promoted, 20);
}

TEST(StepTest, AGateOfLossesNamesWhatItsPlanLacks) {
  auto wrong = [](const RolloutPlan& of) { return std::string(ValidatePlan(of).message()); };
  EXPECT_EQ(wrong(LossPlan()), "");
  RolloutPlan plan = LossPlan();
  plan.gates[0].loss.highest = 0;
  EXPECT_EQ(wrong(plan),
            "gates: loss: highest must be above 0 and at most 1e+12: a larger absolute_error "
            "counts as this");
  plan.gates[0].loss.metric = LossMetric::kBrier;
  EXPECT_EQ(wrong(plan), "") << "no Brier score is above 1";
  plan.gates[0].loss.highest = 2;
  EXPECT_EQ(wrong(plan), "gates: loss: highest must be at most 1: no Brier score is above");
  plan = LossPlan();
  plan.gates[0].loss.good_enough = 50;
  EXPECT_EQ(wrong(plan), "gates: loss: good_enough must be at least 0 and below highest");
  plan = LossPlan();
  plan.gates[0].max = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(wrong(plan), "gates: loss: max must be above 0 and below highest");
  plan = LossPlan();
  plan.steps = {{.weight = 0, .mirror = 0.5}, {.weight = 0.5}};
  EXPECT_EQ(wrong(plan),
            "gates: loss: losses of copies are not counted: use steps without a mirror");
  plan = LossPlan();
  plan.gates[0].weight = 0;
  EXPECT_EQ(wrong(plan), "gates: loss: weight must be above 0");
}

/// Whole rollouts of a candidate with this rate of errors against a bound of 2 %; both versions have it,
/// at a share that changes with the rate.
Outcome SimulateBound(uint64_t seed, int runs, double error_rate) {
  std::mt19937_64 rng(seed);
  RolloutPlan plan;
  plan.steps = {{0.5}};
  plan.gates.resize(1);
  plan.gates[0].max = 0.02;
  plan.max_duration = std::chrono::minutes(10);
  Outcome outcome;
  for (int run = 0; run < runs; ++run) {
    const RolloutState end = PlayToTheEnd(plan, [&](const RolloutState&, StepInput& in) {
      auto errors = [&] { return std::binomial_distribution<uint64_t>(50, error_rate)(rng); };
      in.candidate_window = {50, errors(), 0, {}, 0, 0};
      in.stable_window = {50, errors(), 0, {}, 0, 0};
    });
    outcome.promoted += end.phase == RolloutPhase::kPromoted;
    // Inconclusive ends roll back as well: only the gate's own verdicts count here.
    outcome.rolled_back += end.reason.find("e-value") != std::string::npos &&
                           end.phase == RolloutPhase::kRolledBack &&
                           end.reason.find("inconclusive") == std::string::npos;
  }
  return outcome;
}

TEST(StepSimulation, ACandidateAtItsBoundIsSeldomTakenBackAndSeldomPromoted) {
  SKIP_WHERE_SANITIZED();
  const Outcome at = SimulateBound(5, 300, 0.02);
  EXPECT_LE(at.rolled_back, 8) << "of 300 at alpha = 0.01: 3 to be expected at most";
  EXPECT_LE(at.promoted, 25) << "of 300 at beta = 0.05: 15 to be expected at most";
  EXPECT_GE(SimulateBound(6, 100, 0.01).promoted, 98);
  EXPECT_GE(SimulateBound(7, 100, 0.05).rolled_back, 99);
}

/// Rollouts at 5, 20 and 50 % whose requests go to the candidate with `times` the share; how many were ever held for it.
int SimulateSplit(uint64_t seed, int runs, double times) {
  std::mt19937_64 rng(seed);
  RolloutPlan plan;
  plan.steps = {{0.05}, {0.2}, {0.5}};
  for (RolloutStep& step : plan.steps) step.duration = std::chrono::minutes(10);
  plan.gates.resize(1);
  plan.gates[0].floor = 0.05;
  plan.max_duration = std::chrono::minutes(40);
  int held = 0;
  for (int run = 0; run < runs; ++run) {
    bool mismatch = false;
    PlayToTheEnd(plan, [&](const RolloutState& state, StepInput& in) {
      mismatch = mismatch || state.split.mismatch;
      const double share = std::min(1.0, times * WantedShare(state));
      in.candidate_window.requests = std::binomial_distribution<uint64_t>(200, share)(rng);
      in.stable_window.requests = 200 - in.candidate_window.requests;
    });
    held += mismatch;
  }
  return held;
}

TEST(StepSimulation, ASplitAsItShouldBeIsNeverTakenForAnother) {
  SKIP_WHERE_SANITIZED();
  EXPECT_EQ(SimulateSplit(8, 25, 1), 0) << "one in a thousand, at most, of 1800 looks each";
  EXPECT_EQ(SimulateSplit(9, 25, 1.02), 0) << "within the tolerance";
  EXPECT_EQ(SimulateSplit(10, 15, 1.2), 15);
  EXPECT_EQ(SimulateSplit(11, 15, 0.8), 15);
}

struct SegmentOutcome {
  int rolled_back = 0, found = 0;
  double false_share = 0;  ///< of the segments that are named, mean over the runs
};

/// Rollouts at 50 % whose requests are of ten segments, each with a rate of its own; of the first `harmed` the candidate has three
/// times as many errors and wrong answers.
SegmentOutcome SimulateSegments(uint64_t seed, int runs, size_t harmed, double alpha) {
  std::mt19937_64 rng(seed);
  auto some = [&](uint64_t of, double share) {
    return std::binomial_distribution<uint64_t>(of, share)(rng);
  };
  RolloutPlan plan;
  plan.steps = {{0.5, std::chrono::hours(1)}};
  plan.gates.resize(2);
  plan.gates[1].kind = RolloutGate::Kind::kQuality;
  plan.segments.emplace().max = 10;
  plan.alpha = alpha;
  plan.sample_ratio_alpha = 0;
  SegmentOutcome outcome;
  for (int run = 0; run < runs; ++run) {
    RolloutState state = BeginRollout("m", 1, 2, plan, FromUnixMillis(0));
    StepInput in;
    in.elapsed = seconds(1);
    for (int tick = 0; tick < 60 && !HasEnded(state.phase); ++tick) {
      in.segments.clear();
      for (size_t i = 0; i < 10; ++i) {
        const double rate = 0.02 + 0.01 * static_cast<double>(i);
        const double worse = i < harmed ? 3 : 1;
        SegmentDelta& segment = in.segments.emplace_back();
        segment.name = StrCat("tenant=", i);
        segment.stable_requests = {30, some(30, rate)};
        segment.candidate_requests = {30, some(30, rate * worse)};
        segment.stable_labels = {30, some(30, rate)};
        segment.candidate_labels = {30, some(30, rate * worse)};
      }
      state = Step(state, in).state;
    }
    if (state.phase != RolloutPhase::kRolledBack) continue;
    ++outcome.rolled_back;
    EXPECT_NE(state.reason.find("(e-BH over 20 tests"), std::string::npos) << state.reason;
    double named = 0, wrong = 0;
    const RolloutView view = MakeView(1, state);
    for (const SegmentView& one : view.segments->tests_of) {
      if (!one.harmed) continue;
      ++named;
      wrong += one.segment >= StrCat("tenant=", harmed);
    }
    outcome.found += named > wrong;
    outcome.false_share += wrong / named / runs;
  }
  return outcome;
}

TEST(StepSimulation, SegmentsThatAreNotHarmedAreSeldomNamed) {
  SKIP_WHERE_SANITIZED();
  constexpr int kRuns = 200;
  constexpr double kAlpha = 0.3;  // of which the segments have a third
  constexpr double kPart = kAlpha / 3;
  // Three standard deviations above what alpha allows.
  const double most = kPart + 3 * std::sqrt(kPart * (1 - kPart) / kRuns);
  EXPECT_LE(SimulateSegments(20, kRuns, 0, kAlpha).rolled_back, most * kRuns);
  const SegmentOutcome one = SimulateSegments(21, kRuns, 1, kAlpha);
  EXPECT_GE(one.found, kRuns * 95 / 100);
  EXPECT_LE(one.false_share, most);
  const SegmentOutcome five = SimulateSegments(22, kRuns, 5, kAlpha);
  EXPECT_GE(five.found, kRuns * 99 / 100);
  EXPECT_LE(five.false_share, most);
}

TEST(StepSimulation, VersionsFarWorseAreRolledBack) {
  EXPECT_GE(Simulate(4, 100, 0.01, 0.01, 0.01, 0.30).rolled_back, 100);
}

/// A shadow as good as the stable version, of requests that fail and are wrong for both alike in part: how many of `runs` are taken
/// back.
int FalseRollbacks(int runs, const RolloutPlan& plan, double worse) {
  std::mt19937_64 rng(7);
  auto some = [&](uint64_t of, double share) {
    return std::binomial_distribution<uint64_t>(of, share)(rng);
  };
  int rolled_back = 0;
  for (int run = 0; run < runs; ++run) {
    RolloutState state = BeginRollout("m", 1, 2, plan, FromUnixMillis(0));
    for (int tick = 0; tick < 60 && !HasEnded(state.phase); ++tick) {
      StepInput in;
      in.elapsed = seconds(1);
      in.pairs.pairs = 100;
      in.pairs.both_failed = some(100, 0.05);
      in.pairs.candidate_failed = some(95, 0.02 * worse);
      in.pairs.stable_failed = some(95, 0.02);
      in.pairs.compared = 90;
      in.pairs.differing = some(90, 0.03 * worse);
      in.pairs.flips = some(in.pairs.differing, 0.9);
      in.pairs.candidate_wrong = some(in.pairs.flips / 2, worse / (1 + worse));
      in.pairs.stable_wrong = in.pairs.flips / 2 - in.pairs.candidate_wrong;
      state = Step(state, in).state;
    }
    rolled_back += state.phase == RolloutPhase::kRolledBack ? 1 : 0;
  }
  return rolled_back;
}

TEST(ShadowSimulation, AnEqualShadowIsTakenBackWithProbabilityAlphaAtMost) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kShadow;
  plan.shadow.emplace().duration = std::chrono::hours(1);
  plan.alpha = 0.1;
  plan.gates.resize(3);
  plan.gates[1].kind = RolloutGate::Kind::kQuality;
  plan.gates[2].kind = RolloutGate::Kind::kAnswers;
  plan.gates[2].max = 0.03;  // as many differ as may
  constexpr int kRuns = 300;
  // Three standard deviations above what alpha allows.
  EXPECT_LE(FalseRollbacks(kRuns, plan, 1), 0.1 * kRuns + 3 * std::sqrt(kRuns * 0.1 * 0.9));
  EXPECT_GE(FalseRollbacks(30, plan, 3), 29);
}

TEST(ShadowSimulation, AWorseShadowIsPromotedWithProbabilityBetaAtMost) {
  // At the margin: of what both versions fail alike the test of safety must not make a proof.
  RolloutGate errors;
  errors.margin = 2;
  errors.floor = 0;
  std::mt19937_64 rng(5);
  auto some = [&](uint64_t of, double share) {
    return std::binomial_distribution<uint64_t>(of, share)(rng);
  };
  for (const double both : {0.0, 0.02, 0.05}) {
    // The stable's rate is 5 %, the candidate's 10 %.
    constexpr int kRuns = 300;
    int passed = 0;
    for (int run = 0; run < kRuns; ++run) {
      GateState gate(errors);
      for (int tick = 0; tick < 40 && gate.SafeLogE() < std::log(1 / 0.1); ++tick) {
        const uint64_t together = some(100, both);
        const uint64_t candidate = some(100 - together, (0.10 - both) / (1 - both));
        const uint64_t stable = some(100 - together - candidate, (0.05 - both) / (1 - 0.10));
        gate.FoldPairs(0, {100, candidate, stable, together});
      }
      passed += gate.SafeLogE() >= std::log(1 / 0.1) ? 1 : 0;
    }
    EXPECT_LE(passed, 0.1 * kRuns + 3 * std::sqrt(kRuns * 0.1 * 0.9)) << both;
  }
}

TEST(StepTest, PlansThatMirrorSayWhatCannotBe) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kShadow;
  EXPECT_TRUE(ValidatePlan(plan).ok());
  EXPECT_EQ(BeginRollout("m", 1, 2, plan, FromUnixMillis(0)).plan.steps.size(), 1u);
  auto wrong = [](const RolloutPlan& of) { return std::string(ValidatePlan(of).message()); };
  plan.gates.resize(1);
  plan.gates[0].kind = RolloutGate::Kind::kAnswers;
  EXPECT_EQ(wrong(plan), "gates: answers: needs max: the share of answers that may differ");
  plan.gates[0].max = 0.01;
  EXPECT_TRUE(ValidatePlan(plan).ok());
  plan.strategy = RolloutPlan::Strategy::kCanary;
  EXPECT_NE(wrong(plan).find("it needs the strategy shadow, or a step with mirror"),
            std::string::npos);
  plan.steps = {{0, seconds(1), 0, false, 0.1}, {0.1}};
  EXPECT_TRUE(ValidatePlan(plan).ok());
  plan.steps = {{0.1}, {0, seconds(1), 0, false, 0.1}};
  EXPECT_NE(wrong(plan).find("comes before those that have one"), std::string::npos);
  plan.steps = {{0.1, seconds(1), 0, false, 0.1}};
  EXPECT_NE(wrong(plan).find("has a weight of 0"), std::string::npos);
}

}  // namespace
}  // namespace leadsman
