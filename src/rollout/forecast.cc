#include "rollout/forecast.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/config_schema.h"
#include "rollout/outside_reader.h"
#include "rollout/record.h"
#include "rollout/simulation.h"
#include "rollout/words.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;
using Kind = RolloutGate::Kind;

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr int kTicksOfARun = 1000;     // about; a plan that takes days is played in longer ticks
constexpr uint64_t kHistory = 20'000;  // answers of the stable, where none were counted

/// What one gate watches, in this traffic.
struct Watched {
  double rate = 0;      ///< of bad events
  double share = 1;     ///< of the requests that are exposures
  double spread = 0;    ///< kLoss, whose `rate` is the mean: of one loss; shares of the highest
  std::string problem;  ///< why it has nothing to watch; empty: it has
};

constexpr const char* kNoLabels =
    "no labels come: send them (docs/labels.md), or leave this gate out";

/// Of a gate of mean losses.
Watched WatchLosses(const RolloutGate& gate, const ServiceTraffic& traffic) {
  const LossMeasure measure = MeasureOf(gate);
  Watched watched{.share = traffic.label_share};
  if (traffic.label_share <= 0) {
    watched.problem = kNoLabels;
  } else if (!traffic.losses || traffic.losses->metric.value_or(measure.metric) != measure.metric) {
    watched.problem =
        StrCat("nothing is known of the ", LossMetricWords(measure.metric),
               " of the stable version: say --mean-loss and --loss-spread, or plan for a server "
               "that has this gate in its plan and has had labels since");
  } else {
    watched.rate = std::min(1.0, traffic.losses->mean / measure.highest);
    watched.spread = std::min(std::sqrt(watched.rate * (1 - watched.rate)),
                              traffic.losses->spread / measure.highest);
  }
  return watched;
}

Watched Watch(const RolloutGate& gate, const ServiceTraffic& traffic) {
  switch (gate.kind) {
    case Kind::kPromql:
    case Kind::kWebhook:
    case Kind::kAnswers:
      break;
    case Kind::kErrors:
      return {traffic.error_rate, 1};
    case Kind::kQuality: {
      Watched watched{traffic.wrong_rate, traffic.label_share};
      if (traffic.label_share <= 0) watched.problem = kNoLabels;
      return watched;
    }
    case Kind::kLoss:
      return WatchLosses(gate, traffic);
    case Kind::kLatency: {
      Watched watched{0, 1 - traffic.error_rate};
      uint32_t bucket = BucketFrom(gate.slower_than);
      if (!gate.max) {
        const LatencyThresholds chosen = ChooseThresholds(gate, traffic.latency);
        bucket = chosen.buckets[chosen.safe_index];
      }
      watched.rate = TailOf(traffic.latency)[bucket];
      return watched;
    }
  }
  return {};
}

/// Where answers are taken to lie when nothing is known of them.
std::chrono::milliseconds MedianOf(const RolloutGate& gate) {
  constexpr int kTimesIgnored = 5;
  return kTimesIgnored * std::max(gate.ignore_below, std::chrono::milliseconds(1));
}

/// Where nothing is known of latencies, and a gate looks at them: lognormal ones (σ 0.5) around five times what the gate
/// leaves out, so that its quantiles are what they say.
ServiceTraffic WithLatency(const RolloutPlan& plan, const ServiceTraffic& seen) {
  constexpr double kSigma = 0.5;
  ServiceTraffic traffic = seen;
  for (const RolloutGate& gate : plan.gates) {
    if (gate.kind != Kind::kLatency || !traffic.latency.empty()) continue;
    const double median = ToSeconds(MedianOf(gate)) * 1e9;
    std::vector<double> tail(LatencyScheme::kBuckets, 1.0);
    for (size_t b = 1; b < tail.size(); ++b) {
      const double edge = static_cast<double>(LatencyScheme::LowerEdge(b));
      tail[b] = 0.5 * std::erfc(std::log(edge / median) / kSigma / std::sqrt(2.0));
    }
    traffic.latency = HistogramOf(tail, kHistory);
  }
  return traffic;
}

