#include "gateway/metrics.h"

#include <array>
#include <functional>
#include <string>

#include "gateway/reason.h"

namespace leadsman::gateway {
namespace {

using Samples = std::vector<MetricSample>;

constexpr int kFirstBound = 17;  // 131 µs
constexpr int kLastBound = 35;   // 34 s

MetricSample Sample(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

std::string_view ClassName(size_t of) {
  static constexpr std::array<std::string_view, VersionCounters::kClasses> kNames = {
      "none", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return kNames[of];
}

/// Over all threads.
uint64_t Sum(const Shared& shared, const std::function<uint64_t(const WorkerCounters&)>& of) {
  uint64_t sum = 0;
  for (const auto& worker : shared.workers) sum += of(worker->counters());
  return sum;
}

/// Likewise of what is counted of a version, or of a mirror.
template <typename Counters, typename Of>
double SumOf(const std::vector<Counters>& of_threads, const Of& of) {
  uint64_t sum = 0;
  for (const Counters& counters : of_threads) sum += of(counters).value();
  return static_cast<double>(sum);
}

std::vector<std::string> Labels(const Version& version) {
  return {version.service->options.name, std::to_string(version.number)};
}

std::vector<std::string> With(std::vector<std::string> labels, std::string_view more) {
  labels.emplace_back(more);
  return labels;
}

template <typename Counters>
MetricSample LatencyOf(const Version& version, const std::vector<Counters>& of_threads) {
  FineLatencyBuckets buckets{};
  uint64_t ns = 0;
  for (const Counters& counters : of_threads) {
    for (size_t i = 0; i < buckets.size(); ++i) buckets[i] += counters.latency[i].value();
    ns += counters.latency_ns.value();
  }
  return FineLatencySample(Labels(version), buckets, static_cast<double>(ns) * 1e-9, kFirstBound,
                           kLastBound);
}

class Registrar {
 public:
  Registrar(const Shared& shared, Registry& registry) : shared_(shared), registry_(registry) {}

  /// Of what is in force: the series of what is not end.
  void Add(MetricDescription description, std::function<void(const Table&, Samples&)> read) {
    registrations_.push_back(
        registry_.Add(std::move(description), [&shared = shared_, read = std::move(read)] {
          Samples samples;
          read(*shared.table(), samples);
          return samples;
        }));
  }
  void AddOfVersion(std::string name, std::string help, MetricType type,
                    std::function<double(const Version&)> read) {
    Add({std::move(name), std::move(help), type, {"model", "version"}},
        [read = std::move(read)](const Table& table, Samples& samples) {
          for (const Version* version : table.versions)
            samples.push_back(Sample(Labels(*version), read(*version)));
        });
  }
  void AddOfEndpoint(std::string name, std::string help, MetricType type,
                     std::function<double(const Endpoint&)> read) {
    Add({std::move(name), std::move(help), type, {"model", "version", "endpoint"}},
        [read = std::move(read)](const Table& table, Samples& samples) {
          for (const Version* version : table.versions) {
            for (const auto& endpoint : version->endpoints)
              samples.push_back(Sample(With(Labels(*version), endpoint->name), read(*endpoint)));
          }
        });
  }
  void AddOfMirror(std::string name, std::string help, MetricType type,
                   std::function<double(const Mirror&)> read) {
    Add({std::move(name), std::move(help), type, {"model", "version"}},
        [read = std::move(read)](const Table& table, Samples& samples) {
          for (const Mirror* mirror : table.mirrors) {
            if (mirror->state->used)
              samples.push_back(Sample(Labels(mirror->version), read(*mirror)));
          }
        });
  }
  /// One for each of `count`, by its name.
  void AddOfMirrorBy(const char* label, std::string name, std::string help, size_t count,
                     std::string_view (*name_of)(size_t),
                     const Counter& (*counter)(const MirrorCounters&, size_t)) {
    Add({std::move(name), std::move(help), MetricType::kCounter, {"model", "version", label}},
        [=](const Table& table, Samples& samples) {
          for (const Mirror* mirror : table.mirrors) {
            for (size_t i = 0; mirror->state->used && i < count; ++i) {
              const double sum =
                  SumOf(mirror->state->counters,
                        [&](const auto& c) -> const Counter& { return counter(c, i); });
              samples.push_back(Sample(With(Labels(mirror->version), name_of(i)), sum));
            }
          }
        });
  }
  void AddOfGateway(std::string name, std::string help, MetricType type,
                    std::function<double(const Shared&)> read) {
    Add({std::move(name), std::move(help), type, {}},
        [&shared = shared_, read = std::move(read)](const Table&, Samples& samples) {
          samples.push_back(Sample({}, read(shared)));
        });
  }
  std::vector<Registry::Registration> Take() { return std::move(registrations_); }

 private:
  const Shared& shared_;
  Registry& registry_;
  std::vector<Registry::Registration> registrations_;
};

void AddRequests(Registrar& to) {
  to.Add({"leadsman_gateway_requests_total",
          "Requests that were passed on, by the first digit of their answer's status; none: the "
          "client had gone.",
          MetricType::kCounter,
          {"model", "version", "code"}},
         [](const Table& table, Samples& samples) {
           for (const Version* version : table.versions) {
             for (size_t of = 0; of < VersionCounters::kClasses; ++of) {
               samples.push_back(
                   Sample(With(Labels(*version), ClassName(of)),
                          SumOf(version->state->counters,
                                [of](const auto& c) -> const Counter& { return c.answers[of]; })));
             }
           }
         });
  to.Add({"leadsman_gateway_errors_total",
          "Tries that failed and requests that were not answered by an upstream, by reason.",
          MetricType::kCounter,
          {"model", "version", "reason"}},
         [](const Table& table, Samples& samples) {
           for (const Version* version : table.versions) {
             for (size_t i = 1; i < static_cast<size_t>(Reason::kNoRoute); ++i) {
               samples.push_back(
                   Sample(With(Labels(*version), ReasonName(static_cast<Reason>(i))),
                          SumOf(version->state->counters,
                                [i](const auto& c) -> const Counter& { return c.errors[i]; })));
             }
           }
         });
  to.Add({"leadsman_gateway_request_seconds",
          "From a request's head to the last byte of its answer.",
          MetricType::kHistogram,
          {"model", "version"}},
         [](const Table& table, Samples& samples) {
           for (const Version* version : table.versions)
             samples.push_back(LatencyOf(*version, version->state->counters));
         });
  auto counter = [&](std::string name, std::string help, Counter VersionCounters::*member) {
    to.AddOfVersion(std::move(name), std::move(help), MetricType::kCounter,
                    [member](const Version& version) {
                      return SumOf(version.state->counters,
                                   [&](const auto& c) -> const Counter& { return c.*member; });
                    });
  };
  counter("leadsman_gateway_retries_total", "Requests that were sent again.",
          &VersionCounters::retries);
  counter("leadsman_gateway_retries_refused_total",
          "Requests that were not sent again because the budget was used up.",
          &VersionCounters::retries_refused);
  counter("leadsman_gateway_upstream_connections_total",
          "Connections to endpoints that were begun.", &VersionCounters::connections);
  counter("leadsman_gateway_request_bytes_total", "Of requests' bodies.",
          &VersionCounters::request_bytes);
  counter("leadsman_gateway_response_bytes_total", "Of answers' bodies.",
          &VersionCounters::response_bytes);
}

void AddUpstreams(Registrar& to) {
  to.AddOfVersion("leadsman_gateway_pending_requests", "Requests that wait for a connection.",
                  MetricType::kGauge, [](const Version& version) {
                    return static_cast<double>(version.pending.load());
                  });
  to.AddOfVersion("leadsman_gateway_traffic_share",
                  "Share of the traffic that a version is to get.", MetricType::kGauge,
                  [](const Version& version) {
                    return version.service->split.Get()->parts(version.index) / 10'000.0;
                  });
  to.AddOfEndpoint("leadsman_gateway_endpoint_up",
                   "1: the endpoint gets requests; 0: it is not healthy, or ejected.",
                   MetricType::kGauge, [](const Endpoint& endpoint) {
                     const auto now = std::chrono::steady_clock::now();
                     return endpoint.health.Available(now) ? 1.0 : 0.0;
                   });
  to.AddOfEndpoint("leadsman_gateway_endpoint_connections", "Open connections to an endpoint.",
                   MetricType::kGauge, [](const Endpoint& endpoint) {
                     return static_cast<double>(endpoint.connections.load());
                   });
  to.AddOfEndpoint("leadsman_gateway_endpoint_requests_total", "Tries that reached a connection.",
                   MetricType::kCounter, [](const Endpoint& endpoint) {
                     return static_cast<double>(endpoint.requests.load());
                   });
  to.AddOfEndpoint(
      "leadsman_gateway_endpoint_failures_total",
      "Tries that failed, and answers 502, 503 and 504.", MetricType::kCounter,
      [](const Endpoint& endpoint) { return static_cast<double>(endpoint.failures.load()); });
  to.AddOfEndpoint(
      "leadsman_gateway_ejections_total", "How often an endpoint was ejected for failures on end.",
      MetricType::kCounter,
      [](const Endpoint& endpoint) { return static_cast<double>(endpoint.health.ejections()); });
}

void AddMirrors(Registrar& to) {
  to.AddOfMirror("leadsman_gateway_mirror_sent_total",
                 "Copies of predictions that were sent to the mirror's version.",
                 MetricType::kCounter, [](const Mirror& mirror) {
                   return SumOf(mirror.state->counters,
                                [](const auto& c) -> const Counter& { return c.sent; });
                 });
  to.AddOfMirrorBy(
      "reason", "leadsman_gateway_mirror_unsent_total",
      "Predictions that were to be mirrored, and of which no copy was sent: too_large = above "
      "mirror.max_body; no_memory = beyond mirror.max_held_bytes; unfinished = the original did "
      "not come whole, its client gave it up, or it had no endpoint; busy = mirror.max_concurrent "
      "were under way; no_endpoint = none is healthy; not_connected = no connection could be made; "
      "draining "
      "= the gateway ends.",
      kUnsentReasons, [](size_t i) { return UnsentName(static_cast<Unsent>(i)); },
      [](const MirrorCounters& c, size_t i) -> const Counter& { return c.unsent[i]; });
  to.AddOfMirrorBy(
      "code", "leadsman_gateway_mirror_answers_total",
      "Copies that were answered, by the first digit of the status.", VersionCounters::kClasses,
      ClassName, [](const MirrorCounters& c, size_t i) -> const Counter& { return c.answers[i]; });
  to.AddOfMirrorBy(
      "reason", "leadsman_gateway_mirror_unanswered_total",
      "Copies that were sent and not answered: timeout = not within mirror.timeout; closed = the "
      "connection ended; bad_answer = what came is not HTTP; draining = the gateway ends.",
      kUnansweredReasons, [](size_t i) { return UnansweredName(static_cast<Unanswered>(i)); },
      [](const MirrorCounters& c, size_t i) -> const Counter& { return c.unanswered[i]; });
  to.AddOfMirror("leadsman_gateway_mirror_in_flight", "Copies under way.", MetricType::kGauge,
                 [](const Mirror& mirror) { return static_cast<double>(mirror.under_way()); });
  to.AddOfMirror("leadsman_gateway_mirror_held_bytes",
                 "Bodies that are held for copies: of requests under way, and of answers.",
                 MetricType::kGauge,
                 [](const Mirror& mirror) { return static_cast<double>(mirror.bytes->held()); });
  to.Add({"leadsman_gateway_mirror_seconds",
          "From the start of a copy, its connection included, to the last byte of its answer.",
          MetricType::kHistogram,
          {"model", "version"}},
         [](const Table& table, Samples& samples) {
           for (const Mirror* mirror : table.mirrors) {
             if (mirror->state->used)
               samples.push_back(LatencyOf(mirror->version, mirror->state->counters));
           }
         });
}

void AddClients(Registrar& to) {
  to.AddOfGateway("leadsman_gateway_connections", "Open connections of clients.",
                  MetricType::kGauge,
                  [](const Shared& shared) { return static_cast<double>(shared.open.load()); });
  auto counter = [&](std::string name, std::string help, Counter WorkerCounters::*member) {
    to.AddOfGateway(
        std::move(name), std::move(help), MetricType::kCounter, [member](const Shared& shared) {
          return static_cast<double>(
              Sum(shared, [&](const WorkerCounters& c) { return (c.*member).value(); }));
        });
  };
  counter("leadsman_gateway_connections_total", "Connections of clients that were taken.",
          &WorkerCounters::accepted);
  counter("leadsman_gateway_tls_failures_total",
          "TLS handshakes of clients that failed, or did not end in time.",
          &WorkerCounters::tls_failures);
  counter("leadsman_gateway_connections_refused_total", "Beyond gateway.limits.max_connections.",
          &WorkerCounters::refused);
  counter("leadsman_gateway_bad_requests_total", "Requests whose head was refused.",
          &WorkerCounters::bad_requests);
  counter("leadsman_gateway_unrouted_requests_total", "Requests that no route fits.",
          &WorkerCounters::no_route);
  counter("leadsman_gateway_upgrades_total", "Connections that became tunnels (websocket).",
          &WorkerCounters::upgrades);
}

}  // namespace

std::vector<Registry::Registration> AddGatewayMetrics(const Shared& shared, Registry& registry) {
  Registrar to(shared, registry);
  AddRequests(to);
  AddUpstreams(to);
  AddMirrors(to);
  AddClients(to);
  return to.Take();
}

}  // namespace leadsman::gateway
