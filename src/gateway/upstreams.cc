#include "gateway/upstreams.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <tuple>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman::gateway {

bool IsOurFault(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

Endpoint::Endpoint(std::string endpoint_name, size_t endpoint_id)
    : name(std::move(endpoint_name)), id(endpoint_id) {
  auto parsed = ParseEndpoint(name);
  if (parsed.ok()) std::tie(host, port) = *parsed;
}

bool Endpoint::Has(const net::SocketAddress& address) const {
  const auto now = addresses.Get();
  return std::find(now->begin(), now->end(), address) != now->end();
}

Version::Version(int64_t version_number, size_t version_index, Service& of,
                 std::shared_ptr<VersionState> version_state)
    : number(version_number),
      index(version_index),
      service(&of),
      state(std::move(version_state)),
      pending(state->pending) {}

bool Version::SpokenToAs(const Version& other) const {
  return tls == other.tls && server_name == other.server_name &&
         service->options.http2() == other.service->options.http2();
}

namespace {

std::shared_ptr<Endpoint> NewEndpoint(const std::string& name, EndpointPlaces& places) {
  auto place = std::find_if(places.begin(), places.end(),
                            [](const auto& endpoint) { return endpoint.expired(); });
  if (place == places.end()) place = places.emplace(places.end());
  auto made = std::make_shared<Endpoint>(name, static_cast<size_t>(place - places.begin()));
  *place = made;
  return made;
}

std::shared_ptr<Endpoint> FindEndpoint(const Version* version, const std::string& name) {
  if (version == nullptr) return nullptr;
  for (const auto& endpoint : version->endpoints) {
    if (endpoint->name == name) return endpoint;
  }
  return nullptr;
}

}  // namespace

Service::Service(ServiceOptions service_options, const Service* before, EndpointPlaces& places,
                 size_t workers)
    : options(std::move(service_options)),
      budget_state(before != nullptr ? before->budget_state : std::make_shared<RetryBudget>()),
      budget(*budget_state) {
  for (const VersionOptions& one : options.versions) {
    const Version* const old_one = before != nullptr ? before->Find(one.version) : nullptr;
    auto version = std::make_unique<Version>(
        one.version, versions.size(), *this,
        old_one != nullptr ? old_one->state : std::make_shared<VersionState>(workers));
    for (const std::string& name : one.endpoints) {
      auto endpoint = FindEndpoint(old_one, name);
      version->endpoints.push_back(endpoint ? std::move(endpoint) : NewEndpoint(name, places));
    }
    versions.push_back(std::move(version));
  }
  split.Set(
      std::make_shared<Split>(numbers(), ConfiguredParts(options), false, options.split.seed));
  static const MirrorOptions kUnsaid;
  for (const auto& version : versions) {
    const Version* const old_one = before != nullptr ? before->Find(version->number) : nullptr;
    const bool known = old_one != nullptr && old_one->index < before->mirrors.size();
    mirrors.push_back(
        std::make_unique<Mirror>(options.mirror ? *options.mirror : kUnsaid, *version,
                                 known ? before->mirrors[old_one->index].get() : nullptr, workers));
  }
}

void Service::SetMirror() {
  if (!options.mirror) return SetMirror(nullptr, 0);
  SetMirror(Find(options.mirror->version), options.mirror->share);
}

void Service::SetMirror(const Version* shadow, double share) {
  if (shadow == nullptr) {
    mirror = nullptr;
    return;
  }
  Mirror* const to = mirrors[shadow->index].get();
  to->parts = static_cast<uint32_t>(std::lround(std::clamp(share, 0.0, 1.0) * Split::kParts));
  to->state->used = true;
  mirror = to;
}

std::vector<int64_t> Service::numbers() const {
  std::vector<int64_t> numbers;
  for (const auto& version : versions) numbers.push_back(version->number);
  return numbers;
}

const Version* Service::Find(int64_t number) const {
  for (const auto& version : versions) {
    if (version->number == number) return version.get();
  }
  return nullptr;
}

Choice ChooseVersion(const Service& service, const net::HttpRequest& request,
                     std::string_view client, Rng& rng) {
  const SplitOptions& options = service.options.split;
  if (!options.header.empty()) {
    const std::string_view named = request.Header(options.header);
    if (!named.empty()) {
      const auto number = ParseInt64(named);
      return {number ? service.Find(*number) : nullptr, false};
    }
  }
  const auto split = service.split.Get();
  const auto key = StickyKey(options, request, client);
  const uint32_t place =
      key ? StickyPlace(split->seed(), *key) : static_cast<uint32_t>(rng.Below(Split::kParts));
  return {service.versions[split->At(place)].get(), split->compared()};
}

std::string WhyNoVersion(const Service& service, const net::HttpRequest& request) {
  std::vector<std::string> known;
  for (int64_t number : service.numbers()) known.push_back(std::to_string(number));
  const std::string& header = service.options.split.header;
  return StrCat(header, ": ", service.options.name, " has no version ",
                CutUtf8(ToUtf8(request.Header(header)), 40), "; versions: ", HumanList(known));
}

Endpoint* Version::Pick(Rng& rng, SteadyTime now, const Endpoint* avoid) const {
  // An ejection is a guess from a few failures: it keeps nobody from the only endpoint that may answer.
  enum Rank : uint8_t { kGood, kUnchecked, kEjected, kAvoided, kUnhealthy };
  const bool checked = !service->options.health.path.empty();
  auto rank_of = [&](const Endpoint& endpoint) {
    const EndpointHealth::State state = endpoint.health.state();
    if (state == EndpointHealth::State::kUnhealthy) return kUnhealthy;
    if (&endpoint == avoid) return kAvoided;
    if (endpoint.health.Ejected(now)) return kEjected;
    return checked && state == EndpointHealth::State::kUnknown ? kUnchecked : kGood;
  };
  Rank best = kUnhealthy;
  size_t count = 0;
  for (const auto& endpoint : endpoints) {
    const Rank rank = rank_of(*endpoint);
    if (rank < best) count = 0;
    best = std::min(best, rank);
    count += rank == best ? 1 : 0;
  }
  if (best == kUnhealthy) return nullptr;
  auto nth = [&](size_t n) -> Endpoint* {
    Endpoint* last = nullptr;
    for (const auto& endpoint : endpoints) {
      if (rank_of(*endpoint) != best) continue;
      last = endpoint.get();
      if (n-- == 0) break;
    }
    return last;  // one may have gone between the two looks
  };
  Endpoint* first = nth(rng.Below(count));
  Endpoint* second = nth(rng.Below(count));
  if (first == nullptr || second == nullptr) return first != nullptr ? first : second;
  return second->active.load(std::memory_order_relaxed) <
                 first->active.load(std::memory_order_relaxed)
             ? second
             : first;
}

size_t Version::ReadyEndpoints(SteadyTime now) const {
  const bool checked = !service->options.health.path.empty();
  return static_cast<size_t>(
      std::count_if(endpoints.begin(), endpoints.end(), [&](const auto& endpoint) {
        return !endpoint->addresses.Get()->empty() &&
               (checked && !(trusted && endpoint->health.state() == EndpointHealth::State::kUnknown)
                    ? endpoint->health.state() == EndpointHealth::State::kHealthy
                    : endpoint->health.Available(now));
      }));
}

std::string Version::WhyNone(SteadyTime now) const {
  std::vector<std::string> reasons;
  for (const auto& endpoint : endpoints) {
    if (endpoint->health.Available(now)) {
      if (endpoint->addresses.Get()->empty())
        reasons.push_back(endpoint->name + " (its name was not found)");
      else if (endpoint->health.state() == EndpointHealth::State::kUnknown)
        reasons.push_back(endpoint->name + " (not checked yet)");
      continue;
    }
    const std::string reason = endpoint->health.reason();
    reasons.push_back(StrCat(endpoint->name, endpoint->health.Ejected(now) ? " (ejected: " : " (",
                             reason.empty() ? std::string("unhealthy") : reason, ")"));
    if (reasons.size() == 3) break;
  }
  return StrCat("no endpoint is healthy: ", HumanList(reasons));
}

void Version::OnResult(Endpoint& endpoint, bool failed, const std::string& why,
                       SteadyTime now) const {
  if (!failed) return endpoint.health.OnSuccess();
  endpoint.failures.fetch_add(1, std::memory_order_relaxed);
  const OutlierOptions& options = service->options.outliers;
  if (!endpoint.health.OnFailure(options) || endpoint.health.Ejected(now)) return;
  const auto ejected = std::count_if(endpoints.begin(), endpoints.end(),
                                     [&](const auto& one) { return one->health.Ejected(now); });
  if (static_cast<double>(ejected + 1) >
      options.max_ejected * static_cast<double>(endpoints.size()) + 1e-9)
    return;
  const auto wait = endpoint.health.Eject(now, why, options);
  LOG_WARN("endpoint ejected: it gets no requests for a while", {"service", service->options.name},
           {"version", number}, {"endpoint", endpoint.name}, {"for_ms", wait}, {"reason", why});
}

bool RetryBudget::TryRetry(const RetryOptions& options) {
  const int64_t now = retrying_.fetch_add(1, std::memory_order_relaxed) + 1;
  const auto share = static_cast<int64_t>(options.budget * static_cast<double>(under_way()));
  if (now <= std::max<int64_t>(options.min, share)) return true;
  retrying_.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

}  // namespace leadsman::gateway
