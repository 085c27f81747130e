#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "gateway/h2_session.h"
#include "gateway/reason.h"
#include "gateway/upstreams.h"
#include "gateway/waiting_list.h"
#include "net/event_loop.h"
#include "net/stream_socket.h"

// Internal to the gateway.

namespace leadsman::gateway {

class UpstreamsH2;
class Worker;

/// One HTTP/2 connection to an endpoint, which many requests share.
///
///   connecting (each of the endpoint's addresses in turn; TLS; the server's SETTINGS; those who need it wait) → open → retired (takes
///   no more, ends with its last stream) → closed;   any → closed
///
/// Counts itself among the endpoint's connections. Confined to its worker's thread.
class UpstreamH2 final : public net::EventLoop::Watcher,
                         public H2Session::Owner,
                         public std::enable_shared_from_this<UpstreamH2> {
 public:
  /// Who waits for a connection that is being made.
  class Waiter {
   public:
    virtual void OnConnected() = 0;
    /// `why`: in words, of the endpoint: "refused the connection".
    virtual void OnNotConnected(Reason reason, const std::string& why, bool endpoint_at_fault) = 0;

   protected:
    ~Waiter() = default;
  };

  UpstreamH2(UpstreamsH2& owner, VersionRef version, Endpoint& endpoint);
  ~UpstreamH2();

  void OnEvents(uint32_t events) override;
  void OnSweep(SteadyTime now);

  bool connecting() const { return phase_ != Phase::kClosed && !greeted_; }
  /// Takes one more, now or when it is connected.
  bool has_room() const;
  /// The first one makes it connect, and may be told at once that that has failed.
  void Wait(Waiter& waiter);
  void StopWaiting(const Waiter& waiter);
  /// Null when no stream may be opened any more: it has just been told so.
  H2Stream* Open(H2Stream::User& user, H2Fields fields, bool end);
  /// Takes no more; what is under way goes on.
  void Retire();
  /// Goes on by the table that is in force; retired when its endpoint does not stand there, or is spoken to otherwise by now.
  void Renew();
  const Version& version() const { return *version_; }
  /// A request is given up that it has not answered: it may be dead, without a word from the network.
  void GivenUp(SteadyTime now);
  uint64_t bytes_in() const;
  /// Why it has ended, for those whose streams were cut: "ended the connection".
  const std::string& why() const { return why_; }
  Endpoint& endpoint() { return endpoint_; }
  void Close();

  // As the session's owner.
  H2Stream::User* OnStream(H2Stream& /*stream*/) override { return nullptr; }
  void OnOutput() override;

 private:
  enum class Phase { kConnecting, kOpen, kClosed };

  void Start();
  void ConnectNext();
  void ConnectFailed(int error);
  void NotConnected(Reason reason, const std::string& why, bool endpoint_at_fault);
  void ShakeHands();
  void Connected();
  void Greeted();
  void Read();
  void Flush();
  void Broken(std::string why);
  void CloseSocket();

  UpstreamsH2& owner_;
  Worker& worker_;
  VersionRef version_;
  Endpoint& endpoint_;  ///< of the version
  Addresses::value_type address_{};
  size_t addresses_left_ = 0;
  uint32_t turn_ = 0;
  Phase phase_ = Phase::kConnecting;
  bool started_ = false;
  bool greeted_ = false;  ///< the server's SETTINGS have come
  bool counted_ = false;  ///< among the endpoint's connections
  bool retired_ = false;
  bool dirty_ = false;  ///< is flushed at the end of the turn
  std::unique_ptr<net::StreamSocket> socket_;
  std::unique_ptr<H2Session> session_;
  std::list<Waiter*> waiters_;
  std::string why_;
  SteadyTime idle_since_{};
  SteadyTime
      silent_since_{};  ///< it has been asked something, and nothing has come; the epoch: it owes nothing
  uint64_t sent_ = 0;
  SteadyTime sent_at_{};  ///< when the socket took something, or had nothing to take
};

/// One thread's HTTP/2 connections to endpoints.
class UpstreamsH2 {
 public:
  /// A request that waits for a place at an endpoint.
  class Pending {
   public:
    /// A place may be free. False when there was none: it goes on waiting.
    virtual bool OnPending() = 0;

   protected:
    ~Pending() = default;
  };
  /// What its connections are for: those of copies for mirrors are counted nowhere.
  enum class Use { kRequests, kCopies };
  explicit UpstreamsH2(Worker& worker, Use use = Use::kRequests);
  ~UpstreamsH2();
  UpstreamsH2(const UpstreamsH2&) = delete;
  UpstreamsH2& operator=(const UpstreamsH2&) = delete;

  /// One that takes a request, open or being made; a new one if there is none.
  std::shared_ptr<UpstreamH2> Get(const VersionRef& version, Endpoint& endpoint);
  /// Those that wait for a place at one of a version's endpoints, in the order in which they came. Each leaves by itself.
  using Place = WaitingList<Pending>::Place;
  Place Wait(const Version& version, Pending& pending) { return waiting_.Add(version, pending); }
  void StopWaiting(const Version& version, Place place) { waiting_.Remove(version, place); }
  bool SomebodyWaits(const Version& version) const { return waiting_.Any(version); }
  /// One request less: somebody may wait for that, here or on another thread.
  void Freed(const Version& version);

  Worker& worker() { return worker_; }
  bool counted() const { return use_ == Use::kRequests; }
  void Remove(UpstreamH2& connection);
  void Sweep(SteadyTime now);
  void CloseAll();
  /// Gives places to those that wait for one of this version, as far as there are some.
  void ServePending(const VersionState* version) { waiting_.Serve(version); }
  /// For endpoints with these ids.
  void MakeRoom(size_t endpoints);
  void Adopt();

 private:
  Worker& worker_;
  const Use use_;
  std::vector<std::vector<std::shared_ptr<UpstreamH2>>> connections_;  ///< by endpoint
  WaitingList<Pending> waiting_;
};

}  // namespace leadsman::gateway
