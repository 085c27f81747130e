#include "kube/leader_election.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "kube/micro_time.h"

namespace leadsman::kube {
namespace {

constexpr std::string_view kManager = "leadsman-election";

int64_t Seconds(Duration d) { return std::chrono::ceil<std::chrono::seconds>(d).count(); }

class ClientLeaseStore final : public Election::LeaseStore {
 public:
  ClientLeaseStore(Client& client, Clock& clock, std::string ns, std::string name)
      : client_(client), clock_(clock), ns_(std::move(ns)), name_(std::move(name)) {}
  void Begin() override { limits_.deadline = clock_.SteadyNow() + client_.options().timeout; }
  Result<Object> Get() override { return client_.Get(Leases(), ns_, name_, limits_); }
  Result<Object> Create(const Object& lease) override {
    return client_.Create(Leases(), lease, kManager, limits_);
  }
  Result<Object> Update(const Object& lease) override {
    return client_.Update(Leases(), lease, kManager, {}, limits_);
  }

 private:
  Client& client_;
  Clock& clock_;
  const std::string ns_, name_;
  CallLimits limits_;
};

}  // namespace

std::string ExplainElection(const ElectionOptions& options) {
  if (options.ns.empty() || options.name.empty())
    return "ns and name of the Lease must not be empty";
  if (options.identity.empty())
    return "identity must not be empty, and another one for each process";
  if (options.retry <= Duration::zero()) return "retry must be more than 0";
  if (options.renew <= options.retry) return "renew must be longer than retry";
  if (options.lease <= options.renew) return "lease must be longer than renew, or two could lead";
  if (options.lease < std::chrono::seconds(1)) return "lease must be a second at least";
  return "";
}

Election::Election(ElectionOptions options, LeaseStore& store, Clock& clock)
    : options_(std::move(options)), store_(store), clock_(clock) {}

bool Election::leading() const { return left() > Duration::zero(); }

Duration Election::left() const {
  const int64_t until = leads_until_;
  if (until == 0) return Duration::zero();
  return std::max(SteadyTime(Duration(until)) - clock_.SteadyNow(), Duration::zero());
}

Status Election::Tick() {
  // Before the request: from here on the others may see what we write.
  const SteadyTime now = clock_.SteadyNow();
  store_.Begin();
  return leading() ? Renew(now) : LookAndTry(now);
}

/// One request, of what we wrote last. When somebody else has written it, what stands there is looked at.
Status Election::Renew(SteadyTime now) {
  auto written = store_.Update(Written(mine_, false));
  if (written.ok()) return Lead(std::move(written), now);
  const StatusCode code = written.status().code();
  if (code != StatusCode::kAborted && code != StatusCode::kNotFound) return written.status();
  auto seen = store_.Get();
  if (!seen.ok() && seen.status().code() != StatusCode::kNotFound) return seen.status();
  if (seen.ok() && seen->Text("/spec/holderIdentity") == options_.identity) {
    // It is still ours: a label was put on it, or an answer to us was lost.
    mine_ = std::move(seen).value();
    return OkStatus();
  }
  Follow();
  if (seen.ok()) Observe(*seen, clock_.SteadyNow());
  return OkStatus();
}

Status Election::LookAndTry(SteadyTime now) {
  Follow();
  auto seen = store_.Get();
  if (!seen.ok() && seen.status().code() == StatusCode::kNotFound) {
    if (!MayReplaceDeleted(clock_.SteadyNow())) return OkStatus();
    const Object fresh(Json{{"apiVersion", Leases().ApiVersion()},
                            {"kind", Leases().kind},
                            {"metadata", {{"name", options_.name}, {"namespace", options_.ns}}},
                            {"spec", Json::object()}});
    return Lead(store_.Create(Written(fresh, true)), now);
  }
  if (!seen.ok()) return seen.status();
  Observe(*seen, clock_.SteadyNow());
  // What nobody has written since we did is ours, however long ago that was.
  const bool free = holder_.empty() || seen->resource_version() == mine_.resource_version();
  if (!free && !IsOver(clock_.SteadyNow())) return OkStatus();
  const SteadyTime asked = clock_.SteadyNow();
  return Lead(store_.Update(Written(*seen, holder_ != options_.identity)), asked);
}

bool Election::IsOver(SteadyTime now) const {
  return now - seen_at_ >= std::max(seen_lease_, options_.lease);
}

/// Whoever led when somebody deleted the lease may not have noticed yet.
bool Election::MayReplaceDeleted(SteadyTime now) {
  if (holder_.empty() || holder_ == options_.identity) return true;
  if (!seen_version_.empty()) {
    seen_version_.clear();
    seen_at_ = now;
  }
  return IsOver(now);
}

void Election::Observe(const Object& lease, SteadyTime now) {
  holder_ = lease.Text("/spec/holderIdentity");
  if (seen_version_ == lease.resource_version()) return;
  seen_version_ = lease.resource_version();
  seen_at_ = now;
  // A promise without an end is none: nobody could ever take over.
  seen_lease_ = std::chrono::seconds(
      std::clamp<int64_t>(lease.Number("/spec/leaseDurationSeconds"), 0, 3600));
}

Object Election::Written(const Object& from, bool takes_over) const {
  Json json = from.json();
  Json& spec = json["spec"];
  const std::string now = MicroTime(clock_.Now());
  spec["holderIdentity"] = options_.identity;
  spec["leaseDurationSeconds"] = Seconds(options_.lease);
  spec["renewTime"] = now;
  if (takes_over) {
    spec["acquireTime"] = now;
    spec["leaseTransitions"] =
        from.Number("/spec/leaseTransitions") + (from.resource_version().empty() ? 0 : 1);
  }
  return Object(std::move(json));
}

Status Election::Lead(Result<Object> written, SteadyTime asked) {
  if (!written.ok()) {
    const StatusCode code = written.status().code();
    // Another one was quicker.
    return code == StatusCode::kAborted || code == StatusCode::kAlreadyExists ? OkStatus()
                                                                              : written.status();
  }
  mine_ = std::move(written).value();
  Observe(mine_, asked);
  leads_until_ = (asked + options_.renew).time_since_epoch().count();
  return OkStatus();
}

Status Election::Release() {
  if (!leading()) return OkStatus();
  Follow();
  store_.Begin();
  Json json = mine_.json();
  json["spec"]["holderIdentity"] = "";
  json["spec"]["leaseDurationSeconds"] = 1;
  json["spec"]["renewTime"] = MicroTime(clock_.Now());
  auto written = store_.Update(Object(std::move(json)));
  return written.ok() || written.status().code() == StatusCode::kAborted ? OkStatus()
                                                                         : written.status();
}

LeaderElector::LeaderElector(Client& client, ElectionOptions options, Clock& clock,
                             Callbacks callbacks)
    : options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      store_(std::make_unique<ClientLeaseStore>(client, clock, options_.ns, options_.name)),
      election_(options_, *store_, clock),
      rng_(RandomSeed()) {}

Result<std::unique_ptr<LeaderElector>> LeaderElector::Start(Client& client, ElectionOptions options,
                                                            Clock& clock, Callbacks callbacks) {
  if (const std::string wrong = ExplainElection(options); !wrong.empty()) {
    return InvalidArgumentError(StrCat("leader election: ", wrong));
  }
  if (client.options().timeout + options.renew >= options.lease) {
    return InvalidArgumentError(
        "leader election: the client's timeout and renew together must be shorter than lease, or "
        "the end of a lead is told too late");
  }
  std::unique_ptr<LeaderElector> made(
      new LeaderElector(client, std::move(options), clock, std::move(callbacks)));
  ASSIGN_OR_RETURN(made->thread_, StartThread("kube election", [raw = made.get()] { raw->Run(); }));
  return made;
}

LeaderElector::~LeaderElector() {
  stop_.Stop();
  if (thread_.joinable()) thread_.join();
}

void LeaderElector::Run() {
  RunLooks();
  if (!told_) return;
  LOG_INFO("this process leads no more, as it ends", {"lease", options_.name});
  callbacks_.stopped();
  const Status released = election_.Release();
  if (!released.ok())
    LOG_WARN("the lease is not released, the next leader waits", {"lease", options_.name},
             {"reason", released});
}

void LeaderElector::RunLooks() {
  bool failed = false;
  for (;;) {
    const Status status = election_.Tick();
    if (!status.ok() && !failed)
      LOG_WARN("the lease cannot be asked for, trying again", {"lease", options_.name},
               {"reason", status});
    failed = !status.ok();
    Tell();
    // Not all at once; and the end of the lead is told when it comes.
    Duration wait =
        options_.retry + Duration(int64_t(rng_.Below(uint64_t(options_.retry.count() / 5 + 1))));
    if (told_) wait = std::min(wait, std::max(election_.left(), Duration(1)));
    if (stop_.WaitFor(wait)) return;
    Tell();
  }
}

void LeaderElector::Tell() {
  const bool leads = election_.leading();
  if (leads == told_) return;
  told_ = leads;
  LOG_INFO(leads ? "this process leads" : "this process leads no more", {"lease", options_.name},
           {"identity", options_.identity});
  leads ? callbacks_.started() : callbacks_.stopped();
}

}  // namespace leadsman::kube