/// Exposures of a candidate with this rate until the harm test finds it, typically.
double ExposureUntilFound(const RolloutGate& gate, double log_bound, double share, double candidate,
                          double stable) {
  // One of the candidate alone asks for no share; the price of its mixture is that of the engine's own note.
  if (gate.max) return (log_bound + 1.2) / planning::BernoulliKl(candidate, *gate.max);
  return planning::HarmExposure(log_bound, share, candidate, stable);
}

/// The least rate of a candidate that the harm test finds with so many exposures of it, typically; 2: none.
double LeastFound(const RolloutGate& gate, double log_bound, double share, double rate,
                  double exposures) {
  if ((share >= 1 && !gate.max) || share <= 0 || exposures <= 0) return 2;
  const double base = gate.max.value_or(std::max(rate, 1e-5));
  double low = base, high = 0.999;
  if (high <= base || ExposureUntilFound(gate, log_bound, share, high, base) > exposures) return 2;
  for (int i = 0; i < 50; ++i) {
    const double middle = std::sqrt(low * high);
    (ExposureUntilFound(gate, log_bound, share, middle, base) > exposures ? low : high) = middle;
  }
  return high;
}

/// Until an equal candidate is shown to be safe: its exposures at this share.
double ExposureUntilSafe(const RolloutGate& gate, double log_bound, double share, double rate) {
  if (!gate.max) return planning::SafeExposure(log_bound, share, rate, gate.margin, gate.floor);
  if (rate >= *gate.max) return kNever;
  // Of one test alone, where SafeExposure plans for the mean of two.
  return planning::SafeExposure(log_bound - std::log(2.0), 1, rate, 2, *gate.max);
}

Duration DurationOf(double seconds) {
  constexpr double kMost = 9e9;  // what a Duration holds
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::min(seconds, kMost)));
}
std::string SpanText(double seconds) { return words::Span(DurationOf(seconds)); }

const char* Inconclusive(RolloutPlan::OnInconclusive choice) {
  switch (choice) {
    case RolloutPlan::OnInconclusive::kRollBack:
      return "the candidate is taken back";
    case RolloutPlan::OnInconclusive::kHold:
      return "the rollout is held";
    case RolloutPlan::OnInconclusive::kPromote:
      break;
  }
  return "the candidate is promoted without evidence";
}

void WarnOfGate(const RolloutPlan& plan, const RolloutGate& config, const Forecast::Gate& gate,
                const Watched& watched, std::vector<std::string>& warnings) {
  const std::string name = StrCat("gate ", gate.gate, ": ");
  if (!watched.problem.empty()) {
    warnings.push_back(name + watched.problem);
    return;
  }
  const double limit = ToSeconds(plan.max_duration);
  const bool never = std::isinf(gate.candidate_exposure);
  if (gate.loss && never) {
    const std::string mean = words::Significant(gate.rate * gate.loss->highest, 3);
    warnings.push_back(
        config.max
            ? StrCat(name, "an equal candidate is not below the bound of ",
                     words::Significant(*config.max, 3), ": the mean of the stable version is ",
                     mean, "; set a higher max, or promote by hand")
            : StrCat(
                  name,
                  "nothing can show that a candidate is safe: the mean of the stable "
                  "version is ",
                  mean,
                  "; set good_enough above it, or a first step below 100 %, or promote by hand"));
  } else if (config.max && never) {
    warnings.push_back(StrCat(name, "an equal candidate is not below the bound of ",
                              words::Percent(*config.max), ": the stable version has ",
                              words::Percent(gate.rate), "; set a higher max, or promote by hand"));
  } else if (never) {
    warnings.push_back(
        StrCat(name, "nothing can show that a candidate is safe: bad events have a rate of ",
               words::Percent(gate.rate), config.floor > 0 ? "" : " and there is no floor",
               "; set a floor above the rate, or a first step below 100 %, or promote by hand"));
  } else if (gate.seconds > limit) {
    warnings.push_back(StrCat(name, "at this traffic it takes about ", SpanText(gate.seconds),
                              " to show that an equal candidate is safe, and after max_duration, ",
                              SpanText(limit), ", ", Inconclusive(plan.on_inconclusive),
                              ": use a larger first weight, a larger margin or ",
                              gate.loss ? "good_enough" : "floor", ", or a longer max_duration"));
  }
  if (const std::string wide = gate.loss ? WideHighest(config, gate.rate) : ""; !wide.empty())
    warnings.push_back(name + wide);
  if (gate.found_in_time > 1) {
    warnings.push_back(StrCat(name, "no harm, however large, is found within max_duration, ",
                              SpanText(limit), ", at this traffic"));
  }
}

