#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "events/prediction_event.h"
#include "intake/envoy_counters.h"
#include "intake/envoy_exchange.h"
#include "intake/envoy_options.h"
#include "intake/envoy_rules.h"
#include "intake/exchange_bodies.h"
#include "intake/record_events.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// Makes events of what Envoy tells: entries of its access log service, exchanges of ext_proc. What a server of these services
/// receives is given here as it came; sockets are no concern of this.
///
/// Confined to one thread, but for view() and counters().
class EnvoyIntake {
 public:
  struct Deps {
    const Clock& clock;
    Sink& sink;
    Registry& registry;
    const Redactor* redactor = nullptr;  ///< of the paths that are told; null: as they are
  };
  EnvoyIntake(Deps deps, EnvoyOptions options);
  ~EnvoyIntake();

  /// A serialized StreamAccessLogsMessage. False: malformed; what came before it in the message has counted.
  bool TakeAccessLog(std::string_view message);

  /// False: it is one too many, and counted; nothing is to be taken of it.
  bool Begin(EnvoyExchange& exchange);
  /// False: malformed.
  bool Take(EnvoyExchange& exchange, const ProcessingMessage& message);
  enum class End { kComplete, kClientGone, kCut, kTimedOut };
  /// Counts what is known of it, and clears it.
  void Finish(EnvoyExchange& exchange, End how);

  const EnvoyOptions& options() const { return options_; }
  EnvoyCounters& counters() { return counters_; }

  struct View {
    std::map<std::string, uint64_t> other_paths;               ///< POSTs that were no predictions
    std::map<std::string, std::vector<std::string>> features;  ///< names of features by model
  };
  /// Thread-safe.
  View view() const;
  const EnvoyCounters& counters() const { return counters_; }

 private:
  /// The models of one way. Names that a feature has are a model's own.
  struct Feed {
    explicit Feed(SourceCounters& c) : counters(c) {}
    SourceCounters& counters;
    std::map<std::string, std::unique_ptr<RecordEvents>, std::less<>> models;
  };
  void Emit(Feed& feed, const LogRecord& record);
  RecordEvents& EventsOf(Feed& feed, std::string_view model, bool may_be_new);
  EnvoyExchange::Limits limits();
  void Remember(std::string_view request_id, bool access_log);

  const Deps deps_;
  const EnvoyOptions options_;
  const EnvoyRules rules_;
  EnvoyCounters counters_;
  mutable Mutex mutex_;  ///< guards the maps of feeds; their thread reads without it
  Feed access_log_{counters_.access_log.requests};
  Feed ext_proc_{counters_.ext_proc.requests};
  size_t held_bytes_ = 0;
  size_t open_ = 0;
  ExchangeBodies bodies_;
  std::string model_, version_;  ///< of a gRPC body
  std::vector<uint64_t> seen_access_log_, seen_ext_proc_;
  bool warned_ = false;
  std::vector<Registry::Registration> registrations_;  ///< last: they read the above
};

}  // namespace leadsman::intake
