#include "gateway/gateway.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "gateway/health_checker.h"
#include "gateway/metrics.h"
#include "gateway/upstream_tls.h"
#include "gateway/worker.h"
#include "net/listener_store.h"
#include "net/tls_client_files.h"
#include "net/tls_server.h"

namespace leadsman::gateway {
namespace {

using std::chrono::milliseconds;

std::string_view SplitByName(SplitOptions::By by) {
  switch (by) {
    case SplitOptions::By::kRandom:
      return "random";
    case SplitOptions::By::kHeader:
      return "header";
    case SplitOptions::By::kCookie:
      return "cookie";
    case SplitOptions::By::kClient:
      return "client";
  }
  return "random";
}

EndpointView ViewOf(const Endpoint& endpoint, SteadyTime now) {
  EndpointView view;
  view.endpoint = endpoint.name;
  view.connections = endpoint.connections.load();
  view.active = endpoint.active.load();
  view.requests = endpoint.requests.load();
  view.failures = endpoint.failures.load();
  view.ejections = endpoint.health.ejections();
  const EndpointHealth::State state = endpoint.health.state();
  if (endpoint.addresses.Get()->empty()) {
    view.state = "unresolved";
    view.reason = "its name was not found";
  } else if (state == EndpointHealth::State::kUnhealthy) {
    view.state = "unhealthy";
    view.reason = endpoint.health.reason();
  } else if (endpoint.health.Ejected(now)) {
    view.state = "ejected";
    view.reason = endpoint.health.reason();
  } else {
    view.state = state == EndpointHealth::State::kHealthy ? "healthy" : "unknown";
  }
  return view;
}

/// What a running gateway cannot change. Names the field, and says what to do.
Status CheckFixed(const Options& now, const Options& next) {
  std::vector<std::string> wrong;
  auto fixed = [&](const std::string& field, const auto& from, const auto& to) {
    if (from != to) wrong.push_back(StrCat(field, " (", from, " → ", to, ")"));
  };
  fixed("gateway.io_threads", now.io_threads, next.io_threads);
  fixed("the number of gateway.listeners", now.listeners.size(), next.listeners.size());
  for (size_t i = 0; i < std::min(now.listeners.size(), next.listeners.size()); ++i) {
    const std::string at = StrCat("gateway.listeners[", i, "].");
    fixed(at + "address", now.listeners[i].address, next.listeners[i].address);
    fixed(at + "port", now.listeners[i].port, next.listeners[i].port);
  }
  if (wrong.empty()) return OkStatus();
  return InvalidArgumentError(
      StrCat(HumanList(wrong),
             " cannot change while the gateway runs: leave it as it was, or "
             "restart the gateway"));
}

/// The versions that the configuration gives traffic to, and how much.
std::map<int64_t, uint32_t> ConfiguredShares(const ServiceOptions& service) {
  const std::vector<uint32_t> parts = ConfiguredParts(service);
  std::map<int64_t, uint32_t> shares;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] > 0) shares[service.versions[i].version] = parts[i];
  }
  return shares;
}

std::map<int64_t, double> SharesOf(const std::map<int64_t, uint32_t>& parts) {
  std::map<int64_t, double> shares;
  for (const auto& [version, part] : parts) shares[version] = part / double{Split::kParts};
  return shares;
}

