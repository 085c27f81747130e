#include "intake/envoy_intake.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "intake/envoy_access_log.h"
#include "intake/envoy_grpc_body.h"
#include "intake/envoy_metrics.h"

namespace leadsman::intake {
namespace {

/// Of each way, how many of its last requests are known again. A power of two.
constexpr size_t kRemembered = 16 << 10;
constexpr size_t kMaxOtherPaths = RecordEvents::kMaxOtherPaths;

uint64_t HashOf(std::string_view id) {
  return std::hash<std::string_view>()(id) | 1;  // 0: an empty place
}

}  // namespace

EnvoyIntake::EnvoyIntake(Deps deps, EnvoyOptions options)
    : deps_(deps),
      options_(std::move(options)),
      rules_(options_.models),
      bodies_(options_.max_body),
      seen_access_log_(kRemembered),
      seen_ext_proc_(kRemembered),
      registrations_(AddEnvoyMetrics(counters_, deps_.registry)) {}

EnvoyIntake::~EnvoyIntake() = default;

// Events
// ------------------------------------------------------------------------------------------------------------------

RecordEvents& EnvoyIntake::EventsOf(Feed& feed, std::string_view model, bool may_be_new) {
  auto known = feed.models.find(model);
  if (known == feed.models.end() &&
      (!may_be_new || feed.models.size() >= RecordEvents::kMaxModels)) {
    model = RecordEvents::kOtherModels;
    known = feed.models.find(model);
  }
  if (known != feed.models.end()) return *known->second;
  LogSource source;
  source.path = "envoy";
  source.model = model;
  // What Envoy sends cannot be told to wait: the sink counts what it has no room for.
  auto events =
      std::make_unique<RecordEvents>(RecordEvents::Deps{deps_.clock, deps_.sink, feed.counters,
                                                        [] { return false; }, deps_.redactor},
                                     source);
  MutexLock lock(mutex_);
  return *feed.models.emplace(model, std::move(events)).first->second;
}

void EnvoyIntake::Emit(Feed& feed, const LogRecord& record) {
  const std::string_view model =
      record.model.empty() ? std::string_view(kDefaultModel) : record.model;
  // Whoever can reach the service could make models of what it says is not there.
  const bool found = record.status != 404 && record.grpc_status != 5;
  EventsOf(feed, model, found && record.inference).OnRequest(record);
}

void EnvoyIntake::Remember(std::string_view request_id, bool access_log) {
  if (request_id.empty()) return;
  const uint64_t hash = HashOf(request_id);
  const size_t at = (hash >> 1) & (kRemembered - 1);
  (access_log ? seen_access_log_ : seen_ext_proc_)[at] = hash;
  if ((access_log ? seen_ext_proc_ : seen_access_log_)[at] != hash) return;
  ++counters_.seen_twice;
  if (std::exchange(warned_, true)) return;
  LOG_WARN(
      "Envoy tells of the same requests by its access log service and by ext_proc: they count "
      "twice; keep one of the two for each route",
      {"request_id", std::string(request_id)});
}

EnvoyIntake::View EnvoyIntake::view() const {
  View view;
  MutexLock lock(mutex_);
  for (const Feed* feed : {&access_log_, &ext_proc_}) {
    for (const auto& [model, events] : feed->models) {
      for (const auto& [path, count] : events->other_paths()) {
        if (view.other_paths.contains(path) || view.other_paths.size() < kMaxOtherPaths)
          view.other_paths[path] += count;
      }
      view.features.merge(events->features());
    }
  }
  return view;
}

// The access log
// ------------------------------------------------------------------------------------------------------------------

bool EnvoyIntake::TakeAccessLog(std::string_view message) {
  ++counters_.access_log.messages;
  uint64_t tcp = 0;
  bool good = true;
  EnvoyEntry entry;
  const bool read = ForEachEnvoyEntry(
      message,
      [&](std::string_view bytes) {
        if (!ReadEnvoyEntry(bytes, entry)) {
          good = false;
          return;
        }
        if (!entry.final) {
          ++counters_.early_entries;
          return;
        }
        ++counters_.http_entries;
        rules_.Apply(entry.request);
        const LogRecord& record = entry.request.record;
        if (record.inference) Remember(record.request_id, true);
        Emit(access_log_, record);
      },
      tcp);
  counters_.tcp_entries += tcp;
  if (!read || !good) ++counters_.access_log.malformed;
  return read && good;
}

// ext_proc
// ------------------------------------------------------------------------------------------------------------------

EnvoyExchange::Limits EnvoyIntake::limits() {
  return {.max_body = options_.max_body,
          .held_bytes = &held_bytes_,
          .max_held_bytes = options_.max_held_bytes};
}

bool EnvoyIntake::Begin(EnvoyExchange& exchange) {
  if (open_ >= options_.max_exchanges) {
    ++counters_.left_out;
    return false;
  }
  ++open_;
  exchange.Clear(limits());
  return true;
}

bool EnvoyIntake::Take(EnvoyExchange& exchange, const ProcessingMessage& message) {
  ++counters_.ext_proc.messages;
  const bool good = exchange.Take(message, rules_, limits(), deps_.clock.SteadyNow(),
                                  UnixMillis(deps_.clock.Now()));
  if (!good) ++counters_.ext_proc.malformed;
  counters_.held_bytes = held_bytes_;
  return good;
}

void EnvoyIntake::Finish(EnvoyExchange& exchange, End how) {
  // An answer without its end, of which Envoy does not send the body, is one all the same.
  if (exchange.answered() && how != End::kTimedOut) how = End::kComplete;
  switch (how) {
    case End::kComplete:
      ++counters_.complete;
      break;
    case End::kClientGone:
      ++counters_.client_gone;
      break;
    case End::kCut:
      ++counters_.cut;
      break;
    case End::kTimedOut:
      ++counters_.timed_out;
      break;
  }
  if (exchange.begun()) {
    EnvoyRequest request;
    exchange.Describe(rules_, request);
    LogRecord& record = request.record;
    record.unix_ns = exchange.answered_unix_ms() * 1'000'000;
    if (how == End::kClientGone) record.status = 0;
    if (how == End::kTimedOut) record.latency_ns.reset();  // it is not over
    if (record.inference) {
      Remember(record.request_id, false);
      if (record.grpc) {
        const CalledByGrpc called = ReadGrpcModel(record.path, exchange.request().body);
        if (!called.model.empty()) record.model = model_.assign(called.model);
        if (called.version > 0) record.version = version_ = StrCat(called.version);
        ++counters_.request_bodies.binary;
      } else {
        bodies_.ReadRequest(exchange.request(), counters_.request_bodies, record);
        if (record.outcome() == Outcome::kOk)
          bodies_.ReadResponse(exchange.response(), counters_.response_bodies, record);
      }
    }
    Emit(ext_proc_, record);
  }
  exchange.Clear(limits());
  counters_.held_bytes = held_bytes_;
  --open_;
}

}  // namespace leadsman::intake
