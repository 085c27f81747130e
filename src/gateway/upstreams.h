#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/snapshot.h"
#include "gateway/config.h"
#include "gateway/counters.h"
#include "gateway/endpoint_health.h"
#include "gateway/mirror.h"
#include "gateway/split.h"
#include "net/http_server.h"
#include "net/resolver.h"

// What all I/O threads share of the upstreams. Structure is fixed after construction; what changes is atomic or a snapshot. Another
// configuration is another Service with other Versions, which share what goes on: endpoints, counters, budgets.

namespace leadsman::net {
class TlsClientFiles;
}  // namespace leadsman::net

namespace leadsman::gateway {

using Addresses = std::vector<net::SocketAddress>;

/// Whether connecting has failed, with this errno, because this process or machine can open no more: that says nothing of the
/// other side.
bool IsOurFault(int error);

/// One host and port of a version. Stays the same one as long as it stands in the configuration, and then until the last request has
/// left it.
struct Endpoint {
  Endpoint(std::string endpoint_name, size_t endpoint_id);

  const std::string name;  ///< "127.0.0.1:5000"
  const size_t id;         ///< among all of the gateway; another one's once this one is gone
  std::string host, port;
  EndpointHealth health;
  Snapshot<Addresses> addresses;  ///< empty: not found (yet)
  std::atomic<uint32_t> next_address{0};
  std::atomic<size_t> connections{0};  ///< open, used or not
  std::atomic<size_t> active{0};       ///< requests under way
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> failures{0};

  /// Whether its name still stands for this one.
  bool Has(const net::SocketAddress& address) const;
};

/// Whose place an Endpoint::id is. A place is given again when nobody knows its endpoint any more.
using EndpointPlaces = std::vector<std::weak_ptr<Endpoint>>;

struct Service;

struct Version {
  Version(int64_t version_number, size_t version_index, Service& of,
          std::shared_ptr<VersionState> version_state);

  const int64_t number;
  const size_t index;  ///< in its service
  Service* const service;
  const std::shared_ptr<VersionState> state;
  std::atomic<size_t>& pending;  ///< of the state
  std::vector<std::shared_ptr<Endpoint>> endpoints;
  std::shared_ptr<net::TlsClientFiles> tls;  ///< null: plain text; set before the first request
  std::string server_name;                   ///< tls: instead of the endpoint's host, if not empty

  /// A connection that was made for the other one would be made the same way for this one.
  bool SpokenToAs(const Version& other) const;
  /// It was ready by the table before this one: an endpoint that no check has looked at yet counts as ready. Set before the table
  /// is in force.
  bool trusted = false;

  /// The less busy of two drawn among those that get requests, another one than `avoid` if there is one; where there is none,
  /// among those that are ejected, and then `avoid`. Null when all have failed their checks.
  /// One that is to be checked, and has not been yet, is only taken where no other is known to be well.
  Endpoint* Pick(Rng& rng, SteadyTime now, const Endpoint* avoid) const;
  /// Whether requests would be answered, as far as is known: an endpoint is there that has passed its check; without checks,
  /// one that is not ejected.
  bool Ready(SteadyTime now) const { return ReadyEndpoints(now) > 0; }
  /// How many of its endpoints are so.
  size_t ReadyEndpoints(SteadyTime now) const;
  /// In words, for when Pick has found none.
  std::string WhyNone(SteadyTime now) const;
  /// What became of a request to one of its endpoints. May eject that.
  void OnResult(Endpoint& endpoint, bool failed, const std::string& why, SteadyTime now) const;
};

/// Keeps a version, and all of the configuration that it stands in.
using VersionRef = std::shared_ptr<const Version>;

/// Which version a request goes to.
struct Choice {
  const Version* version = nullptr;  ///< null: it names one that there is not
  bool drawn = false;                ///< and is evidence
};
Choice ChooseVersion(const Service& service, const net::HttpRequest& request,
                     std::string_view client, Rng& rng);
/// What a client that has named one that there is not is told.
std::string WhyNoVersion(const Service& service, const net::HttpRequest& request);

/// How many requests are sent again at once. Thread-safe.
class RetryBudget {
 public:
  void Begin() { under_way_.fetch_add(1, std::memory_order_relaxed); }
  void End() { under_way_.fetch_sub(1, std::memory_order_relaxed); }
  bool TryRetry(const RetryOptions& options);
  void RetryEnded() { retrying_.fetch_sub(1, std::memory_order_relaxed); }
  int64_t under_way() const { return under_way_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> under_way_{0};
  std::atomic<int64_t> retrying_{0};
};

struct Service {
  /// `before`: the same service in the configuration before this one; null: there was none.
  Service(ServiceOptions service_options, const Service* before, EndpointPlaces& places,
          size_t workers);

  const ServiceOptions options;
  std::vector<std::unique_ptr<Version>> versions;
  Snapshot<Split> split;
  const std::shared_ptr<RetryBudget> budget_state;
  RetryBudget& budget;
  std::vector<std::unique_ptr<Mirror>> mirrors;  ///< by version
  std::atomic<Mirror*> mirror{nullptr};  ///< of these, the one that gets copies; null: none does

  /// Copies of this share of the requests for a version of it; null: none are made.
  void SetMirror(const Version* shadow, double share);
  void SetMirror();  ///< as configured
  std::vector<int64_t> numbers() const;
  const Version* Find(int64_t number) const;
};

}  // namespace leadsman::gateway