/// Tells when all have come, or gone.
class Latch {
 public:
  explicit Latch(size_t count) : left_(count) {}
  void CountDown() {
    MutexLock lock(mutex_);
    --left_;
    changed_.NotifyAll();
  }
  /// False when that takes longer.
  bool Wait(milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    MutexLock lock(mutex_);
    while (left_ > 0) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      changed_.WaitFor(mutex_, left);
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  size_t left_ GUARDED_BY(mutex_);
};

/// For the names of new endpoints, at a reload.
constexpr milliseconds kNamePatience{5'000};
/// For each thread to take a configuration over: one that is that busy does so later.
constexpr milliseconds kAdoptPatience{2'000};

class Impl final : public Gateway {
 public:
  Impl(Deps deps, Options options)
      : deps_(deps), shared_(std::move(options), deps.clock, deps.sink, deps.exchanges) {}
  ~Impl() override {
    BeginDrain(milliseconds(0));
    for (std::thread& thread : threads_) thread.join();
    registrations_.clear();
  }

  Status Start() override {
    RETURN_IF_ERROR(Prepare());
    MutexLock lock(running_mutex_);
    if (gate_ == Gate::kGone) return FailedPreconditionError("the gateway is draining");
    gate_ = Gate::kOpen;
    gate_changed_.NotifyAll();
    started_ = true;
    return OkStatus();
  }

  Status Prepare() override {
    if (prepared_) return OkStatus();
    const auto table = shared_.MakeTable(shared_.table()->options);
    RETURN_IF_ERROR(LoadUpstreamTls(*table, nullptr, deps_.clock));
    ASSIGN_OR_RETURN(Certificates certificates, ReadCertificates(table->options, {}));
    {
      MutexLock lock(traffic_mutex_);
      for (const auto& service : table->services) SetShares(*service);
      shared_.SetTable(table);
      certificates_ = std::move(certificates);
    }
    RETURN_IF_ERROR(Listen(*table));
    ASSIGN_OR_RETURN(health_, HealthChecker::Create());
    RETURN_IF_ERROR(health_->Prepare(*table, milliseconds(0)));
    health_->Adopt(table);
    RETURN_IF_ERROR(StartThreads());
    registrations_ = AddGatewayMetrics(shared_, deps_.registry);
    prepared_ = true;
    return OkStatus();
  }

  Status Apply(Options next, const std::set<std::string>& planned) override {
    MutexLock one(apply_mutex_);
    if (!started_) return UnavailableError("the gateway is starting; try again in a moment");
    if (draining_) return FailedPreconditionError("the gateway is draining");
    const auto before = shared_.table();
    RETURN_IF_ERROR(CheckFixed(before->options, next));
    const std::shared_ptr<Table> table = shared_.MakeTable(std::move(next));
    RETURN_IF_ERROR(LoadUpstreamTls(*table, before.get(), deps_.clock));
    ASSIGN_OR_RETURN(Certificates certificates,
                     ReadCertificates(table->options, before->options.listeners));
    RETURN_IF_ERROR(health_->Prepare(*table, kNamePatience));
    std::vector<Worker::Listening> listeners;
    {
      MutexLock lock(traffic_mutex_);
      RETURN_IF_ERROR(CheckRollouts(*table, planned));
      // From here on nothing is refused.
      TakeShares(*before, *table);
      Trust(*before, *table);
      certificates_ = std::move(certificates);
      listeners = ListeningOf(table->options);
      shared_.SetTable(table);
    }
    const auto latch = std::make_shared<Latch>(shared_.workers.size());
    for (const auto& worker : shared_.workers)
      worker->Adopt(listeners, [latch] { latch->CountDown(); });
    health_->Adopt(table);
    if (!latch->Wait(kAdoptPatience))
      LOG_WARN("a thread of the gateway is busy, and takes the configuration over later");
    LOG_INFO("gateway goes on with another configuration", {"services", table->services.size()},
             {"versions", table->versions.size()}, {"routes", table->options.routes.size()});
    return OkStatus();
  }

  using Certificates = std::vector<std::shared_ptr<net::ServerCertificates>>;  ///< null: plain text

  /// Those of `before` whose settings are the same are taken over.
  Result<Certificates> ReadCertificates(const Options& options,
                                        const std::vector<ListenerOptions>& before) {
    Certificates certificates;
    for (size_t i = 0; i < options.listeners.size(); ++i) {
      const net::TlsServerOptions& tls = options.listeners[i].tls;
      certificates.push_back(nullptr);
      if (!tls.enabled()) continue;
      if (i < before.size() && before[i].tls == tls) {
        MutexLock lock(traffic_mutex_);
        certificates.back() = certificates_[i];
        continue;
      }
      auto made = net::ServerCertificates::Create(tls, deps_.clock);
      if (!made.ok()) return Annotate(made.status(), StrCat("gateway.listeners[", i, "].tls"));
      certificates.back() = std::move(made).value();
    }
    return certificates;
  }

  /// How each listener's clients are spoken to; without sockets.
  std::vector<Worker::Listening> ListeningOf(const Options& options) const
      REQUIRES(traffic_mutex_) {
    // Offered, HTTP/2 is what most clients take: of no use to who asks a service that does not speak it.
    const bool http2 = std::any_of(options.services.begin(), options.services.end(),
                                   [](const ServiceOptions& service) { return service.http2(); });
    std::vector<Worker::Listening> listening;
    for (size_t of = 0; of < options.listeners.size(); ++of) {
      const ListenerOptions& listener = options.listeners[of];
      const bool offers_http2 = http2 && listener.protocol == ListenerOptions::Protocol::kAuto;
      listening.push_back({-1, of, listener, certificates_[of], offers_http2});
    }
    return listening;
  }

  Status Listen(const Table& table) {
    const size_t threads = shared_.threads;
    std::vector<std::vector<Worker::Listening>> sockets(threads);
    std::vector<Worker::Listening> listening;
    {
      MutexLock lock(traffic_mutex_);
      listening = ListeningOf(table.options);
    }
    Status wrong;
    for (const Worker::Listening& one : listening) {
      auto group = net::ListenBy(deps_.listeners, one.options.address, one.options.port,
                                 static_cast<int>(threads));
      if (!group.ok()) {
        wrong = Annotate(group.status(), "gateway.listeners");
        break;
      }
      // There may be more of them: a process with more threads has opened them, and clients wait in each.
      for (size_t i = 0; i < group->sockets.size(); ++i) {
        auto& of_worker = sockets[i % threads];
        of_worker.push_back(one);
        of_worker.back().socket = group->sockets[i];
        of_worker.back().handed_over = group->handed_over;
      }
      listeners_.push_back({one.options.address, group->port});
    }
    if (!wrong.ok()) {
      for (const auto& of_worker : sockets) {
        for (const Worker::Listening& one : of_worker) close(one.socket);
      }
      return wrong;
    }
    for (auto& of_worker : sockets) {
      shared_.workers.push_back(std::make_shared<Worker>(shared_, std::move(of_worker)));
      if (!shared_.workers.back()->valid())
        wrong = ResourceExhaustedError("no descriptors are left for the gateway's threads");
    }
    return wrong;
  }

  /// They wait for Start.
  Status StartThreads() {
    for (size_t i = 0; i < shared_.workers.size(); ++i) {
      {
        MutexLock lock(running_mutex_);
        ++running_;
      }
      auto thread = StartThread(StrCat("gateway-", i), [this, worker = shared_.workers[i]] {
        if (AwaitGate()) worker->Run();
        MutexLock lock(running_mutex_);
        --running_;
        ended_.NotifyAll();
      });
      if (!thread.ok()) {
        MutexLock lock(running_mutex_);
        --running_;
        return thread.status();
      }
      threads_.push_back(std::move(thread).value());
    }
    return OkStatus();
  }

  View view() const override {
    View view;
    if (started_) view.listeners = listeners_;
    view.connections = shared_.open.load();
    const SteadyTime now = deps_.clock.SteadyNow();
    const auto table = shared_.table();
    for (const auto& service : table->services) {
      ServiceView& one = view.services.emplace_back();
      one.name = service->options.name;
      one.split_by = SplitByName(service->options.split.by);
      {
        MutexLock lock(traffic_mutex_);
        one.by_rollout = by_rollout_.contains(one.name);
      }
      const auto split = service->split.Get();
      for (const auto& version : service->versions) {
        VersionView& shown = one.versions.emplace_back();
        shown.version = version->number;
        shown.share = split->parts(version->index) / double{Split::kParts};
        shown.ready = version->Ready(now);
        shown.pending = version->pending.load();
        AddCounts(*version, shown);
        for (const auto& endpoint : version->endpoints)
          shown.endpoints.push_back(ViewOf(*endpoint, now));
      }
      if (const Mirror* mirror = service->mirror) one.mirror = MirrorViewOf(*mirror);
    }
    return view;
  }

  Status SetWeights(const std::string& name, const std::map<int64_t, double>& weights,
                    bool over_rollout) override {
    MutexLock lock(traffic_mutex_);
    const auto table = shared_.table();
    Service* service = table->Find(name);
    if (service == nullptr) return NoService(name);
    for (const auto& [number, weight] : weights) {
      if (service->Find(number) == nullptr) return NoVersion(*service, number);
    }
    const std::vector<int64_t> numbers = service->numbers();
    std::vector<double> shares;
    for (int64_t number : numbers) {
      const auto at = weights.find(number);
      shares.push_back(at == weights.end() ? 0 : at->second);
    }
    ASSIGN_OR_RETURN(std::vector<uint32_t> parts, PartsOf(shares));
    if (over_rollout) by_rollout_.erase(name);
    if (by_rollout_.contains(name)) {
      return FailedPreconditionError(
          StrCat("a rollout decides on the traffic of ", name,
                 ": use `leadsman rollout promote` or `abort`, or take its plan out of the "
                 "configuration"));
    }
    auto& set = by_person_[name];
    set.clear();
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] > 0) set[numbers[i]] = parts[i];
    }
    SetShares(*service);
    LOG_INFO("weights set", {"service", name}, {"versions", weights.size()});
    return OkStatus();
  }