/// The plan as it is forecast and played: with its defaults, and without what no traffic decides.
RolloutPlan Playable(const RolloutPlan& asked) {
  RolloutPlan plan = asked;
  plan.freeze.clear();
  plan.probation = {};
  if (plan.blue_green) plan.blue_green->auto_promote = true;
  if (plan.shadow) plan.shadow->auto_promote = true;
  plan = BeginRollout("", 1, 2, plan, WallTime{}).plan;
  for (RolloutStep& step : plan.steps) step.approval = false;
  return plan;
}

/// What that was, and what is taken for granted instead.
std::vector<std::string> LeftOut(const RolloutPlan& plan, const ServiceTraffic& seen) {
  std::vector<std::string> left;
  bool approval = (plan.blue_green && !plan.blue_green->auto_promote) ||
                  (plan.shadow && !plan.shadow->auto_promote) ||
                  (plan.strategy == RolloutPlan::Strategy::kAb &&
                   plan.ab.value_or(AbOptions{}).on_end == AbOptions::OnEnd::kHold);
  for (const RolloutStep& step : plan.steps) approval = approval || step.approval.asked;
  for (const RolloutGate& gate : plan.gates) {
    if (IsOutside(gate.kind)) {
      left.push_back(StrCat("gate ", NameOf(gate), ": what a ",
                            gate.kind == Kind::kWebhook ? "webhook" : "Prometheus",
                            " will answer cannot be known before; taken to pass at once"));
    }
    if (gate.kind == Kind::kLatency && seen.latency.empty()) {
      left.push_back(StrCat("gate latency: no latencies are known; taken to lie around ",
                            SpanText(ToSeconds(MedianOf(gate))), ", some shorter and some longer"));
    }
  }
  for (const RolloutGate& gate : plan.gates) {
    if (gate.kind == Kind::kAnswers)
      left.push_back("gate answers: how many will differ cannot be known before; taken to be none");
    if (gate.kind == Kind::kQuality && !gate.max && Mirrors(plan)) {
      left.push_back(
          "gate quality, of copies: which answers will have another class cannot be known before; "
          "of a candidate that is as good, taken to be none");
    }
  }
  if (plan.strategy == RolloutPlan::Strategy::kRolling) {
    left.push_back(
        "endpoints of the candidate: taken to be ready at once; where the plan does not say how "
        "many "
        "batches, two");
  }
  if (plan.segments)
    left.push_back(
        "segments: taken to be all alike, and none of them to be found harmed by itself");
  if (approval) left.push_back("approvals: taken to be given at once");
  if (!plan.freeze.empty()) left.push_back("freeze: taken not to come; what it lasts is added");
  return left;
}

/// So many losses of the stable version; none when nothing is known of them, or nobody asks.
LossSums LossesOf(const RolloutPlan& plan, const ServiceTraffic& traffic, uint64_t count) {
  for (const RolloutGate& gate : plan.gates) {
    if (gate.kind != Kind::kLoss) continue;
    const Watched watched = Watch(gate, traffic);
    if (!watched.problem.empty()) break;
    const auto n = static_cast<double>(count);
    const double square = watched.rate * watched.rate + watched.spread * watched.spread;
    return {count, n * watched.rate, n * std::min(square, watched.rate), 0};
  }
  return {};
}

/// What the engine is told of the stable version's time before.
StepInput::History HistoryOf(const RolloutPlan& plan, const ServiceTraffic& traffic) {
  StepInput::History history;
  const uint64_t before = traffic.requests > 0 ? traffic.requests : kHistory;
  auto of = [](uint64_t n, double share) {
    return static_cast<uint64_t>(std::llround(static_cast<double>(n) * share));
  };
  history.sums.requests = before;
  history.sums.errors = of(before, traffic.error_rate);
  history.sums.labelled = of(before, traffic.label_share);
  history.sums.wrong = of(history.sums.labelled, traffic.wrong_rate);
  history.sums.losses = LossesOf(plan, traffic, history.sums.labelled);
  history.latency = traffic.latency;
  history.sums.timed = CountAll(traffic.latency);
  return history;
}

