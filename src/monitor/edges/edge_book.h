#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/config.h"
#include "monitor/database.h"
#include "monitor/edges/profile_message.h"

namespace leadsman {

/// What is told of one edge.
struct EdgeView {
  enum class State { kLive, kQuiet, kStopped };
  std::string name;
  State state = State::kLive;
  WallTime first_seen{}, last_seen{};
  uint64_t processes = 0;  ///< how many have sent under this name
  uint64_t intervals = 0;  ///< taken
  uint64_t duplicates = 0, lost = 0;
  uint64_t requests = 0;
};

/// Who has sent what: each message counts once, and what is missing is counted. Pure.
///
/// A process's messages come in their sequence. One that is not above the last is a duplicate, whose answer was lost; numbers
/// that are passed over are lost. Of an edge the last kProcesses processes are remembered, so that a restart, or two that share a
/// name by mistake, take nothing for a duplicate. At most `max` edges: a new one takes the place of the one that has been quiet
/// or stopped for the longest, or is refused. Externally synchronised.
class EdgeBook {
 public:
  static constexpr uint64_t kMostLost = uint64_t{1} << 20;  ///< counted of one message
  static constexpr size_t kProcesses = 4;
  /// Of an edge that is not heard of: so many of its own intervals, and this time at least.
  static constexpr int kQuietIntervals = 3;
  static constexpr std::chrono::seconds kQuietAtLeast{15};

  explicit EdgeBook(EdgeOptions options) : options_(options) {}

  struct Hearing {
    bool fresh = false;  ///< count it; else it is a duplicate
    uint64_t lost = 0;   ///< messages before it
  };
  /// RESOURCE_EXHAUSTED: as many edges as are remembered are live.
  Result<Hearing> Hear(const ProfileHeader& header, uint64_t requests, WallTime wall,
                       SteadyTime now);
  /// What a monitor before this one has had: the numbers go on. The newest marks first.
  void Restore(const EdgeMark& mark, WallTime wall, SteadyTime now);

  /// By name.
  std::vector<EdgeView> Views(SteadyTime now) const;
  struct Counters {
    uint64_t intervals = 0, duplicates = 0, lost = 0, requests = 0, refused = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Process {
    uint64_t id = 0, sequence = 0;
  };
  struct Edge {
    EdgeView view;
    std::vector<Process> processes;  ///< the one heard last in front
    std::chrono::milliseconds every{0};
    SteadyTime heard{};
    bool stopped = false;
  };
  static EdgeView::State StateOf(const Edge& edge, SteadyTime now);
  Result<Edge*> FindOrAdd(const std::string& name, WallTime wall, SteadyTime now);
  bool MakeRoom(SteadyTime now);

  const EdgeOptions options_;
  std::map<std::string, Edge> edges_;
  Counters counters_;
};

}  // namespace leadsman
