#include "gateway/gateway.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "base/cpu.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "gateway/health_checker.h"
#include "gateway/metrics.h"
#include "gateway/upstream_tls.h"
#include "gateway/worker.h"
#include "net/listener.h"
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
    RETURN_IF_ERROR(LoadUpstreamTls(shared_));
    RETURN_IF_ERROR(ReadCertificates());
    RETURN_IF_ERROR(Listen());
    RETURN_IF_ERROR(Run());
    started_ = true;
    return OkStatus();
  }

  Status ReadCertificates() {
    for (size_t i = 0; i < shared_.options.listeners.size(); ++i) {
      const net::TlsServerOptions& tls = shared_.options.listeners[i].tls;
      certificates_.push_back(nullptr);
      if (!tls.enabled()) continue;
      auto made = net::ServerCertificates::Create(tls, deps_.clock);
      if (!made.ok()) return Annotate(made.status(), StrCat("gateway.listeners[", i, "].tls"));
      certificates_.back() = std::move(made).value();
    }
    return OkStatus();
  }

  Status Listen() {
    // Offered, HTTP/2 is what most clients take: of no use to who asks a service that does not speak it.
    const bool http2 = std::any_of(shared_.options.services.begin(), shared_.options.services.end(),
                                   [](const ServiceOptions& service) { return service.http2(); });
    const int threads =
        shared_.options.io_threads > 0 ? shared_.options.io_threads : AvailableCores();
    std::vector<std::vector<Worker::Listening>> sockets(static_cast<size_t>(threads));
    Status wrong;
    for (size_t of = 0; of < shared_.options.listeners.size(); ++of) {
      const ListenerOptions& listener = shared_.options.listeners[of];
      const bool offers_http2 = http2 && listener.protocol == ListenerOptions::Protocol::kAuto;
      auto group = net::Listen(listener.address, listener.port, threads);
      if (!group.ok()) {
        wrong = Annotate(group.status(), "gateway.listeners");
        break;
      }
      for (size_t i = 0; i < sockets.size(); ++i)
        sockets[i].push_back({group->sockets[i], listener, certificates_[of], offers_http2});
      listeners_.push_back({listener.address, group->port});
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

  Status Run() {
    ASSIGN_OR_RETURN(health_, HealthChecker::Start(shared_.services));
    registrations_ = AddGatewayMetrics(shared_, deps_.registry);
    for (size_t i = 0; i < shared_.workers.size(); ++i) {
      {
        MutexLock lock(running_mutex_);
        ++running_;
      }
      auto thread = StartThread(StrCat("gateway-", i), [this, worker = shared_.workers[i]] {
        worker->Run();
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
    for (const auto& service : shared_.services) {
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
        if (started_) AddCounts(*version, shown);
        for (const auto& endpoint : version->endpoints)
          shown.endpoints.push_back(ViewOf(*endpoint, now));
      }
      if (const Mirror* mirror = service->mirror) one.mirror = MirrorViewOf(*mirror);
    }
    return view;
  }

  Status SetWeights(const std::string& name, const std::map<int64_t, double>& weights) override {
    Service* service = Find(name);
    if (service == nullptr) return NoService(name);
    for (const auto& [number, weight] : weights) {
      if (service->Find(number) == nullptr) return NoVersion(*service, number);
    }
    std::vector<double> shares;
    for (int64_t number : service->numbers()) {
      const auto at = weights.find(number);
      shares.push_back(at == weights.end() ? 0 : at->second);
    }
    ASSIGN_OR_RETURN(std::vector<uint32_t> parts, PartsOf(shares));
    MutexLock lock(traffic_mutex_);
    if (by_rollout_.contains(name)) {
      return FailedPreconditionError(
          StrCat("a rollout decides on the traffic of ", name,
                 ": use `leadsman rollout promote` or `abort`, or take its plan out of the "
                 "configuration"));
    }
    service->split.Set(std::make_shared<Split>(service->numbers(), std::move(parts), false));
    LOG_INFO("weights set", {"service", name}, {"versions", weights.size()});
    return OkStatus();
  }

  Status SetTraffic(const std::string& name, int64_t stable, int64_t candidate, double share,
                    double mirror_share) override {
    Service* service = Find(name);
    if (service == nullptr) return NoService(name);
    std::vector<uint32_t> parts(service->versions.size(), 0);
    bool compared = false;
    const Version* shadow = nullptr;
    if (stable == 0) {
      parts = ConfiguredParts(service->options);
    } else {
      const Version* old_one = service->Find(stable);
      if (old_one == nullptr) return NoVersion(*service, stable);
      parts[old_one->index] = Split::kParts;
      if (candidate != 0) {
        const Version* new_one = service->Find(candidate);
        if (new_one == nullptr) return NoVersion(*service, candidate);
        const auto mine =
            static_cast<uint32_t>(std::lround(std::clamp(share, 0.0, 1.0) * Split::kParts));
        parts[old_one->index] -= mine;
        parts[new_one->index] = mine;
        compared = mine > 0;
        if (mirror_share > 0) shadow = new_one;
      }
    }
    if (shadow != nullptr && service->mirrors.empty()) {
      return UnimplementedError(StrCat(
          "of service ", name,
          " no copies can be made: they are made of HTTP/1.1 requests alone; use a rollout without "
          "mirrors"));
    }
    MutexLock lock(traffic_mutex_);
    service->SetMirror(shadow, mirror_share);
    if (stable == 0) {
      by_rollout_.erase(name);
    } else {
      by_rollout_.insert(name);
    }
    service->split.Set(std::make_shared<Split>(service->numbers(), std::move(parts), compared));
    return OkStatus();
  }

  std::vector<int64_t> ReadyVersions(const std::string& name) const override {
    std::vector<int64_t> ready;
    const SteadyTime now = deps_.clock.SteadyNow();
    const Service* service = Find(name);
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
    const Service* service = Find(name);
    if (service == nullptr) return counts;
    for (const auto& version : service->versions) {
      counts[version->number] = {static_cast<int>(version->ReadyEndpoints(now)),
                                 static_cast<int>(version->endpoints.size())};
    }
    return counts;
  }

  std::optional<int64_t> MainVersion(const std::string& name) const override {
    const Service* service = Find(name);
    if (service == nullptr) return std::nullopt;
    MutexLock lock(traffic_mutex_);
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
    for (const auto& service : shared_.services) names.push_back(service->options.name);
    return names;
  }

  void CheckFiles() override {
    if (!started_) return;
    for (const auto& certificates : certificates_) {
      if (certificates) certificates->CheckFiles();
    }
    // Versions of a service may share theirs.
    std::set<net::TlsClientFiles*> of_versions;
    for (const Version* version : shared_.versions) {
      if (version->tls && of_versions.insert(version->tls.get()).second) version->tls->CheckFiles();
    }
  }

  std::vector<std::string> Awaited() const override {
    if (!started_) return {"the gateway is starting"};
    std::vector<std::string> awaited;
    for (const auto& service : shared_.services) {
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
    for (const auto& service : shared_.services) {
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
  /// Over all threads; those are complete once it has started.
  void AddCounts(const Version& version, VersionView& shown) const {
    for (const auto& worker : shared_.workers) {
      const VersionCounters& counters = worker->counters().versions[version.id];
      for (const Counter& answers : counters.answers) shown.requests += answers.value();
      shown.errors += counters.answers[5].value();
      shown.retries += counters.retries.value();
    }
  }
  MirrorView MirrorViewOf(const Mirror& mirror) const {
    MirrorView view;
    view.version = mirror.version.number;
    view.share = mirror.parts / double{Split::kParts};
    view.in_flight = mirror.under_way.load();
    if (!started_) return view;
    for (const auto& worker : shared_.workers) {
      const MirrorCounters& counters = worker->counters().mirrors[mirror.id];
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
  Service* Find(const std::string& name) const {
    for (const auto& service : shared_.services) {
      if (service->options.name == name) return service.get();
    }
    return nullptr;
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
  std::atomic<bool> started_{false};
  std::vector<std::shared_ptr<net::ServerCertificates>>
      certificates_;  ///< by listener; null: plain
  std::vector<ListenerView> listeners_;
  std::unique_ptr<HealthChecker> health_;
  mutable Mutex traffic_mutex_;  ///< one change of shares at a time
  std::set<std::string> by_rollout_ GUARDED_BY(traffic_mutex_);
  std::vector<Registry::Registration> registrations_;
  Mutex running_mutex_;
  CondVar ended_;
  size_t running_ GUARDED_BY(running_mutex_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Gateway> Gateway::Create(Deps deps, Options options) {
  return std::make_unique<Impl>(deps, std::move(options));
}

}  // namespace leadsman::gateway
