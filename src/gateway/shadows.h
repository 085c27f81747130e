#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "events/exchange.h"
#include "events/grpc_method.h"
#include "gateway/field_list.h"
#include "gateway/forward_head.h"
#include "gateway/mirror.h"
#include "gateway/upstream_h2.h"
#include "gateway/upstreams.h"
#include "net/head_parser.h"
#include "net/http_server.h"

// Internal to the gateway.

namespace leadsman::gateway {

class Worker;

/// A request that goes to its service's mirror as well, once it has been answered.
struct Shadow {
  Shadow(VersionRef to, size_t source)
      : version(std::move(to)),
        mirror(*version->service->mirrors[version->index]),
        pair(std::make_unique<ShadowPair>(source, mirror.options.max_body, mirror.bytes)) {}
  ~Shadow() {
    GiveBack();
    if (has_place) mirror.End();
  }
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  /// The head is one of the bytes that copies may hold. False: there is no room for it.
  bool ChargeHead() {
    const size_t size = head.size() + fields.bytes();
    if (!mirror.bytes->Take(size)) return false;
    charged = size;
    return true;
  }
  /// Nobody needs the request any more.
  void ForgetRequest() {
    if (pair) pair->live.Forget(pair->live.request);
    std::string().swap(head);
    fields = FieldList();
    GiveBack();
  }

  const VersionRef version;  ///< the mirror's
  Mirror& mirror;
  std::string head;  ///< as it is sent, up to the length of the body; of HTTP/2: nothing
  FieldList fields;  ///< of HTTP/2: the head
  GrpcMethod call = GrpcMethod::kNone;
  size_t charged = 0;        ///< of what the mirror may hold, for the head
  bool says_length = false;  ///< also that there is no body
  bool has_place = false;    ///< among those under way
  /// Of its endpoint: the next one, and how many may be tried still. A name need not be there with all that it stands for.
  size_t address = 0, addresses_left = 0;
  /// The request, until the socket has taken all of it, and the answers, if somebody compares them. Never null until then.
  std::unique_ptr<ShadowPair> pair;

 private:
  void GiveBack() { mirror.bytes->Give(std::exchange(charged, 0)); }
};

/// The copies that one I/O thread sends to mirrors, over connections that clients' requests have no use of. What
/// happens to a copy is counted, and touches nothing else: neither the original nor the endpoints' health. No retries.
///
///   Draw → (the original passes, its body is kept) → Send → at the end of the turn: connection → answer
///                                                       └→ dropped, with the reason
///
/// Confined to its worker's thread.
class Shadows {
 public:
  explicit Shadows(Worker& worker);
  ~Shadows();
  Shadows(const Shadows&) = delete;
  Shadows& operator=(const Shadows&) = delete;

  /// Of a prediction over HTTP/1.1 that `live` answers; null when it is not to be mirrored. `how` it is passed on itself, with the
  /// host that the client names, if it does; `source`: of its route.
  std::unique_ptr<Shadow> Draw(const Version& live, const net::HttpRequest& request,
                               const net::RequestHead& head, const RequestForward& how,
                               size_t source);
  /// Likewise over HTTP/2. `length`: of its body, if the head says it; `write(fields, version)` writes the head for the mirror's version,
  /// without the field that marks it as a copy.
  template <typename Write>
  std::unique_ptr<Shadow> DrawH2(const Version& live, const net::HttpRequest& request,
                                 uint64_t length, GrpcMethod call, size_t source,
                                 const Write& write) {
    Mirror* const mirror = MirrorOf(live, request, length);
    if (mirror == nullptr) return nullptr;
    return Make(*mirror, source, [&](Shadow& shadow) {
      shadow.call = call;
      write(shadow.fields, mirror->version);
      shadow.fields.Add("x-leadsman-shadow", "true");
    });
  }
  /// The original is over; `whole`: its body has come, and what became of it can be compared. The copy is sent when all that this
  /// turn has brought for clients is on its way.
  void Send(std::unique_ptr<Shadow> shadow, bool whole);
  /// There was no memory for what it needs. The original has no part in it.
  void GiveUp(std::unique_ptr<Shadow> shadow) noexcept;

  void Sweep(SteadyTime now);
  /// For endpoints with these ids.
  void MakeRoom(size_t endpoints) {
    idle_.resize(endpoints);
    upstreams_h2_.MakeRoom(endpoints);
  }
  /// Another table is in force: as Worker::Adopt.
  void Adopt();
  /// The end: those under way are dropped, and all that come.
  void Drain();

 private:
  class Connection;
  class CopyH2;
  friend class Connection;
  friend class CopyH2;
  using Connections = std::vector<std::shared_ptr<Connection>>;

  Mirror* MirrorOf(const Version& live, const net::HttpRequest& request, uint64_t length);
  std::unique_ptr<Shadow> NewShadow(const Mirror& mirror, size_t source) const;
  /// Null, and counted, when there is no room for it.
  template <typename Write>
  std::unique_ptr<Shadow> Make(Mirror& mirror, size_t source, const Write& write) {
    try {
      auto shadow = NewShadow(mirror, source);
      write(*shadow);
      if (shadow->ChargeHead()) return shadow;
    } catch (const std::bad_alloc&) {  // the original needs none of it
    }
    Drop(mirror, Unsent::kNoMemory);
    return nullptr;
  }
  /// Work for a copy. Out of memory: that copy's problem alone.
  template <typename Copy, typename Work>
  static void Guard(Copy& copy, const Work& work) {
    try {
      work();
    } catch (const std::exception& e) {
      LOG_ERROR("a mirrored request failed", {"server", "gateway"}, {"error", e.what()});
      copy.Fail(Unanswered::kClosed);
    }
  }
  void SendAll();
  void Start(std::unique_ptr<Shadow> shadow);
  void StartH2(std::unique_ptr<Shadow> shadow, Endpoint& endpoint);
  std::shared_ptr<Connection> ConnectionTo(Shadow& shadow, Endpoint& endpoint, bool* at_fault);
  std::shared_ptr<Connection> ConnectNext(Shadow& shadow, Endpoint& endpoint, bool* at_fault);
  bool ConnectAgain(std::unique_ptr<Shadow>& shadow, Endpoint& endpoint, SteadyTime since);
  void BeginOn(const std::shared_ptr<Connection>& connection, std::unique_ptr<Shadow> shadow,
               SteadyTime since);
  void Keep(Connection& connection);
  void Forget(Connection& connection);
  void Forget(CopyH2& copy);
  void SweepH2(SteadyTime now);
  void DrainH2();
  /// The end of a copy that has its answer, or as much of it as is kept.
  void Answered(std::unique_ptr<Shadow> shadow, int status, StatusCode outcome, SteadyTime since);
  /// The end of one that has none; `sent`: as far as it was. One that could not be sent has failed too, as an original would have,
  /// if the endpoint is at fault: then it was asked for a connection, and gave none.
  void Failed(std::unique_ptr<Shadow> shadow, bool sent, Unanswered reason, SteadyTime since,
              bool at_fault = true);
  void Compare(Shadow& shadow, StatusCode outcome, uint64_t latency_ns);
  void Drop(const Mirror& mirror, Unsent reason);

  Worker& worker_;
  bool draining_ = false;
  std::vector<std::unique_ptr<Shadow>> waiting_;  ///< for the end of this turn
  Connections busy_;
  std::vector<Connections> idle_;  ///< by endpoint
  UpstreamsH2 upstreams_h2_;       ///< for copies alone
  std::vector<std::shared_ptr<CopyH2>> copies_h2_;
};

}  // namespace leadsman::gateway
