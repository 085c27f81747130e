#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "events/prediction_event.h"
#include "gateway/config.h"
#include "gateway/routes.h"
#include "gateway/upstreams.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// One configuration of the gateway, as it is in force: routes, services, versions. Built whole, then swapped whole; a request keeps
/// the one that it has begun with (VersionRef). What stays from one to the next (endpoints, counters, budgets, TLS files, mirrors'
/// places) is shared by both.
///
/// Immutable after its construction and LoadUpstreamTls, but for the splits of its services.
struct Table {
  /// `before`: what goes on of it is taken over; null: nothing does. `workers`: how many threads will count.
  Table(Options gateway_options, const Table* before, size_t workers, Sink& sink,
        bool wants_bodies);
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  const Options options;
  const RouteTable routes;
  std::vector<std::unique_ptr<Service>> services;
  std::vector<std::span<const SegmentRule>>
      segments;                          ///< of the services; none when nobody wants bodies
  std::vector<const Version*> versions;  ///< of all services
  std::vector<const Mirror*> mirrors;    ///< likewise
  EndpointPlaces places;                 ///< all that an Endpoint::id may be

  Service* Find(std::string_view service) const;
  /// The version that an endpoint is of here; null: it does not stand here.
  const Version* VersionOf(const Endpoint& endpoint) const;

 private:
  std::vector<std::pair<const Endpoint*, const Version*>> of_place_;
};

}  // namespace leadsman::gateway
