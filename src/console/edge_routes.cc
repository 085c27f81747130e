#include "console/edge_routes.h"

#include <algorithm>
#include <string>
#include <utility>

#include "console/json_views.h"
#include "monitor/edges/edge_intake.h"

namespace leadsman::console {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSummarised = 20;

const char* StateName(EdgeView::State state) {
  switch (state) {
    case EdgeView::State::kLive:
      return "live";
    case EdgeView::State::kQuiet:
      return "quiet";
    case EdgeView::State::kStopped:
      break;
  }
  return "stopped";
}

/// Those that somebody may have to look at first.
int Urgency(const EdgeView& edge) {
  if (edge.state == EdgeView::State::kQuiet) return 0;
  return edge.state == EdgeView::State::kLive ? 1 : 2;
}

Json EdgesJson(std::vector<EdgeView> edges, size_t most) {
  std::stable_sort(edges.begin(), edges.end(),
                   [](const EdgeView& a, const EdgeView& b) { return Urgency(a) < Urgency(b); });
  size_t counts[3] = {};
  uint64_t messages = 0, duplicates = 0, lost = 0;
  Json list = Json::array();
  for (const EdgeView& edge : edges) {
    ++counts[Urgency(edge)];
    messages += edge.intervals;
    duplicates += edge.duplicates;
    lost += edge.lost;
    if (list.size() == most) continue;
    list.push_back({{"edge", edge.name},
                    {"state", StateName(edge.state)},
                    {"first_seen", FormatRfc3339(edge.first_seen)},
                    {"last_seen", FormatRfc3339(edge.last_seen)},
                    {"processes", edge.processes},
                    {"messages", edge.intervals},
                    {"duplicates", edge.duplicates},
                    {"lost", edge.lost},
                    {"requests", edge.requests}});
  }
  return {{"quiet", counts[0]},      {"live", counts[1]},        {"stopped", counts[2]},
          {"messages", messages},    {"duplicates", duplicates}, {"lost", lost},
          {"edges", std::move(list)}};
}

Status NotTaken() {
  return UnimplementedError(
      "profiles of edges are not taken here: set monitor.edges, as in docs/edges.md");
}

Status PostProfiles(Monitor* monitor, RouteCall& call) {
  if (monitor == nullptr) return NotTaken();
  ASSIGN_OR_RETURN(const ProfileReceipt receipt,
                   monitor->AddProfiles(call.exchange.request().body));
  Answer(call, {{"duplicate", receipt.duplicate},
                {"lost", receipt.lost},
                {"profiles", receipt.profiles},
                {"requests", receipt.requests}});
  return OkStatus();
}

Status GetEdges(Monitor* monitor, RouteCall& call) {
  auto edges = monitor != nullptr ? monitor->Edges() : std::nullopt;
  if (!edges) return NotTaken();
  Answer(call, EdgesJson(std::move(*edges), SIZE_MAX));
  return OkStatus();
}

}  // namespace

Json EdgeSummaryJson(const Monitor* monitor) {
  auto edges = monitor != nullptr ? monitor->Edges() : std::nullopt;
  return edges ? EdgesJson(std::move(*edges), kSummarised) : Json(nullptr);
}

std::vector<Route> EdgeRoutes(Monitor* monitor) {
  return {
      {"POST",
       "/api/v1/profiles",
       "addProfiles",
       "Profiles of what an edge has seen in an interval, as leadsman sends them "
       "(docs/edges.md).",
       {},
       "binary",
       {{200, "ProfileReceipt"}, {400, "Error"}, {429, "Error"}, {501, "Error"}, {503, "Error"}},
       [monitor](RouteCall& call) { return PostProfiles(monitor, call); }},
      {"GET",
       "/api/v1/edges",
       "getEdges",
       "The edges that send their profiles here, silent ones first.",
       {},
       "",
       {{200, "EdgeList"}, {501, "Error"}},
       [monitor](RouteCall& call) { return GetEdges(monitor, call); }}};
}

}  // namespace leadsman::console