/// Until there are enough answers to take latency thresholds from.
double UntilThresholds(const ServiceTraffic& traffic) {
  const auto timed = static_cast<double>(CountAll(traffic.latency));
  if (traffic.requests_per_second <= 0) return kNever;
  return std::max(0.0, double{kHistoryNeeded} - timed) / traffic.requests_per_second;
}

double QuantileOf(std::vector<double>& values, double quantile) {
  if (values.empty()) return 0;
  auto at = values.begin() + std::lround(quantile * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace

Forecast MakeForecast(const RolloutPlan& asked, const ServiceTraffic& seen) {
  const RolloutPlan plan = Playable(asked);
  const ServiceTraffic traffic = WithLatency(plan, seen);
  // The machine's own minimums, as it plans them at its first tick.
  const RolloutState begun = RolloutSimulation(plan, HistoryOf(plan, traffic), 1).state();
  const double limit = ToSeconds(plan.max_duration);
  struct Counting {
    const RolloutGate& config;
    Watched watched;
  };
  std::vector<Counting> gates;
  for (const RolloutGate& config : plan.gates) {
    if (!IsOutside(config.kind)) gates.push_back({config, Watch(config, traffic)});
  }
  const bool segments =
      plan.segments && plan.segments->on_harm == SegmentOptions::OnHarm::kRollBack;
  double weights = segments ? 1 : 0;  // that share alpha
  for (const Counting& gate : gates) weights += gate.config.weight;
  auto alpha_of = [&](const RolloutGate& gate) { return plan.alpha * gate.weight / weights; };
  const double safe_bound = std::log(1 / plan.beta);
  Forecast forecast;
  forecast.left_out = LeftOut(asked, seen);
  double passed = 0;
  bool had_traffic = false;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    Forecast::Step step;
    step.weight = plan.steps[i].weight;
    step.mirror = plan.steps[i].mirror;
    // Of so many requests answers of the candidate are compared, and of so many all that are compared.
    const double sent = step.mirror > 0 ? step.mirror : step.weight;
    const double compared_share = step.mirror > 0 ? 0.5 : step.weight;
    step.candidate_per_second = traffic.requests_per_second * sent;
    step.minimum_requests = i < begun.step_minimums.size() ? begun.step_minimums[i] : 0;
    step.seconds = ToSeconds(plan.steps[i].duration);
    if (step.minimum_requests > 0) {
      const double needed = static_cast<double>(step.minimum_requests);
      step.seconds =
          std::max(step.seconds,
                   step.candidate_per_second > 0 ? needed / step.candidate_per_second : kNever);
    }
    // Evidence is there once the first step with traffic has given it; later ones have it already.
    const bool first = sent > 0 && !std::exchange(had_traffic, had_traffic || sent > 0);
    double needed_at_first = 0;
    for (const auto& [config, watched] : gates) {
      Forecast::Gate gate;
      gate.gate = GateName(config.kind);
      gate.alpha = alpha_of(config);
      gate.counts = sent > 0 && IsJudged(plan.steps[i], config);
      gate.rate = watched.rate;
      if (config.kind == Kind::kLoss) gate.loss = MeasureOf(config);
      gate.exposures_per_second = traffic.requests_per_second * watched.share;
      const bool flips = step.mirror > 0 && config.kind == Kind::kQuality;
      if (flips) gate.exposures_per_second = traffic.requests_per_second;
      if (gate.counts && (flips || watched.problem.empty())) {
        gate.candidate_exposure =
            flips ? ExposureUntilSafe(config, safe_bound, 1, 0)
            : gate.loss
                ? LossSafeExposure(config, safe_bound, compared_share, watched.rate, watched.spread)
                : ExposureUntilSafe(config, safe_bound, compared_share, watched.rate);
      }
      const double per_second = gate.exposures_per_second * sent;
      if (per_second > 0) gate.seconds = gate.candidate_exposure / per_second;
      if (first && config.kind == Kind::kLatency && !config.max)
        gate.seconds += UntilThresholds(traffic);
      if (gate.counts) needed_at_first = std::max(needed_at_first, gate.seconds);
      step.gates.push_back(std::move(gate));
    }
    // An A/B test waits for no evidence.
    const bool ab = plan.strategy == RolloutPlan::Strategy::kAb;
    if (first)
      step.seconds = std::max(step.seconds, ab ? 0 : needed_at_first) + ToSeconds(plan.warmup);
    for (size_t g = 0; g < gates.size(); ++g) {
      const RolloutGate& config = gates[g].config;
      Forecast::Gate& gate = step.gates[g];
      if (!gate.counts) continue;
      const double per_second = gate.exposures_per_second * sent;
      const double in_step = std::min(step.seconds, limit), in_time = std::max(0.0, limit - passed);
      const bool flips = step.mirror > 0 && config.kind == Kind::kQuality;
      const double harm_bound = -std::log(gate.alpha);
      auto found = [&](double seconds) {
        if (flips) {
          // Of what the candidate alone has wrong each labelled row doubles the evidence at most.
          const double labels =
              seconds * traffic.requests_per_second * sent * gates[g].watched.share;
          const double rows = (harm_bound + 1.2) / std::log(2.0);
          return labels > 0 ? std::min(2.0, gate.rate + rows / labels) : 2.0;
        }
        if (gate.loss) {
          if (!gates[g].watched.problem.empty()) return 2.0;
          return LeastHarmfulLoss(config, harm_bound, compared_share, gate.rate,
                                  gates[g].watched.spread, seconds * per_second);
        }
        return LeastFound(config, harm_bound, compared_share, gate.rate, seconds * per_second);
      };
      gate.found_in_step = found(in_step);
      gate.found_in_time = found(in_time);
      if (first && flips && config.floor == 0) {
        forecast.warnings.push_back(
            "gate quality: of copies only labelled rows with another class show that one is safe, "
            "and a candidate that agrees has none: set a floor");
      }
      if (first && !flips && !ab)
        WarnOfGate(plan, config, gate, gates[g].watched, forecast.warnings);
    }
    if (std::isfinite(passed)) passed += step.seconds;
    forecast.steps.push_back(std::move(step));
  }
  forecast.seconds = passed;
  if (traffic.requests_per_second <= 0) {
    forecast.warnings = {
        "there is no traffic: without requests there is no evidence, neither good nor bad"};
  } else if (std::isfinite(passed) && passed > limit && forecast.warnings.empty()) {
    forecast.warnings.push_back(StrCat("the steps together take about ", SpanText(passed),
                                       ", longer than max_duration, ", SpanText(limit), ": then ",
                                       Inconclusive(plan.on_inconclusive)));
  }
  return forecast;
}

std::vector<PlayedPlan> PlayPlan(const RolloutPlan& asked, const ServiceTraffic& seen, int runs,
                                 double worse, uint64_t seed) {
  const RolloutPlan plan = Playable(asked);
  const ServiceTraffic traffic = WithLatency(plan, seen);
  SimulatedArm stable{traffic.error_rate, traffic.wrong_rate, TailOf(traffic.latency)};
  for (const RolloutGate& gate : plan.gates) {
    if (gate.kind != Kind::kLoss) continue;
    const Watched watched = Watch(gate, traffic);
    if (watched.problem.empty()) stable.losses = {watched.rate, watched.spread};
  }
  const StepInput::History history = HistoryOf(plan, traffic);
  const double expected =
      std::min(MakeForecast(plan, traffic).seconds, ToSeconds(plan.max_duration));
  const Duration tick = std::max<Duration>(plan.interval, DurationOf(expected / kTicksOfARun));

  struct Candidate {
    std::string name;
    SimulatedArm arm;
  };
  std::vector<Candidate> candidates{{"equal", stable}};
  for (const RolloutGate& gate : plan.gates) {
    if (IsOutside(gate.kind)) continue;
    Candidate bad{StrCat(GateName(gate.kind), " x", words::Significant(worse, 3)), stable};
    if (gate.kind == Kind::kErrors) bad.arm.error_rate = std::min(1.0, worse * stable.error_rate);
    if (gate.kind == Kind::kQuality) bad.arm.wrong_rate = std::min(1.0, worse * stable.wrong_rate);
    if (gate.kind == Kind::kLoss) {
      if (!stable.losses) continue;
      bad.arm.losses = {std::min(1.0, worse * stable.losses->mean), worse * stable.losses->spread};
    }
    if (gate.kind == Kind::kAnswers) {
      bad.name = StrCat("answers x", words::Significant(worse, 3), " of max");
      bad.arm.differing_rate = std::min(1.0, worse * *gate.max);
    }
    if (gate.kind == Kind::kLatency) {
      // As many times more answers at or above any latency, as far as there are answers.
      for (double& share : bad.arm.tail) share = std::min(1.0, worse * share);
    }
    candidates.push_back(std::move(bad));
  }

  std::vector<PlayedPlan> played;
  for (const Candidate& candidate : candidates) {
    PlayedPlan said;
    said.candidate = candidate.name;
    said.runs = runs;
    std::vector<double> seconds, exposed;
    for (int run = 0; run < runs; ++run) {
      RolloutSimulation play(plan, history, seed + static_cast<uint64_t>(run));
      // Each run meets the recorded arrivals from another one on.
      size_t window =
          traffic.arrivals.empty()
              ? 0
              : static_cast<size_t>(run) * traffic.arrivals.size() / static_cast<size_t>(runs);
      while (!play.ended()) {
        double rate = traffic.requests_per_second;
        // What has taken long already may take a little longer.
        Duration step = std::max(tick, play.state().elapsed / kTicksOfARun);
        if (!traffic.arrivals.empty()) {
          const ServiceTraffic::Window& now = traffic.arrivals[window++ % traffic.arrivals.size()];
          rate = static_cast<double>(now.requests) / now.seconds;
          step = std::max(step, DurationOf(now.seconds));
        }
        play.Tick(step, play.Arrivals(rate * ToSeconds(step)), traffic.label_share, stable,
                  candidate.arm);
        if (play.state().phase == RolloutPhase::kHeld &&
            play.state().elapsed >= play.state().plan.max_duration) {
          break;  // held for a person
        }
      }
      const RolloutState& end = play.state();
      const bool in_time = end.elapsed < end.plan.max_duration;
      if (end.phase == RolloutPhase::kPromoted && in_time) {
        ++said.promoted;
      } else if (end.phase == RolloutPhase::kRolledBack && in_time) {
        ++said.rolled_back;
      } else {
        ++said.inconclusive;
      }
      seconds.push_back(ToSeconds(end.elapsed));
      exposed.push_back(static_cast<double>(end.candidate_sums.requests));
    }
    said.seconds_median = QuantileOf(seconds, 0.5);
    said.seconds_p90 = QuantileOf(seconds, 0.9);
    said.exposed_median = static_cast<uint64_t>(QuantileOf(exposed, 0.5));
    played.push_back(std::move(said));
  }
  return played;
}

Result<ServiceTraffic> TrafficOf(const VerdictRecord& record) {
  ServiceTraffic traffic;
  ArmDelta sums;
  LossSums losses;
  double seconds = 0;
  uint64_t both = 0;
  bool draws = false;
  ReplayRecord(record, {}, [&](const StepInput& in, const StepOutput& out) {
    // Before a switch, while a version loads and in a probation nothing is drawn, and so nothing counted.
    const bool drew = std::exchange(
        draws, WantedShare(out.state) > 0 && out.state.phase != RolloutPhase::kProbation);
    if (in.history) {
      if (sums.requests == 0) {
        Add(sums, in.history->sums);
        losses.Add(in.history->sums.losses);
      }
      traffic.latency = in.history->latency;
    }
    Add(sums, in.stable_window);
    losses.Add(in.stable_window.losses);
    if (!drew && WantedMirror(out.state) > 0) return;  // how many came is known of copies alone
    const double span = ToSeconds(in.elapsed);
    if (span <= 0 || !drew) return;  // of the first tick of a process it is not known
    const uint64_t requests = in.stable_window.requests + in.candidate_window.requests;
    seconds += span;
    both += requests;
    traffic.arrivals.push_back({span, requests});
  });
  if (both == 0) return InvalidArgumentError("the record has no requests to play again");
  auto rate = [](uint64_t part, uint64_t of) {
    return of == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(of));
  };
  traffic.requests_per_second = static_cast<double>(both) / seconds;
  traffic.error_rate = rate(sums.errors, sums.requests);
  traffic.label_share = rate(sums.labelled, sums.requests);
  traffic.wrong_rate = rate(sums.wrong, sums.labelled);
  if (const auto measure = MeasureOf(record.first.plan); measure && losses.count > 0) {
    traffic.losses = {measure->metric, losses.Mean() * measure->highest,
                      losses.Spread() * measure->highest};
  }
  traffic.requests = sums.requests;
  return traffic;
}

