#include "gateway/table.h"

namespace leadsman::gateway {

Table::Table(Options gateway_options, const Table* before, size_t workers, Sink& sink,
             bool wants_bodies)
    : options(std::move(gateway_options)), routes(options) {
  if (before != nullptr) places = before->places;
  for (const ServiceOptions& service : options.services) {
    const Service* const old_one = before != nullptr ? before->Find(service.name) : nullptr;
    services.push_back(std::make_unique<Service>(service, old_one, places, workers));
    segments.push_back(wants_bodies ? sink.SegmentsOf(service.name)
                                    : std::span<const SegmentRule>());
  }
  of_place_.resize(places.size());
  for (const auto& service : services) {
    for (const auto& version : service->versions) {
      versions.push_back(version.get());
      for (const auto& endpoint : version->endpoints)
        of_place_[endpoint->id] = {endpoint.get(), version.get()};
    }
    for (const auto& mirror : service->mirrors) mirrors.push_back(mirror.get());
  }
}

Service* Table::Find(std::string_view service) const {
  for (const auto& one : services) {
    if (one->options.name == service) return one.get();
  }
  return nullptr;
}

const Version* Table::VersionOf(const Endpoint& endpoint) const {
  if (endpoint.id >= of_place_.size()) return nullptr;
  const auto& [here, version] = of_place_[endpoint.id];
  return here == &endpoint ? version : nullptr;
}

}  // namespace leadsman::gateway
