#include "gateway/ended_request.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman::gateway {

std::string ErrorBody(Reason reason, std::string_view message, const Version* version,
                      const Endpoint* endpoint) {
  std::string body = "{\"error\":";
  AppendJsonString(body, message);
  body.append(",\"reason\":\"").append(ReasonName(reason)).append("\"");
  if (version != nullptr) {
    body += ",\"service\":";
    AppendJsonString(body, version->service->options.name);
    body.append(",\"version\":").append(std::to_string(version->number));
    if (endpoint != nullptr) {
      body += ",\"endpoint\":";
      AppendJsonString(body, endpoint->name);
    }
  }
  return body += "}\n";
}

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

std::optional<PredictionEvent> CountEnded(Worker& worker, const EndedRequest& ended) {
  VersionCounters& counters = worker.CountersOf(ended.version);
  const auto took = worker.shared().clock.SteadyNow() - ended.started;
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(took.count(), 0));
  const Reason reason = ended.reason;
  const auto of = reason == Reason::kClientGone ? 0 : static_cast<size_t>(ended.status / 100);
  counters.answers[of < VersionCounters::kClasses ? of : 0].Add();
  counters.latency[FineLatencyScheme::PlaceOf(ns).index()].Add();
  counters.latency_ns.Add(ns);
  counters.request_bytes.Add(ended.request_bytes);
  counters.response_bytes.Add(ended.answer_bytes);
  // Only now: one that always breaks in the body must not look well at each head.
  const bool whole =
      reason == Reason::kNone || reason == Reason::kClientGone || reason == Reason::kClientSlow;
  if (ended.answer_begun && whole && !ended.failed)
    ended.version.OnResult(*ended.tried, false, {}, worker.now());
  // Neither what the client did wrong nor a tunnel says anything of the version.
  if (!ended.prediction || reason == Reason::kBadRequest || reason == Reason::kTooLarge ||
      reason == Reason::kClientSlow || reason == Reason::kProtocol || ended.status == 101)
    return std::nullopt;
  PredictionEvent event;
  event.model = ended.version.service->options.name;
  event.version = ended.version.number;
  event.outcome = ended.outcome;
  event.observed = true;
  event.drawn = ended.drawn;
  event.unix_ns = UnixNanos(worker.shared().clock.Now());
  event.unix_ms = event.unix_ns / 1'000'000;
  event.latency_ns = ns;
  event.rows = 1;
  event.request_bytes = static_cast<uint32_t>(std::min<uint64_t>(ended.request_bytes, UINT32_MAX));
  event.response_bytes = static_cast<uint32_t>(std::min<uint64_t>(ended.answer_bytes, UINT32_MAX));
  event.request_id = ended.id;
  return event;
}

}  // namespace leadsman::gateway
