#include "app/capture_ways.h"

#include <algorithm>
#include <utility>

#include "app/switch_sink.h"
#include "base/strings.h"
#include "intake/cloud_event_intake.h"
#include "intake/envoy_intake.h"
#include "intake/event_intake.h"
#include "intake/exchange_intake.h"
#include "intake/log_intake.h"

namespace leadsman {
namespace {

using Counts = std::vector<CaptureCounts>;

uint64_t Rest(uint64_t all, uint64_t lost) { return all - std::min(all, lost); }

void AddLogs(const intake::LogIntake& logs, Counts& counts) {
  for (const intake::SourceView& view : logs.views()) {
    const uint64_t lost = view.malformed + view.unrecognised + view.cut;
    counts.push_back({StrCat("log ", view.source), "lines",
                      "see `leadsman monitor --once` and GET /api/v1/logs for what is not read",
                      Rest(view.lines, lost), lost});
  }
}

void AddCloudEvents(const intake::CloudEventIntake& cloudevents, Counts& counts) {
  const intake::CloudEventIntake::Losses of = cloudevents.losses();
  counts.push_back({"cloudevents", "CloudEvents",
                    "leadsman_intake_cloudevents_dropped_total: give the monitor more CPU; "
                    "leadsman_intake_cloudevents_undecodable_total{reason=\"event\"}: look at what "
                    "the sender sends",
                    of.events, of.dropped + of.unreadable});
  counts.push_back({"cloudevents bodies", "bodies of CloudEvents",
                    "see docs/events-in.md for what can be read; their requests count without "
                    "inputs or predictions",
                    Rest(of.events, of.bodies), of.bodies, true});
  counts.push_back({"cloudevents labels", "labels of feedback",
                    "give the monitor more CPU, and more time to end", of.labels, of.labels_lost});
}

void AddEvents(const intake::EventIntake& events, Counts& counts) {
  const intake::EventIntake::Losses of = events.losses();
  counts.push_back({"events API", "entries of POST /api/v1/events",
                    "see the errors that it answers, each names an entry and its field", of.entries,
                    of.invalid});
  counts.push_back({"events API batches", "batches of POST /api/v1/events",
                    "they were answered 503: what the sender does not send again is missing; give "
                    "the monitor more CPU, or a larger monitor.ring",
                    of.batches, of.refused, true});
}

void AddEnvoy(const intake::EnvoyIntake& envoy, Counts& counts) {
  const intake::EnvoyCounters& of = envoy.counters();
  for (const auto& [name, way] :
       {std::pair("envoy access log", &of.access_log), std::pair("envoy ext_proc", &of.ext_proc)}) {
    counts.push_back({name, "messages",
                      "they are not what their service has: see docs/envoy.md for the versions and "
                      "the configuration of Envoy",
                      way->messages, way->malformed});
  }
  const uint64_t seen = of.complete + of.client_gone + of.cut + of.timed_out;
  counts.push_back({"envoy exchanges", "exchanges of ext_proc",
                    "more were under way than monitor.envoy.max_exchanges: set it higher", seen,
                    of.left_out});
  counts.push_back({"envoy bodies", "bodies",
                    "leadsman_envoy_bodies_total says why they could not be read; their requests "
                    "count without inputs or predictions",
                    of.request_bodies.decoded + of.response_bodies.decoded,
                    of.request_bodies.lost() + of.response_bodies.lost(), true});
}

void AddExchanges(const intake::ExchangeIntake& exchanges, Counts& counts) {
  const intake::ExchangeIntake::Losses of = exchanges.losses();
  counts.push_back({"gateway exchanges", "copies of bodies",
                    "more waited than gateway.decode.max_queue: give the gateway more CPU, or "
                    "sample them by decode.sample of a route",
                    of.told, of.dropped, true});
  counts.push_back({"gateway bodies", "bodies",
                    "leadsman_gateway_bodies_total says why they could not be read; JSON of your "
                    "own is mapped by decode of a route",
                    of.bodies, of.bodies_lost, true});
  counts.push_back({"gateway mirrors", "pairs of answers of mirrors",
                    "they were not compared: more waited than gateway.decode.max_queue",
                    of.compared, of.uncompared});
}

}  // namespace

Counts ReadCaptureCounts(const Monitor& monitor, const CaptureWays& ways) {
  const Monitor::Counters taken = monitor.counters();
  Counts counts = ReadCaptureCounts(taken);
  if (ways.logs != nullptr) AddLogs(*ways.logs, counts);
  if (ways.cloudevents != nullptr) AddCloudEvents(*ways.cloudevents, counts);
  if (ways.events != nullptr) AddEvents(*ways.events, counts);
  if (ways.envoy != nullptr) AddEnvoy(*ways.envoy, counts);
  if (ways.exchanges != nullptr) AddExchanges(*ways.exchanges, counts);
  if (ways.handover != nullptr) {
    counts.push_back({"handover", "events",
                      "they came while another process tried to take over, and nobody took them; "
                      "leadsman_hot_restart_failed_total and the log say why it has failed",
                      taken.events, ways.handover->dropped()});
  }
  return counts;
}

}  // namespace leadsman
