#include "app/envoy_report.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "app/log_report.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;
using intake::EnvoyCounters;

Json WayJson(const EnvoyCounters::Way& way) {
  return {{"streams", way.streams.load()},
          {"messages", way.messages.load()},
          {"malformed_messages", way.malformed.load()},
          {"predictions", way.requests.predictions.load()},
          {"other_requests", way.requests.other_requests.load()},
          {"unknown_model", way.requests.unknown_model.load()}};
}

Json BodiesJson(const intake::BodyCounters& bodies) {
  return {{"decoded", bodies.decoded.load()},   {"not_understood", bodies.not_understood.load()},
          {"too_long", bodies.too_long.load()}, {"no_memory", bodies.no_memory.load()},
          {"encoding", bodies.encoding.load()}, {"binary", bodies.binary.load()},
          {"absent", bodies.absent.load()}};
}

}  // namespace

std::string EnvoyReportJson(const std::vector<ObservedVersion>& models,
                            const intake::EnvoyIntake& envoy) {
  const EnvoyCounters& c = envoy.counters();
  Json access_log = WayJson(c.access_log);
  access_log["http_entries"] = c.http_entries.load();
  access_log["early_entries"] = c.early_entries.load();
  access_log["tcp_entries"] = c.tcp_entries.load();
  Json ext_proc = WayJson(c.ext_proc);
  ext_proc["exchanges"] = {{"complete", c.complete.load()},
                           {"client_gone", c.client_gone.load()},
                           {"cut", c.cut.load()},
                           {"timed_out", c.timed_out.load()},
                           {"left_out", c.left_out.load()}};
  ext_proc["request_bodies"] = BodiesJson(c.request_bodies);
  ext_proc["response_bodies"] = BodiesJson(c.response_bodies);
  ext_proc["held_bytes"] = c.held_bytes.load();
  intake::EnvoyIntake::View view = envoy.view();
  Json report = {{"models", ObservedJson(models)},  {"access_log", std::move(access_log)},
                 {"ext_proc", std::move(ext_proc)}, {"seen_twice", c.seen_twice.load()},
                 {"other_paths", view.other_paths}, {"features", view.features}};
  return report.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace leadsman