  std::map<std::string, WeightsByPerson> weights_by_person() const override {
    MutexLock lock(traffic_mutex_);
    const auto table = shared_.table();
    std::map<std::string, WeightsByPerson> weights;
    for (const auto& [name, parts] : by_person_) {
      const Service* const service = table->Find(name);
      if (service != nullptr)
        weights[name] = {SharesOf(parts), SharesOf(ConfiguredShares(service->options))};
    }
    return weights;
  }

  void TakeWeights(const std::map<std::string, WeightsByPerson>& weights) override {
    const auto table = shared_.table();
    for (const auto& [name, taken] : weights) {
      const Service* const service = table->Find(name);
      const bool stays =
          service != nullptr && SharesOf(ConfiguredShares(service->options)) == taken.configured;
      const Status set =
          stays ? SetWeights(name, taken.set, false)
                : FailedPreconditionError("they have changed since, or the service has gone");
      if (!set.ok())
        LOG_WARN("the configured weights are in force again", {"service", name}, {"reason", set});
    }
  }

  Status SetTraffic(const std::string& name, int64_t stable, int64_t candidate, double share,
                    double mirror_share, std::optional<uint64_t> seed) override {
    MutexLock lock(traffic_mutex_);
    const auto table = shared_.table();
    Service* service = table->Find(name);
    if (service == nullptr && stable != 0) return NoService(name);
    for (int64_t number : {stable, stable != 0 ? candidate : 0}) {
      if (number != 0 && service->Find(number) == nullptr) return NoVersion(*service, number);
    }
    const bool mirrors = stable != 0 && candidate != 0 && mirror_share > 0;
    if (stable == 0) {
      // What a person has set since is not the rollout's to take away.
      if (by_rollout_.erase(name) == 0) return OkStatus();
    } else {
      by_person_.erase(name);
      by_rollout_[name] = {stable, candidate, share, mirrors ? mirror_share : 0, seed};
    }
    if (service != nullptr) SetShares(*service);
    return OkStatus();
  }

