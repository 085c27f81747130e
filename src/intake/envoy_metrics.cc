#include "intake/envoy_metrics.h"

#include <functional>
#include <string>
#include <utility>

namespace leadsman::intake {
namespace {

using Read = std::function<double()>;
struct Part {
  std::vector<std::string> labels;
  Read read;
};

template <typename T>
Read Of(const std::atomic<T>& value) {
  return [&value] { return static_cast<double>(value.load()); };
}

std::vector<Part> BodyParts(const char* side, const BodyCounters& b) {
  return {{{side, "decoded"}, Of(b.decoded)},   {{side, "not_understood"}, Of(b.not_understood)},
          {{side, "too_long"}, Of(b.too_long)}, {{side, "no_memory"}, Of(b.no_memory)},
          {{side, "encoding"}, Of(b.encoding)}, {{side, "binary"}, Of(b.binary)},
          {{side, "absent"}, Of(b.absent)}};
}

}  // namespace

std::vector<Registry::Registration> AddEnvoyMetrics(const EnvoyCounters& c, Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, std::vector<Part> parts) {
    registrations.push_back(
        registry.Add({name, help, type, std::move(labels)}, [parts = std::move(parts)] {
          std::vector<MetricSample> samples;
          for (const Part& part : parts) {
            MetricSample& sample = samples.emplace_back();
            sample.label_values = part.labels;
            sample.value = part.read();
          }
          return samples;
        }));
  };
  const auto counter = MetricType::kCounter;
  const auto gauge = MetricType::kGauge;
  const EnvoyCounters::Way& log = c.access_log;
  const EnvoyCounters::Way& proc = c.ext_proc;
  add("leadsman_envoy_streams",
      "Calls of Envoys that are open: of the access log one for each of their threads, of ext_proc "
      "one for each request.",
      gauge, {"service"}, {{{"access_log"}, Of(log.streams)}, {{"ext_proc"}, Of(proc.streams)}});
  add("leadsman_envoy_messages_total", "Messages that Envoys have sent.", counter, {"service"},
      {{{"access_log"}, Of(log.messages)}, {{"ext_proc"}, Of(proc.messages)}});
  add("leadsman_envoy_malformed_messages_total", "Messages that are not what their service has.",
      counter, {"service"},
      {{{"access_log"}, Of(log.malformed)}, {{"ext_proc"}, Of(proc.malformed)}});
  add("leadsman_envoy_entries_total",
      "Entries of the access log: http = of a request that is over; early = of one under way, not "
      "counted further; tcp = of a connection, passed over.",
      counter, {"kind"},
      {{{"http"}, Of(c.http_entries)},
       {{"early"}, Of(c.early_entries)},
       {{"tcp"}, Of(c.tcp_entries)}});
  add("leadsman_envoy_exchanges_total",
      "Requests of which ext_proc has told, by their end: complete = with their answer; "
      "client_gone = "
      "Envoy ended before an answer; cut = Envoy or this process went away; timed_out = after "
      "exchange_timeout; left_out = beyond max_exchanges, not counted further.",
      counter, {"end"},
      {{{"complete"}, Of(c.complete)},
       {{"client_gone"}, Of(c.client_gone)},
       {{"cut"}, Of(c.cut)},
       {{"timed_out"}, Of(c.timed_out)},
       {{"left_out"}, Of(c.left_out)}});
  add("leadsman_envoy_requests_total",
      "Requests by what they were: prediction = given to the monitor; other = for another path, as "
      "a health check; unknown_model = answered not found, of a model that was never found.",
      counter, {"service", "kind"},
      {{{"access_log", "prediction"}, Of(log.requests.predictions)},
       {{"access_log", "other"}, Of(log.requests.other_requests)},
       {{"access_log", "unknown_model"}, Of(log.requests.unknown_model)},
       {{"ext_proc", "prediction"}, Of(proc.requests.predictions)},
       {{"ext_proc", "other"}, Of(proc.requests.other_requests)},
       {{"ext_proc", "unknown_model"}, Of(proc.requests.unknown_model)}});
  std::vector<Part> bodies = BodyParts("request", c.request_bodies);
  for (Part& part : BodyParts("response", c.response_bodies)) bodies.push_back(std::move(part));
  add("leadsman_envoy_bodies_total",
      "Bodies of predictions by what came of them; those of answers only when the request "
      "succeeded: decoded = into features or predictions; not_understood = of no known form; "
      "too_long = above max_body; no_memory = beyond max_held_bytes; encoding = content-encoding "
      "unknown, or broken, or too long inflated; binary = gRPC; absent = none came.",
      counter, {"side", "result"}, std::move(bodies));
  add("leadsman_envoy_held_bytes", "Bodies of requests under way that are held.", gauge, {},
      {{{}, Of(c.held_bytes)}});
  add("leadsman_envoy_seen_twice_total",
      "Requests of which the access log and ext_proc have both told, so that they count twice.",
      counter, {}, {{{}, Of(c.seen_twice)}});
  return registrations;
}

}  // namespace leadsman::intake
