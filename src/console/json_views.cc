#include "console/json_views.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "stats/latency_quantile.h"

namespace leadsman::console {
namespace {

Json TimeJson(WallTime time) {
  if (time == WallTime{}) return nullptr;
  return FormatRfc3339(time);
}

/// JSON knows no infinity.
Json NumberJson(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

}  // namespace

double Traffic::ShareOf(int64_t version) const {
  if (version == 0) return 0;
  if (version == candidate) return candidate_share;
  return version == stable ? 1 - candidate_share : 0;
}

Json TrafficJson(const Traffic& traffic) {
  if (traffic.stable == 0) return nullptr;
  return {{"stable", traffic.stable},
          {"candidate", traffic.candidate == 0 ? Json(nullptr) : Json(traffic.candidate)},
          {"candidate_share", traffic.candidate_share}};
}

Json TotalsJson(const VersionTotals& totals) {
  Json accuracy = nullptr;
  if (totals.labelled > 0)
    accuracy = 1 - static_cast<double>(totals.wrong) / static_cast<double>(totals.labelled);
  return {{"requests", totals.requests},
          {"errors", totals.errors},
          {"latency_p50_seconds", LatencyQuantileSeconds(totals.latency, 0.5)},
          {"latency_p99_seconds", LatencyQuantileSeconds(totals.latency, 0.99)},
          {"labelled", totals.labelled},
          {"wrong", totals.wrong},
          {"accuracy", accuracy}};
}

Json VersionJson(const VersionStatus& version, const Traffic& traffic,
                 const VersionTotals* totals) {
  return {{"version", version.version},
          {"state", VersionStateName(version.state)},
          {"reason", version.status.message()},
          {"since", TimeJson(version.since)},
          {"format", version.format},
          {"backend", version.backend},
          {"execution", version.execution},
          {"warm_cost_seconds", ToSeconds(version.warm_cost)},
          {"memory_bytes", version.memory_bytes ? Json(*version.memory_bytes) : Json(nullptr)},
          {"unload_returned_bytes",
           version.returned_bytes ? Json(*version.returned_bytes) : Json(nullptr)},
          {"fetched_bytes", version.fetched_bytes},
          {"fetch_total_bytes", version.fetch_total_bytes},
          {"share", traffic.ShareOf(version.version)},
          {"totals", totals ? TotalsJson(*totals) : Json(nullptr)}};
}

Json WindowJson(const WindowSummary& window) {
  return {{"start", TimeJson(window.start)},
          {"seconds", window.seconds},
          {"requests", window.requests},
          {"errors", window.errors},
          {"latency_p50_seconds", NumberJson(window.latency_p50_seconds)},
          {"latency_p99_seconds", NumberJson(window.latency_p99_seconds)},
          {"labelled", window.labelled},
          {"wrong", window.wrong},
          {"predicted", window.predicted}};
}

Json OutsideJson(const std::optional<GateView::Outside>& outside) {
  if (!outside) return nullptr;
  return {{"kind", outside->kind},
          {"passes", outside->passes},
          {"failures", outside->failures},
          {"failures_allowed", outside->failures_allowed},
          {"said", outside->said.empty() ? Json(nullptr) : Json(outside->said)},
          {"answers",
           {{"passed", outside->passed}, {"failed", outside->failed}, {"open", outside->open}}}};
}

Json LossJson(const std::optional<GateView::Loss>& loss) {
  if (!loss) return nullptr;
  return {{"metric", loss->metric},
          {"highest", loss->highest},
          {"stable_mean", loss->stable_mean ? Json(*loss->stable_mean) : Json(nullptr)},
          {"candidate_mean", loss->candidate_mean ? Json(*loss->candidate_mean) : Json(nullptr)},
          {"unmeasured", loss->unmeasured}};
}

Json GateJson(const GateView& gate) {
  return {{"gate", gate.gate},
          {"outside", OutsideJson(gate.outside)},
          {"loss", LossJson(gate.loss)},
          {"harm_log_e", NumberJson(gate.harm_log_e)},
          {"harm_log_bound", NumberJson(gate.harm_log_bound)},
          {"safe_log_e", NumberJson(gate.safe_log_e)},
          {"safe_log_bound", NumberJson(gate.safe_log_bound)},
          {"weight", gate.outside ? Json(nullptr) : Json(gate.weight)},
          {"alpha", gate.outside ? Json(nullptr) : Json(gate.alpha)},
          {"stable", {{"exposure", gate.stable_exposure}, {"events", gate.stable_events}}},
          {"candidate",
           {{"exposure", gate.candidate_exposure},
            {"events", gate.candidate_events},
            {"exposure_needed", gate.candidate_exposure_needed}}}};
}

Json SampleRatioJson(const std::optional<RolloutView::SampleRatio>& split) {
  if (!split) return nullptr;
  return {{"share", split->share},
          {"candidate_requests", split->candidate},
          {"stable_requests", split->stable},
          {"log_e", NumberJson(split->log_e)},
          {"log_bound", NumberJson(split->log_bound)},
          {"mismatch", split->mismatch}};
}

Json CopiesJson(const std::optional<CopiesView>& copies) {
  if (!copies) return nullptr;
  return {{"answered", copies->pairs},
          {"candidate_failed", copies->candidate_failed},
          {"stable_failed", copies->stable_failed},
          {"compared", copies->compared},
          {"differing", copies->differing},
          {"class_flips", copies->flips},
          {"not_compared", copies->uncompared},
          {"labelled_flips",
           {{"candidate_wrong", copies->candidate_wrong},
            {"stable_wrong", copies->stable_wrong},
            {"both_wrong", copies->both_wrong}}}};
}

Json ReadoutsJson(const std::vector<ReadoutView>& readouts) {
  Json metrics = Json::array();
  for (const ReadoutView& one : readouts) {
    metrics.push_back(
        {{"metric", one.metric},
         {"event", one.event},
         {"stable", {{"exposure", one.stable_exposure}, {"events", one.stable_events}}},
         {"candidate", {{"exposure", one.candidate_exposure}, {"events", one.candidate_events}}},
         {"difference", {{"low", one.low}, {"high", one.high}}},
         {"verdict", ReadoutVerdictName(one.verdict)}});
    if (!one.segment.empty()) metrics.back()["segment"] = one.segment;
  }
  return metrics;
}

Json ReadoutJson(const RolloutView& rollout) {
  if (rollout.readout.empty()) return nullptr;
  return {{"confidence", rollout.confidence},
          {"metrics", ReadoutsJson(rollout.readout)},
          {"segments", ReadoutsJson(rollout.segment_readout)}};
}

Json SegmentsJson(const std::optional<SegmentsView>& segments) {
  if (!segments) return nullptr;
  Json found = Json::array();
  for (const SegmentView& one : segments->tests_of) {
    found.push_back(
        {{"segment", one.segment},
         {"gate", one.gate},
         {"stable", {{"exposure", one.stable_exposure}, {"events", one.stable_events}}},
         {"candidate", {{"exposure", one.candidate_exposure}, {"events", one.candidate_events}}},
         {"harm_log_e", one.harm_log_e},
         {"harmed", one.harmed}});
  }
  return {{"on_harm", segments->rolls_back ? "roll_back" : "hold"},
          {"tests", segments->tests},
          {"alpha", segments->alpha},
          {"evidence", std::move(found)}};
}

Json ExpectedEndJson(const std::optional<ExpectedEnd>& end) {
  if (!end) return nullptr;
  return {{"kind", ExpectedEndName(end->kind)},
          {"at", end->in ? TimeJson(end->at) : Json(nullptr)},
          {"in_seconds", end->in ? Json(std::round(ToSeconds(*end->in))) : Json(nullptr)},
          {"text", end->text}};
}

Json RolloutJson(const RolloutView& rollout) {
  Json gates = Json::array();
  for (const GateView& gate : rollout.gates) gates.push_back(GateJson(gate));
  // The engine wants no share for a candidate that has become the stable version: it has all of it.
  const double share = rollout.phase == RolloutPhase::kPromoted ? 1 : rollout.share;
  return {{"id", rollout.id},
          {"model", rollout.model},
          {"stable", rollout.stable},
          {"candidate", rollout.candidate},
          {"strategy", rollout.strategy},
          {"phase", RolloutPhaseName(rollout.phase)},
          {"step", rollout.step},
          {"step_count", rollout.step_count},
          {"share", share},
          {"mirror", rollout.mirror},
          {"copies", CopiesJson(rollout.copies)},
          {"readout", ReadoutJson(rollout)},
          {"started", TimeJson(rollout.started)},
          {"ended", TimeJson(rollout.ended)},
          {"reason", rollout.reason},
          {"expected_end", ExpectedEndJson(rollout.expected_end)},
          {"paused_by", rollout.paused_by.empty() ? Json(nullptr) : Json(rollout.paused_by)},
          {"undo_by", rollout.undo_by.empty() ? Json(nullptr) : Json(rollout.undo_by)},
          {"awaits_approval", rollout.awaits_approval},
          {"split_seed", rollout.split_seed ? Json(*rollout.split_seed) : Json(nullptr)},
          {"sample_ratio", SampleRatioJson(rollout.sample_ratio)},
          {"probation_left_seconds",
           rollout.probation_left ? Json(ToSeconds(*rollout.probation_left)) : Json(nullptr)},
          {"alpha", rollout.alpha},
          {"beta", rollout.beta},
          {"plan_notes", rollout.plan_notes},
          {"arms",
           {{"stable", {{"requests", rollout.stable_requests}, {"errors", rollout.stable_errors}}},
            {"candidate",
             {{"requests", rollout.candidate_requests}, {"errors", rollout.candidate_errors}}}}},
          {"gates", std::move(gates)},
          {"segments", SegmentsJson(rollout.segments)}};
}

Json TickJson(const TickView& tick) {
  Json gates = Json::array();
  for (const GateView& gate : tick.gates) gates.push_back(GateJson(gate));
  return {{"time", TimeJson(tick.time)},
          {"step", tick.step},
          {"share", tick.share},
          {"mirror", tick.mirror},
          {"copies", CopiesJson(tick.copies)},
          {"decision", tick.decision},
          {"stable",
           {{"requests", tick.stable_requests},
            {"errors", tick.stable_errors},
            {"labelled", tick.stable_labelled},
            {"wrong", tick.stable_wrong}}},
          {"candidate",
           {{"requests", tick.candidate_requests},
            {"errors", tick.candidate_errors},
            {"labelled", tick.candidate_labelled},
            {"wrong", tick.candidate_wrong}}},
          {"gates", std::move(gates)}};
}

void Answer(RouteCall& call, const Json& body) {
  call.exchange.response().content_type = "application/json";
  // Names and messages may carry bytes from outside: what is not UTF-8 is replaced, never thrown about.
  call.exchange.response().body += body.dump(-1, ' ', false, Json::error_handler_t::replace);
  call.exchange.response().body += '\n';
}

Json CountersJson(const Monitor::Counters& c) {
  return {{"events", c.events},
          {"events_dropped", c.events_dropped},
          {"labels_joined", c.labels_joined},
          {"labels_unknown", c.labels_unknown},
          {"labels_duplicate", c.labels_duplicate},
          {"labels_late", c.labels_late},
          {"labels_mismatched", c.labels_mismatched},
          {"labels_rejected", c.labels_rejected},
          {"labels_pending", c.labels_pending},
          {"database_errors", c.database_errors}};
}

}  // namespace leadsman::console