  std::vector<int64_t> ReadyVersions(const std::string& name) const override {
    std::vector<int64_t> ready;
    const SteadyTime now = deps_.clock.SteadyNow();
    const auto table = shared_.table();
    const Service* service = table->Find(name);
    if (service == nullptr) return ready;
    for (const auto& version : service->versions) {
      if (version->Ready(now)) ready.push_back(version->number);
    }
    std::sort(ready.begin(), ready.end());
    return ready;
  }

  std::map<int64_t, EndpointCounts> Endpoints(const std::string& name) const override {
    std::map<int64_t, EndpointCounts> counts;
    const SteadyTime now = deps_.clock.SteadyNow();
    const auto table = shared_.table();
    const Service* service = table->Find(name);
    if (service == nullptr) return counts;
    for (const auto& version : service->versions) {
      EndpointCounts& of = counts[version->number];
      of.ready = static_cast<int>(version->ReadyEndpoints(now));
      of.all = static_cast<int>(version->endpoints.size());
      if (of.ready == 0) of.why_none = version->WhyNone(now);
    }
    return counts;
  }

  uint64_t CopiesNotTaken(const std::string& name, int64_t number) const override {
    const auto table = shared_.table();
    const Service* const service = table->Find(name);
    const Version* const version = service != nullptr ? service->Find(number) : nullptr;
    if (version == nullptr) return 0;
    uint64_t sum = 0;
    for (const MirrorCounters& counters : service->mirrors[version->index]->state->counters) {
      for (const Unsent reason : {Unsent::kBusy, Unsent::kNoEndpoint, Unsent::kNotConnected})
        sum += counters.unsent[static_cast<size_t>(reason)].value();
    }
    return sum;
  }