// ---- as JSON ----

namespace {

/// A share between 0 and 1, or a number of another range.
Status ReadNumber(const Json& from, const char* key, double least, double most, double& to) {
  auto found = from.find(key);
  if (found == from.end()) return OkStatus();
  if (!found->is_number() || !(found->get<double>() >= least && found->get<double>() <= most)) {
    return InvalidArgumentError(StrCat(key, ": must be between ", least, " and ", most));
  }
  to = found->get<double>();
  return OkStatus();
}

constexpr double kMostRequests = 1e9;

Status ReadLosses(const Json& json, ServiceTraffic& traffic) {
  if (!json.is_object()) return InvalidArgumentError("losses: must be an object");
  ServiceTraffic::Losses losses = traffic.losses.value_or(ServiceTraffic::Losses{});
  if (json.contains("metric")) {
    losses.metric = ParseLossMetric(json["metric"].get<std::string>());
    if (!losses.metric) return InvalidArgumentError("losses: an unknown metric");
  }
  RETURN_IF_ERROR(ReadNumber(json, "mean", 0, kHighestLoss, losses.mean));
  RETURN_IF_ERROR(ReadNumber(json, "spread", 0, kHighestLoss, losses.spread));
  traffic.losses = losses;
  return OkStatus();
}

/// What is said of the traffic, over what is known of it.
Status ReadTraffic(const Json& json, ServiceTraffic& traffic) {
  if (!json.is_object()) return InvalidArgumentError("traffic: must be an object");
  auto requests = static_cast<double>(traffic.requests);
  if (json.contains("requests_per_second")) traffic.arrivals.clear();
  RETURN_IF_ERROR(
      ReadNumber(json, "requests_per_second", 0, kMostRequests, traffic.requests_per_second));
  RETURN_IF_ERROR(ReadNumber(json, "error_rate", 0, 1, traffic.error_rate));
  RETURN_IF_ERROR(ReadNumber(json, "label_share", 0, 1, traffic.label_share));
  RETURN_IF_ERROR(ReadNumber(json, "wrong_rate", 0, 1, traffic.wrong_rate));
  if (json.contains("losses") && !json["losses"].is_null())
    RETURN_IF_ERROR(ReadLosses(json["losses"], traffic));
  RETURN_IF_ERROR(ReadNumber(json, "requests", 0, 1e15, requests));
  traffic.requests = static_cast<uint64_t>(requests);
  if (json.contains("latency")) traffic.latency = json["latency"].get<SparseLatency>();
  for (size_t i = 0; i < traffic.latency.size(); ++i) {
    const auto& [bucket, count] = traffic.latency[i];
    if (bucket >= LatencyScheme::kBuckets || count > (uint64_t{1} << 40) ||
        (i > 0 && bucket <= traffic.latency[i - 1].first)) {
      return InvalidArgumentError("latency: must be pairs of a bucket and its count, ascending");
    }
  }
  if (json.contains("arrivals")) {
    for (const Json& pair : json["arrivals"]) {
      const double seconds = pair.at(0).get<double>();
      const auto count = pair.at(1).get<uint64_t>();
      if (!(seconds > 0 && seconds <= 86'400) ||
          static_cast<double>(count) > kMostRequests * seconds)
        return InvalidArgumentError(
            "arrivals: must be pairs of seconds, up to a day, and requests");
      traffic.arrivals.push_back({seconds, count});
    }
  }
  return OkStatus();
}

Json FiniteJson(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
Json FoundJson(double rate, double scale) { return rate <= 1 ? Json(rate * scale) : Json(nullptr); }

Json ForecastJson(const Forecast& forecast) {
  Json steps = Json::array();
  for (const Forecast::Step& step : forecast.steps) {
    Json gates = Json::array();
    for (const Forecast::Gate& gate : step.gates) {
      const double scale = gate.loss ? gate.loss->highest : 1;
      gates.push_back(
          {{"gate", gate.gate},
           {"counts", gate.counts},
           {"alpha", gate.alpha},
           {"metric", gate.loss ? Json(LossMetricName(gate.loss->metric)) : Json(nullptr)},
           {"stable_rate", gate.rate * scale},
           {"candidate_exposures_needed", FiniteJson(std::ceil(gate.candidate_exposure))},
           {"seconds", FiniteJson(gate.seconds)},
           {"smallest_harm_in_step", FoundJson(gate.found_in_step, scale)},
           {"smallest_harm_in_time", FoundJson(gate.found_in_time, scale)}});
    }
    steps.push_back({{"weight", step.weight},
                     {"mirror", step.mirror},
                     {"candidate_requests_per_second", step.candidate_per_second},
                     {"minimum_requests", step.minimum_requests},
                     {"seconds", FiniteJson(step.seconds)},
                     {"gates", std::move(gates)}});
  }
  return {{"steps", std::move(steps)},
          {"seconds", FiniteJson(forecast.seconds)},
          {"warnings", forecast.warnings},
          {"left_out", forecast.left_out}};
}

Json PlayedJson(const std::vector<PlayedPlan>& played) {
  Json list = Json::array();
  for (const PlayedPlan& plan : played) {
    list.push_back({{"candidate", plan.candidate},
                    {"runs", plan.runs},
                    {"promoted", plan.promoted},
                    {"rolled_back", plan.rolled_back},
                    {"inconclusive", plan.inconclusive},
                    {"seconds_median", plan.seconds_median},
                    {"seconds_p90", plan.seconds_p90},
                    {"candidate_requests_median", plan.exposed_median}});
  }
  return list;
}

Result<RolloutPlan> ReadPlan(const Json& json) {
  RolloutPlan plan = DefaultRolloutPlan();
  std::vector<ConfigProblem> problems;
  if (!schema::ReadJson(json.dump(), RolloutPlanSchema(), plan, problems))
    return InvalidArgumentError(FormatProblems("", problems));
  return plan;
}

Result<std::string> Answer(const Json& question) {
  if (!question.is_object()) return InvalidArgumentError("the question must be a JSON object");
  RolloutPlan plan = DefaultRolloutPlan();
  ServiceTraffic traffic;
  if (question.contains("record")) {
    ASSIGN_OR_RETURN(VerdictRecord record,
                     ParseVerdictRecord(question["record"].get<std::string>()));
    ASSIGN_OR_RETURN(traffic, TrafficOf(record));
    plan = record.first.plan;
  }
  if (question.contains("plan")) {
    ASSIGN_OR_RETURN(plan, ReadPlan(question["plan"]));
  }
  if (question.contains("traffic")) RETURN_IF_ERROR(ReadTraffic(question["traffic"], traffic));
  double runs = 0, worse = 2, seed = 1;
  RETURN_IF_ERROR(ReadNumber(question, "runs", 0, 10'000, runs));
  RETURN_IF_ERROR(ReadNumber(question, "worse", 1, 1000, worse));
  RETURN_IF_ERROR(ReadNumber(question, "seed", 0, 1e15, seed));
  Json answer{{"traffic",
               {{"requests_per_second", traffic.requests_per_second},
                {"error_rate", traffic.error_rate},
                {"label_share", traffic.label_share},
                {"wrong_rate", traffic.wrong_rate},
                {"losses", traffic.losses ? Json{{"mean", traffic.losses->mean},
                                                 {"spread", traffic.losses->spread}}
                                          : Json(nullptr)},
                {"requests", traffic.requests},
                {"windows", traffic.arrivals.size()}}},
              {"alpha", plan.alpha},
              {"beta", plan.beta},
              {"max_duration_seconds", ToSeconds(plan.max_duration)},
              {"forecast", ForecastJson(MakeForecast(plan, traffic))},
              {"played", nullptr}};
  if (runs > 0 && traffic.requests_per_second > 0) {
    answer["played"] = PlayedJson(
        PlayPlan(plan, traffic, static_cast<int>(runs), worse, static_cast<uint64_t>(seed)));
  }
  return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<std::string> ForecastReport(std::string_view question) {
  try {
    return Answer(Json::parse(question));
  } catch (const std::exception& e) {
    return InvalidArgumentError(StrCat("the question cannot be read: ", e.what()));
  }
}

}  // namespace leadsman
