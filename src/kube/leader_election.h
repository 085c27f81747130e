#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/status.h"
#include "kube/client.h"
#include "kube/stop_signal.h"

namespace leadsman::kube {

struct ElectionOptions {
  std::string ns;
  std::string name;      ///< of the Lease
  std::string identity;  ///< of this process; another one for each
  Duration lease =
      std::chrono::seconds(15);  ///< how long the others wait when they see nothing new
  Duration renew =
      std::chrono::seconds(10);  ///< how long a leader leads without a renewal that worked
  Duration retry = std::chrono::seconds(2);  ///< between two looks
};

/// What is wrong between the options, naming them; empty when nothing is.
std::string ExplainElection(const ElectionOptions& options);

/// One participant of an election by a Lease, without a thread. Nobody's wall clock counts: a participant takes a lease
/// over when it has watched it unchanged for `lease` by its own steady clock, while a leader, whose last renewal the others
/// cannot have seen before it was sent, stops after `renew`, which is less.
///
///   kFollowing ──(lease free, or unchanged for `lease`, and written)──→ kLeading
///   kLeading ──(no renewal for `renew`; another one holds it; released)──→ kFollowing
///
/// Externally synchronised but for leading().
class Election {
 public:
  /// What it does to the Lease; Client's calls.
  class LeaseStore {
   public:
    virtual ~LeaseStore() = default;
    /// All that is asked until the next Begin has one deadline: a Tick, a Release.
    virtual void Begin() {}
    virtual Result<Object> Get() = 0;
    virtual Result<Object> Create(const Object& lease) = 0;
    /// ABORTED when somebody has written it since it was read.
    virtual Result<Object> Update(const Object& lease) = 0;
  };

  Election(ElectionOptions options, LeaseStore& store, Clock& clock);

  /// Looks once and renews or takes over what can be. The error of the API, if any; that another leads is none.
  Status Tick();
  /// True only while nobody else can lead. Asks the clock, so it turns false by itself when renewals fail.
  bool leading() const;
  /// How long still, without another renewal.
  Duration left() const;
  /// Lets the next one lead at once. Only when nobody acts as the leader any more.
  Status Release();
  /// Who holds the lease as last seen; empty: nobody.
  const std::string& holder() const { return holder_; }

 private:
  Status Renew(SteadyTime now);
  Status LookAndTry(SteadyTime now);
  bool IsOver(SteadyTime now) const;
  bool MayReplaceDeleted(SteadyTime now);
  void Observe(const Object& lease, SteadyTime now);
  Object Written(const Object& from, bool takes_over) const;
  Status Lead(Result<Object> written, SteadyTime asked);
  void Follow() { leads_until_ = 0; }

  const ElectionOptions options_;
  LeaseStore& store_;
  Clock& clock_;
  std::atomic<int64_t> leads_until_{0};  ///< of the steady clock; 0: follows
  Object mine_;                          ///< as last written by us
  std::string holder_;
  std::string seen_version_;  ///< of the lease as last seen; empty: none, or it was deleted
  SteadyTime seen_at_;        ///< when that was seen for the first time
  Duration seen_lease_{0};    ///< what its holder has promised
};

/// An Election on a thread of its own.
///
/// `started` and `stopped` are called on that thread, in turns, starting with `started`. From `started` on the process leads;
/// `stopped` comes when it leads no more, at most `renew` and the client's timeout after the last renewal, and has to come back
/// before `lease` with all of the leader's work ended: the next leader begins then. What must never be done by two asks
/// leading() before each write.
class LeaderElector {
 public:
  struct Callbacks {
    std::function<void()> started;
    std::function<void()> stopped;
  };
  /// INVALID_ARGUMENT names the option; RESOURCE_EXHAUSTED when the system has no thread. `client` must outlive it, with a
  /// timeout that fits between `renew` and `lease`: a client of its own, over the same transport.
  static Result<std::unique_ptr<LeaderElector>> Start(Client& client, ElectionOptions options,
                                                      Clock& clock, Callbacks callbacks);
  /// Stops leading, then releases the lease, so that the next one need not wait.
  ~LeaderElector();
  LeaderElector(const LeaderElector&) = delete;
  LeaderElector& operator=(const LeaderElector&) = delete;

  bool leading() const { return election_.leading(); }

 private:
  LeaderElector(Client& client, ElectionOptions options, Clock& clock, Callbacks callbacks);
  void Run();
  void RunLooks();
  void Tell();

  const ElectionOptions options_;
  const Callbacks callbacks_;
  const std::unique_ptr<Election::LeaseStore> store_;
  Election election_;
  StopSignal stop_;
  bool told_ = false;  ///< that it leads; of the thread alone
  Rng rng_;
  std::thread thread_;
};

}  // namespace leadsman::kube
