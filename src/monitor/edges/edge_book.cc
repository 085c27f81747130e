#include "monitor/edges/edge_book.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace leadsman {

EdgeView::State EdgeBook::StateOf(const Edge& edge, SteadyTime now) {
  if (edge.stopped) return EdgeView::State::kStopped;
  const Duration patience = std::max<Duration>(kQuietAtLeast, kQuietIntervals * edge.every);
  return now - edge.heard > patience ? EdgeView::State::kQuiet : EdgeView::State::kLive;
}

/// Those that are forgotten anyway, or else the one that has been silent for the longest. False: all are live.
bool EdgeBook::MakeRoom(SteadyTime now) {
  std::erase_if(edges_, [&](const auto& entry) {
    return StateOf(entry.second, now) != EdgeView::State::kLive &&
           now - entry.second.heard > options_.forget_after;
  });
  if (edges_.size() < options_.max) return true;
  auto oldest = std::min_element(edges_.begin(), edges_.end(), [](const auto& a, const auto& b) {
    return a.second.heard < b.second.heard;
  });
  if (StateOf(oldest->second, now) == EdgeView::State::kLive) return false;
  edges_.erase(oldest);
  return true;
}

Result<EdgeBook::Edge*> EdgeBook::FindOrAdd(const std::string& name, WallTime wall,
                                            SteadyTime now) {
  auto found = edges_.find(name);
  if (found == edges_.end()) {
    if (edges_.size() >= options_.max && !MakeRoom(now)) {
      ++counters_.refused;
      return Status(StatusCode::kResourceExhausted,
                    StrCat("edge ", CutUtf8(name, kMaxEdgeName),
                           " is one too many: monitor.edges.max is ", options_.max));
    }
    found = edges_.try_emplace(name).first;
    found->second.view.name = name;
    found->second.view.first_seen = wall;
  }
  return &found->second;
}

Result<EdgeBook::Hearing> EdgeBook::Hear(const ProfileHeader& header, uint64_t requests,
                                         WallTime wall, SteadyTime now) {
  ASSIGN_OR_RETURN(Edge * edge, FindOrAdd(header.edge, wall, now));
  std::vector<Process>& processes = edge->processes;
  auto process = std::find_if(processes.begin(), processes.end(),
                              [&](const Process& p) { return p.id == header.process; });
  Hearing hearing;
  if (process == processes.end()) {
    // What it sent before this monitor knew it may have been taken by one that has forgotten it: nobody can say it is lost.
    if (processes.size() == kProcesses) processes.pop_back();
    process = processes.insert(processes.begin(), Process{header.process, header.sequence - 1});
    ++edge->view.processes;
  }
  edge->heard = now;
  edge->every = header.every;
  edge->stopped = header.last;
  edge->view.last_seen = wall;
  if (header.sequence <= process->sequence) {
    ++edge->view.duplicates;
    ++counters_.duplicates;
    return hearing;
  }
  hearing.fresh = true;
  // A number that nobody counts to is no loss.
  hearing.lost = std::min(header.sequence - process->sequence - 1, kMostLost);
  process->sequence = header.sequence;
  std::rotate(processes.begin(), process, process + 1);
  edge->view.intervals += 1;
  edge->view.lost += hearing.lost;
  edge->view.requests += requests;
  counters_.intervals += 1;
  counters_.lost += hearing.lost;
  counters_.requests += requests;
  return hearing;
}

void EdgeBook::Restore(const EdgeMark& mark, WallTime wall, SteadyTime now) {
  auto found = edges_.find(mark.edge);
  if (found == edges_.end()) {
    if (edges_.size() >= options_.max) return;
    found = edges_.try_emplace(mark.edge).first;
    found->second.view.name = mark.edge;
    found->second.view.first_seen = found->second.view.last_seen = FromUnixMillis(mark.seen_ms);
    found->second.stopped = mark.stopped;
    // A clock that was set back makes none younger than this start.
    found->second.heard =
        now - std::clamp<Duration>(wall - FromUnixMillis(mark.seen_ms), Duration::zero(),
                                   std::chrono::hours(24 * 366));
  }
  Edge& edge = found->second;
  if (edge.processes.size() == kProcesses) return;
  edge.processes.push_back({mark.process, mark.sequence});
  ++edge.view.processes;
}

std::vector<EdgeView> EdgeBook::Views(SteadyTime now) const {
  std::vector<EdgeView> views;
  for (const auto& [name, edge] : edges_) {
    const EdgeView::State state = StateOf(edge, now);
    if (state != EdgeView::State::kLive && now - edge.heard > options_.forget_after) continue;
    views.push_back(edge.view);
    views.back().state = state;
  }
  return views;
}

}  // namespace leadsman
