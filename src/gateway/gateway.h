#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/exchange.h"
#include "events/prediction_event.h"
#include "gateway/config.h"
#include "net/drainable.h"
#include "stats/registry.h"

namespace leadsman::net {
class ListenerStore;
}  // namespace leadsman::net

namespace leadsman::gateway {

struct EndpointView {
  std::string endpoint;
  std::string state;   ///< "healthy", "unhealthy", "ejected", "unknown", "unresolved"
  std::string reason;  ///< of a state that is not good
  size_t connections = 0;
  size_t active = 0;
  uint64_t requests = 0;
  uint64_t failures = 0;
  uint64_t ejections = 0;
};
struct VersionView {
  int64_t version = 0;
  double share = 0;
  bool ready = false;
  size_t pending = 0;
  // Since it has started:
  uint64_t requests = 0;
  uint64_t errors = 0;  ///< answered 5xx
  uint64_t retries = 0;
  std::vector<EndpointView> endpoints;
};
/// What became of the copies for a mirror since the gateway has started: sent = answered + unanswered + in_flight.
struct MirrorView {
  int64_t version = 0;
  double share = 0;
  size_t in_flight = 0;
  uint64_t sent = 0;
  uint64_t answered = 0;
  uint64_t errors = 0;                         ///< of these, 5xx
  std::map<std::string, uint64_t> unsent;      ///< by reason, where there are some
  std::map<std::string, uint64_t> unanswered;  ///< likewise
};
struct ServiceView {
  std::string name;
  std::string split_by;
  bool by_rollout = false;  ///< its shares are a rollout's
  std::vector<VersionView> versions;
  std::optional<MirrorView> mirror;
};
struct ListenerView {
  std::string address;
  uint16_t port = 0;
};
struct View {
  std::vector<ListenerView> listeners;
  std::vector<ServiceView> services;
  size_t connections = 0;
};

/// A reverse proxy for HTTP/1.1 in front of model servers: routes, splits, checks, retries, and leaves a PredictionEvent for
/// each request.
///
///   std::unique_ptr<Gateway> gateway = Gateway::Create({clock, sink, registry}, options);
///   RETURN_IF_ERROR(gateway->Start());
///   gateway->SetWeights("digits", {{1, 0.9}, {2, 0.1}});
///
/// Thread-safe. What it is given must outlive it.
class Gateway : public net::DrainableServer {
 public:
  struct Deps {
    Clock& clock;
    Sink& sink;
    Registry& registry;
    /// Gets copies of the bodies of predictions, with their events; null: bodies are not looked at.
    ExchangeSink* exchanges = nullptr;
    /// Keeps the listening sockets beyond the gateway, and may have some that another process has listened at. Null: they go with it.
    net::ListenerStore* listeners = nullptr;
  };
  /// Shares of the traffic may be set before it starts.
  static std::unique_ptr<Gateway> Create(Deps deps, Options options);
  ~Gateway() override = default;  ///< drains with no grace

  /// All of Start that can fail, once, then it does nothing: files are read, addresses listened at, endpoints checked, threads started.
  /// Nobody is accepted.
  virtual Status Prepare() = 0;
  /// Prepares, unless that is done, and serves; once. UNAVAILABLE when an address is in use; the message names it. FAILED_PRECONDITION
  /// after BeginDrain.
  virtual Status Start() = 0;
  /// Of one that is prepared: a line for each version whose endpoints have not been checked yet, or whose names were not found.
  virtual std::vector<std::string> Unchecked() const = 0;

  /// Another configuration while it runs, all of it or, with an error, nothing. Requests that have begun go on by the one before, those
  /// that begin are sent by this one; connections, health and counts of endpoints and versions that stay go on. Shares that a rollout or a
  /// person has set stay, a person's unless the configured ones of the service are others now. `planned`: services that have a rollout
  /// plan from now on.
  ///
  /// INVALID_ARGUMENT names what cannot change: threads, and addresses and number of listeners. FAILED_PRECONDITION when a version would go
  /// that has traffic by a rollout, or while it drains. Blocks: for files, for names of new endpoints some seconds at most, and until each
  /// thread has taken it over.
  virtual Status Apply(Options next, const std::set<std::string>& planned) = 0;

  virtual View view() const = 0;
  /// By a person: shares of a service's versions; those that are left out get none. NOT_FOUND, INVALID_ARGUMENT (unknown
  /// version, not 100 % together), FAILED_PRECONDITION while a rollout decides; unless it is `over_rollout`, which then decides
  /// no more.
  virtual Status SetWeights(const std::string& service, const std::map<int64_t, double>& weights,
                            bool over_rollout = false) = 0;
  /// What a person has set of a service, and what was configured then.
  struct WeightsByPerson {
    std::map<int64_t, double> set, configured;
  };
  virtual std::map<std::string, WeightsByPerson> weights_by_person() const = 0;
  /// Those of the process that this one takes the place of; before a rollout decides. As at Apply: of services whose configured ones are
  /// others now they are not in force.
  virtual void TakeWeights(const std::map<std::string, WeightsByPerson>& weights) = 0;
  /// By a rollout: the whole wanted traffic of a model. `stable` 0: it does not decide any more, and if it did the shares are the
  /// configured ones; that is right of a service that is not there any more, too. With a `mirror_share` the candidate gets copies of so
  /// many of the requests; otherwise the configured mirror does. A sticky split goes by `seed`, without one by that of the service.
  /// NOT_FOUND when there is no such service or version.
  virtual Status SetTraffic(const std::string& service, int64_t stable, int64_t candidate,
                            double candidate_share, double mirror_share = 0,
                            std::optional<uint64_t> seed = std::nullopt) = 0;
  /// Versions that would answer now, ascending. Empty for an unknown service.
  virtual std::vector<int64_t> ReadyVersions(const std::string& service) const = 0;
  /// How many endpoints each version has, and how many of them would answer now. Empty for an unknown service.
  struct EndpointCounts {
    int ready = 0, all = 0;
    std::string why_none = {};  ///< of those that would answer, in words; empty: there is one
  };
  virtual std::map<int64_t, EndpointCounts> Endpoints(const std::string& service) const = 0;
  /// Copies for a version that it is to blame for not getting, ever: it was busy with too many, had no healthy endpoint, or was not reached.
  virtual uint64_t CopiesNotTaken(const std::string& service, int64_t version) const = 0;
  /// The version that has most of a service's traffic, the lowest of several; nothing once a rollout decides, or for an
  /// unknown service.
  virtual std::optional<int64_t> MainVersion(const std::string& service) const = 0;
  virtual std::vector<std::string> services() const = 0;
  /// Reads TLS files again that have changed. Blocks for them, otherwise for a stat of each.
  virtual void CheckFiles() = 0;
  /// What the start still waits for: a line each. Empty from then on.
  virtual std::vector<std::string> Awaited() const = 0;
  /// Versions with a share of the traffic, or that of a mirror, of which no endpoint would answer: a line each.
  virtual std::vector<std::string> Problems() const = 0;
};

}  // namespace leadsman::gateway
