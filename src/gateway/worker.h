#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "events/exchange.h"
#include "events/prediction_event.h"
#include "gateway/config.h"
#include "gateway/counters.h"
#include "gateway/shadows.h"
#include "gateway/table.h"
#include "gateway/upstream_h2.h"
#include "gateway/upstreams.h"
#include "gateway/waiting_list.h"
#include "net/event_loop.h"
#include "net/stream_socket.h"

// Internal to the gateway.

namespace leadsman::net {
class ServerCertificates;
}  // namespace leadsman::net

namespace leadsman::gateway {

class Downstream;
class UpstreamConnection;
class Worker;

/// What all I/O threads of a gateway share.
struct Shared {
  Shared(Options gateway_options, Clock& gateway_clock, Sink& event_sink,
         ExchangeSink* exchange_sink);

  Clock& clock;
  Sink& sink;
  ExchangeSink* const exchanges;  ///< null: nobody wants bodies
  const size_t threads;
  std::vector<std::shared_ptr<Worker>> workers;  ///< complete before the first one runs
  std::atomic<size_t> open{0};                   ///< connections of clients

  /// What is in force; each thread takes it over a moment after it has been set. Thread-safe.
  std::shared_ptr<const Table> table() const {
    MutexLock lock(mutex_);
    return table_;
  }
  void SetTable(std::shared_ptr<const Table> table) {
    MutexLock lock(mutex_);
    table_.swap(table);
  }
  /// One that takes over what goes on.
  std::shared_ptr<Table> MakeTable(Options options) const;

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Table> table_ GUARDED_BY(mutex_);
};

/// One I/O thread: its listening sockets, its clients, its connections to upstreams. Confined to the thread in Run(), but for
/// Post, BeginDrain and the counters. All timeouts are kept by a sweep.
class Worker final : public std::enable_shared_from_this<Worker> {
 public:
  struct Listening {
    int socket = -1;
    size_t listener =
        0;  ///< which one of the configuration; a worker may have several sockets of one
    ListenerOptions options;
    std::shared_ptr<net::ServerCertificates> certificates = nullptr;  ///< null: plain text
    bool offers_http2 = false;                                        ///< over TLS
    std::shared_ptr<const std::atomic<bool>> handed_over = nullptr;   ///< as of net::ListenerGroup
  };
  /// Made in the order of shared.workers: it counts by its place there.
  Worker(Shared& shared, std::vector<Listening> sockets);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  bool valid() const { return loop_.valid(); }
  /// Serves until it is drained.
  void Run();
  void BeginDrain(std::chrono::milliseconds grace);
  /// Goes over to the table that is in force: requests that begin from now on know no other. Kept connections stay, where their endpoint
  /// is still spoken to as before. `listeners`: how those that connect from now on are spoken to, by listener; no sockets. Calls
  /// `done` in any case. From any thread.
  void Adopt(std::vector<Listening> listeners, std::function<void()> done);
  /// Gives connections and places that have become free to who has waited longest for one of this version. From any thread.
  void WakePending(const VersionState* version);
  /// Closes a kept connection of this version, if there is one: somebody waits for it elsewhere. From any thread.
  void GiveBack(VersionRef version);
  const WorkerCounters& counters() const { return counters_; }

  // For connections, on the worker's thread.
  Shared& shared() { return shared_; }
  /// What requests that begin now go by. Confined, and kept until the end of the turn.
  const Table& table() const { return *table_; }
  const Options& options() const { return table_->options; }
  /// Keeps a version of this table.
  VersionRef Hold(const Version& version) const { return {table_, &version}; }
  net::EventLoop& loop() { return loop_; }
  net::BufferPool& pool() { return pool_; }
  Rng& rng() { return rng_; }
  WorkerCounters& counters() { return counters_; }
  VersionCounters& CountersOf(const Version& version) const {
    return version.state->counters[number_];
  }
  MirrorCounters& CountersOf(const Mirror& mirror) const { return mirror.state->counters[number_]; }
  Shadows& shadows() { return shadows_; }
  UpstreamsH2& upstreams_h2() { return upstreams_h2_; }
  SteadyTime now() const { return loop_.now(); }
  std::string& scratch() { return scratch_; }
  bool draining() const { return draining_; }
  /// Draining, and nobody listens any more: a client that is told to go elsewhere finds this address shut at once.
  bool sends_away() const { return draining_ && listening_.empty(); }
  /// Another process accepts here already: who waits for nothing may stay for longer.
  bool handed_over() const { return handed_over_; }
  SteadyTime drain_began() const { return drain_began_; }
  std::chrono::milliseconds grace() const { return grace_; }
  /// A client that has connected; takes the socket over.
  void Admit(int socket, std::string client, const Listening& listening);
  void Remove(Downstream& client);

  /// A kept connection that is quiet, or null.
  std::shared_ptr<UpstreamConnection> TakeIdle(const Version& version, Endpoint& endpoint);
  /// Keeps it for the next request, or gives it to one that waits.
  void Keep(std::shared_ptr<UpstreamConnection> connection);
  /// A kept connection has ended or has said something that nobody asked for.
  void DropIdle(UpstreamConnection& connection);
  /// One connection less: somebody may wait for that.
  void Freed(const Version& version);
  /// Those that wait for a connection of a version, in the order in which they came. Each leaves by itself.
  using Place = WaitingList<Downstream>::Place;
  Place Wait(const VersionRef& version, Downstream& client);
  void StopWaiting(const Version& version, Place place) { waiting_.Remove(version, place); }
  bool SomebodyWaits(const Version& version) const { return waiting_.Any(version); }

 private:
  class Listener;
  friend class Listener;

  void Accept(Listener& listener);
  void ScheduleSweep();
  void Sweep();
  void StopListening();
  void LeaveHandedOver();
  void CutAll();
  void TakeTable();
  void AdoptNow(std::vector<Listening> listeners);

  Shared& shared_;
  const size_t number_;  ///< in shared.workers
  std::shared_ptr<const Table> table_;
  net::EventLoop loop_;
  net::BufferPool pool_;
  Rng rng_;
  WorkerCounters counters_;
  std::string scratch_;
  std::vector<std::unique_ptr<Listener>> listening_;
  std::vector<std::shared_ptr<Downstream>> clients_;
  std::vector<std::vector<std::shared_ptr<UpstreamConnection>>> idle_;  ///< by endpoint
  WaitingList<Downstream> waiting_;
  Shadows shadows_;
  UpstreamsH2 upstreams_h2_;
  size_t refused_open_ = 0;
  bool accept_paused_ = false;
  bool draining_ = false;
  bool handed_over_ = false;
  SteadyTime drain_began_{};
  std::chrono::milliseconds grace_{0};
};

}  // namespace leadsman::gateway