  std::optional<int64_t> MainVersion(const std::string& name) const override {
    MutexLock lock(traffic_mutex_);
    const auto table = shared_.table();
    const Service* service = table->Find(name);
    if (service == nullptr) return std::nullopt;
    if (by_rollout_.contains(name)) return std::nullopt;
    const auto split = service->split.Get();
    const Version* main = nullptr;
    for (const auto& version : service->versions) {
      const uint32_t parts = split->parts(version->index);
      const uint32_t most = main == nullptr ? 0 : split->parts(main->index);
      if (main == nullptr || parts > most || (parts == most && version->number < main->number))
        main = version.get();
    }
    return main->number;
  }

  std::vector<std::string> services() const override {
    std::vector<std::string> names;
    const auto table = shared_.table();
    for (const auto& service : table->services) names.push_back(service->options.name);
    return names;
  }

  void CheckFiles() override {
    if (!started_) return;
    Certificates of_listeners;
    {
      MutexLock lock(traffic_mutex_);
      of_listeners = certificates_;
    }
    for (const auto& certificates : of_listeners) {
      if (certificates) certificates->CheckFiles();
    }
    // Versions of a service may share theirs.
    std::set<net::TlsClientFiles*> of_versions;
    const auto table = shared_.table();
    for (const Version* version : table->versions) {
      if (version->tls && of_versions.insert(version->tls.get()).second) version->tls->CheckFiles();
    }
  }

  std::vector<std::string> Awaited() const override {
    if (!started_) return {"the gateway is starting"};
    if (settled_) return {};  // what a reload adds takes nobody out of service
    const auto table = shared_.table();
    std::vector<std::string> awaited = NotChecked(*table);
    settled_ = awaited.empty();
    return awaited;
  }

  std::vector<std::string> Unchecked() const override {
    const auto table = shared_.table();
    std::vector<std::string> unchecked = NotChecked(*table);
    for (const Version* version : table->versions) {
      const bool known =
          std::any_of(version->endpoints.begin(), version->endpoints.end(),
                      [](const auto& endpoint) { return !endpoint->addresses.Get()->empty(); });
      if (!known)
        unchecked.push_back(StrCat("names of service ", version->service->options.name, " version ",
                                   version->number, " are being looked up"));
    }
    return unchecked;
  }

  static std::vector<std::string> NotChecked(const Table& table) {
    std::vector<std::string> awaited;
    for (const auto& service : table.services) {
      if (service->options.health.path.empty()) continue;
      for (const auto& version : service->versions) {
        // One that is known is enough; those that are not well are known, too.
        const bool known = std::any_of(
            version->endpoints.begin(), version->endpoints.end(), [](const auto& endpoint) {
              return endpoint->health.state() != EndpointHealth::State::kUnknown;
            });
        if (!known)
          awaited.push_back(StrCat("service ", service->options.name, " version ", version->number,
                                   " is being checked"));
      }
    }
    return awaited;
  }

  std::vector<std::string> Problems() const override {
    std::vector<std::string> problems;
    const SteadyTime now = deps_.clock.SteadyNow();
    const auto table = shared_.table();
    for (const auto& service : table->services) {
      const auto split = service->split.Get();
      for (const auto& version : service->versions) {
        const Mirror* const mirror = service->mirror;
        const bool mirrors = mirror != nullptr && &mirror->version == version.get();
        if ((split->parts(version->index) == 0 && !mirrors) || version->Ready(now)) continue;
        problems.push_back(StrCat("service ", service->options.name, " version ", version->number,
                                  mirrors ? " (mirror): " : ": ", version->WhyNone(now)));
      }
    }
    return problems;
  }

  std::string_view drain_name() const override { return "gateway"; }
  void BeginDrain(milliseconds grace) override {
    draining_ = true;
    {
      MutexLock lock(running_mutex_);
      if (gate_ == Gate::kShut) gate_ = Gate::kGone;
      gate_changed_.NotifyAll();
    }
    for (const auto& worker : shared_.workers) worker->BeginDrain(grace);
  }
  bool AwaitDrained(milliseconds wait) override {
    const auto until = std::chrono::steady_clock::now() + wait;
    MutexLock lock(running_mutex_);
    while (running_ > 0) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      ended_.WaitFor(running_mutex_, left);
    }
    return true;
  }

 private:
  /// Before threads that are there already.
  enum class Gate { kShut, kOpen, kGone };
  /// False: it has ended before it began.
  bool AwaitGate() {
    MutexLock lock(running_mutex_);
    while (gate_ == Gate::kShut) gate_changed_.WaitFor(running_mutex_, std::chrono::minutes(1));
    return gate_ == Gate::kOpen;
  }

  /// What a rollout has said.
  struct Traffic {
    int64_t stable = 0, candidate = 0;
    double candidate_share = 0;
    double mirror_share =
        0;  ///< of requests that the candidate gets copies of; 0: the configured mirror is in force
    std::optional<uint64_t> seed;  ///< of a sticky split; none: the service's
  };

  void SetShares(Service& service) const REQUIRES(traffic_mutex_) {
    service.split.Set(SplitOf(service));
    const auto rollout = by_rollout_.find(service.options.name);
    if (rollout == by_rollout_.end()) return service.SetMirror();
    const Traffic& wanted = rollout->second;
    if (wanted.mirror_share > 0)
      return service.SetMirror(service.Find(wanted.candidate), wanted.mirror_share);
    // A candidate that has clients is judged by them alone: a copy's end must not count as further evidence.
    const bool judged = wanted.candidate != 0 && service.options.mirror &&
                        service.options.mirror->version == wanted.candidate;
    if (judged) return service.SetMirror(nullptr, 0);
    service.SetMirror();
  }

  /// What is wanted of a service: a rollout's word, else a person's, else what is configured. Their versions stand there.
  std::shared_ptr<const Split> SplitOf(const Service& service) const REQUIRES(traffic_mutex_) {
    std::vector<uint32_t> parts(service.versions.size(), 0);
    bool compared = false;
    uint64_t seed = service.options.split.seed;
    const auto rollout = by_rollout_.find(service.options.name);
    const auto person = by_person_.find(service.options.name);
    if (rollout != by_rollout_.end()) {
      const Traffic& wanted = rollout->second;
      seed = wanted.seed.value_or(seed);
      const size_t stable = service.Find(wanted.stable)->index;
      parts[stable] = Split::kParts;
      if (wanted.candidate != 0) {
        const auto mine = static_cast<uint32_t>(
            std::lround(std::clamp(wanted.candidate_share, 0.0, 1.0) * Split::kParts));
        parts[stable] -= mine;
        parts[service.Find(wanted.candidate)->index] = mine;
        compared = mine > 0;
      }
    } else if (person != by_person_.end()) {
      for (const auto& [number, share] : person->second) parts[service.Find(number)->index] = share;
    } else {
      parts = ConfiguredParts(service.options);
    }
    return std::make_shared<Split>(service.numbers(), std::move(parts), compared, seed);
  }

  /// FAILED_PRECONDITION when a version would go that has traffic by a rollout.
  Status CheckRollouts(const Table& next, const std::set<std::string>& planned) const
      REQUIRES(traffic_mutex_) {
    for (const auto& [name, traffic] : by_rollout_) {
      const Service* const service = next.Find(name);
      auto gone = [&](int64_t version) {
        return version != 0 && (service == nullptr || service->Find(version) == nullptr);
      };
      if (traffic.candidate != 0 && (gone(traffic.stable) || gone(traffic.candidate))) {
        return FailedPreconditionError(
            StrCat("gateway.services: a rollout of ", name, " from version ", traffic.stable,
                   " to ", traffic.candidate,
                   " is under way: both must stay until it has ended (`leadsman rollout abort` or "
                   "`promote --full`)"));
      }
      if (planned.contains(name) && gone(traffic.stable)) {
        return FailedPreconditionError(StrCat(
            "gateway.services: version ", traffic.stable, " of ", name,
            " has the traffic by its rollout plan and must stay: release another version "
            "first, take the plan out of the configuration as well, or, where it came with a "
            "rollout's start, set weights"));
      }
    }
    return OkStatus();
  }

  /// A check that a version is new to must not take a rollout of it back before it has looked.
  void Trust(const Table& before, Table& next) const {
    const SteadyTime now = deps_.clock.SteadyNow();
    for (const auto& service : next.services) {
      const Service* const old_one = before.Find(service->options.name);
      for (const auto& version : service->versions) {
        const Version* const known = old_one != nullptr ? old_one->Find(version->number) : nullptr;
        version->trusted = known != nullptr && known->Ready(now);
      }
    }
  }

  /// The shares of what is to be in force.
  void TakeShares(const Table& before, Table& next) REQUIRES(traffic_mutex_) {
    auto lacks = [&](const std::string& name, int64_t version) {
      const Service* const service = next.Find(name);
      return service == nullptr || service->Find(version) == nullptr;
    };
    std::erase_if(by_rollout_,
                  [&](const auto& one) { return lacks(one.first, one.second.stable); });
    std::erase_if(by_person_, [&](const auto& one) {
      const auto& [name, shares] = one;
      const Service* const old_one = before.Find(name);
      const Service* const new_one = next.Find(name);
      if (old_one == nullptr || new_one == nullptr) return true;
      const bool stays = ConfiguredShares(old_one->options) == ConfiguredShares(new_one->options) &&
                         std::none_of(shares.begin(), shares.end(),
                                      [&](const auto& share) { return lacks(name, share.first); });
      if (!stays)
        LOG_WARN(
            "the configured weights are in force again: they have changed since others were set",
            {"service", name});
      return !stays;
    });
    for (const auto& service : next.services) SetShares(*service);
  }

  void AddCounts(const Version& version, VersionView& shown) const {
    for (const VersionCounters& counters : version.state->counters) {
      for (const Counter& answers : counters.answers) shown.requests += answers.value();
      shown.errors += counters.answers[5].value();
      shown.retries += counters.retries.value();
    }
  }
  MirrorView MirrorViewOf(const Mirror& mirror) const {
    MirrorView view;
    view.version = mirror.version.number;
    view.share = mirror.parts / double{Split::kParts};
    view.in_flight = mirror.under_way();
    for (const MirrorCounters& counters : mirror.state->counters) {
      view.sent += counters.sent.value();
      for (const Counter& answers : counters.answers) view.answered += answers.value();
      view.errors += counters.answers[5].value();
      for (size_t i = 0; i < kUnsentReasons; ++i) {
        if (const uint64_t count = counters.unsent[i].value(); count > 0)
          view.unsent[std::string(UnsentName(static_cast<Unsent>(i)))] += count;
      }
      for (size_t i = 0; i < kUnansweredReasons; ++i) {
        if (const uint64_t count = counters.unanswered[i].value(); count > 0)
          view.unanswered[std::string(UnansweredName(static_cast<Unanswered>(i)))] += count;
      }
    }
    return view;
  }
  Status NoService(const std::string& name) const {
    return NotFoundError(
        StrCat("there is no service ", CutUtf8(name, 60), "; services: ", HumanList(services())));
  }
  static Status NoVersion(const Service& service, int64_t number) {
    std::vector<std::string> known;
    for (int64_t one : service.numbers()) known.push_back(std::to_string(one));
    return NotFoundError(StrCat("service ", service.options.name, " has no version ", number,
                                "; versions: ", HumanList(known)));
  }

  const Deps deps_;
  Shared shared_;
  bool prepared_ = false;  ///< of the owner's thread
  std::atomic<bool> started_{false};
  mutable std::atomic<bool> settled_{false};  ///< once nothing was awaited
  std::atomic<bool> draining_{false};
  Mutex apply_mutex_;  ///< one configuration at a time
  std::vector<ListenerView> listeners_;
  std::unique_ptr<HealthChecker> health_;
  mutable Mutex traffic_mutex_;  ///< one change of shares at a time
  std::map<std::string, Traffic> by_rollout_ GUARDED_BY(traffic_mutex_);
  std::map<std::string, std::map<int64_t, uint32_t>> by_person_ GUARDED_BY(traffic_mutex_);
  Certificates certificates_ GUARDED_BY(traffic_mutex_);  ///< by listener
  std::vector<Registry::Registration> registrations_;
  Mutex running_mutex_;
  CondVar ended_, gate_changed_;
  size_t running_ GUARDED_BY(running_mutex_) = 0;
  Gate gate_ GUARDED_BY(running_mutex_) = Gate::kShut;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Gateway> Gateway::Create(Deps deps, Options options) {
  return std::make_unique<Impl>(deps, std::move(options));
}

}  // namespace leadsman::gateway
