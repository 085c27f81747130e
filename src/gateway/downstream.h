#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/answer_body.h"
#include "gateway/forward_head.h"
#include "gateway/kept_bodies.h"
#include "gateway/reason.h"
#include "gateway/upstream_connection.h"
#include "gateway/worker.h"
#include "net/answer_head.h"
#include "net/chunk_decoder.h"
#include "net/event_loop.h"
#include "net/head_parser.h"
#include "net/stream_socket.h"

namespace leadsman::gateway {

class DownstreamH2;

/// One client, and the request that is passed on for it. Whatever happens to either socket, Run() goes on as far as it can:
/// request bytes one way, answer bytes the other, neither kept beyond what the slower side has not taken.
///
///   kIdle → kHead → kWaiting → kProxying → kIdle | kHead (the next one is there already)
///                      ▲  │        │  └──→ kTunnel → closed
///                      └──┴────────┘ (a retry)
///   kTls → kIdle;   kTls, kIdle → kHttp2 (DownstreamH2)
///   any → kLingering (answered with Connection: close; what the client still sends is read over) → kClosed
///
/// Confined to its worker's thread.
class Downstream final : public net::EventLoop::Watcher,
                         public std::enable_shared_from_this<Downstream> {
 public:
  Downstream(Worker& worker, int socket, std::string client, const Worker::Listening& listening,
             bool refused);
  /// False when it cannot be: there is no memory for TLS.
  bool Begin(const Worker::Listening& listening);
  ~Downstream();

  void OnEvents(uint32_t events) override;
  /// Something has happened to the upstream connection.
  void OnUpstream();
  /// A connection may be free. False when there was none: it goes on waiting.
  bool OnPending();
  void OnSweep(SteadyTime now);
  /// One connection too many: answers 503 and closes.
  void Refuse();
  void Close();

  bool refused() const { return refused_; }
  net::StreamSocket& socket() { return socket_; }
  size_t index = 0;  ///< the worker's: where in its list this client stands

 private:
  enum class Phase {
    kTls,  ///< the handshake
    kIdle,
    kHead,
    kWaiting,
    kProxying,
    kTunnel,
    kHttp2,
    kLingering,
    kClosed
  };

  /// One request, from its head to the last byte of its answer.
  struct Exchange {
    VersionRef version;  ///< null: no route
    SteadyTime started{};
    bool prediction = false;
    bool drawn = false;
    bool idempotent = false;
    bool upgrade = false;
    bool recorded = false;
    std::string id;      ///< X-Request-Id
    std::string head;    ///< as it is sent to the upstream
    std::string replay;  ///< what was sent of the body, in case that it has to be sent again
    bool keeps_replay = false;
    Framing body = Framing::kNone;
    uint64_t body_left = 0;   ///< kLength
    uint64_t body_bytes = 0;  ///< so far
    bool body_done = false;
    bool told_to_go_on = false;  ///< the client, as it has expected
    int tries = 0;
    bool retrying = false;       ///< holds a place in the budget
    size_t address = 0;          ///< of the endpoint: the next one to connect to
    size_t addresses_left = 0;   ///< for this try
    Endpoint* tried = nullptr;   ///< at last
    Endpoint* active = nullptr;  ///< counts this request
    SteadyTime try_began{};
    SteadyTime answer_due_from{};  ///< the upstream has all of the request since
    // The answer.
    bool answer_begun = false;
    int status = 0;
    Framing answer = Framing::kNone;
    Framing answer_out = Framing::kNone;
    uint64_t answer_left = 0;
    uint64_t answer_bytes = 0;
    bool upstream_keeps = false;
    bool close_after = false;
  };

  void Run();
  bool Step();
  bool ShakeHands();
  bool BeginHttp2();
  bool StepHttp2();
  bool ReadHead();
  bool BeginExchange();
  void Connect();
  bool TryEndpoints();
  bool TryEndpoint(Endpoint& endpoint);
  bool ConnectNext(int* error);
  void ConnectFailed(int error);
  void BeginTry();
  void StopWaiting();
  bool Connecting();
  bool Proxy();
  bool PumpRequest();
  Taken TakeBody();
  void PassBody(std::string_view bytes);
  bool PumpAnswer();
  Taken TakeAnswerHead();
  Taken TakeInterim();
  Taken TakeAnswerBody();
  void PassAnswer(std::string_view bytes);
  bool AnswerEnded();
  void Finish();
  bool Tunnel();
  bool Linger();

  void UpstreamFailed(Reason reason, std::string why, bool nothing_taken,
                      bool endpoint_at_fault = true);
  bool MayRetry(Reason reason, bool nothing_taken);
  void Answer(int status, Reason reason, const std::string& message);
  void RefuseHead(int status, std::string_view message);
  void SendError(int status, Reason reason, std::string_view message, bool close);
  void Cut(Reason reason);
  void ClientGone();
  void LetUpstreamGo(bool keep);
  void Record(Reason reason);
  void RecordOriginal(Reason reason);
  void SendShadow(Reason reason) noexcept;
  void EndRetry();
  void EndExchange();
  void NextOrClose(bool close);
  void StartLingering();
  /// True when it has gone, and all of it is over.
  bool LookAtClient();
  void Count(Reason reason);
  void RunSoon();
  void Enter(Phase phase);
  void Sweep(SteadyTime now);
  void SweepExchange(SteadyTime now);
  bool NothingMoved(uint64_t bytes, SteadyTime now, std::chrono::milliseconds patience);
  bool WaitsToGoOn() const;
  bool ClientIsSlow() const;
  /// "digits version 2 at 127.0.0.1:5002"
  std::string Upstream() const;

  Worker& worker_;
  net::StreamSocket socket_;
  const std::string client_;  ///< its address
  const ListenerOptions::Forwarded forwarded_;
  const ListenerOptions::Protocol protocol_;
  const bool refused_;  ///< one connection too many
  Phase phase_ = Phase::kIdle;
  SteadyTime since_{};  ///< of the phase
  bool running_ = false;
  bool again_ = false;
  bool probed_ = false;  ///< the client has been asked whether it still reads
  bool shut_ = false;    ///< kLingering: our side has ended
  bool waits_ = false;   ///< for a connection
  Worker::Place place_;  ///< among those that do
  bool backing_off_ = false;
  bool shut_up_ = false, shut_down_ = false;  ///< kTunnel: what was passed on of an end
  bool ended_up_ = false, ended_down_ = false;
  size_t discarded_ = 0;

  net::HeadParser parser_;
  net::HttpRequest request_;
  net::RequestHead head_;
  net::ChunkDecoder chunks_;
  net::AnswerHeadParser answer_parser_;
  net::AnswerHead answer_;
  net::ChunkDecoder answer_chunks_;
  bool needs_more_ = false;  ///< of the upstream, beyond what is there
  bool request_stalled_ = false, answer_stalled_ = false;
  Exchange x_;
  KeptBodies kept_{worker_};  ///< of the exchange
  uint64_t serial_ = 0;       ///< of the exchange: a timer may come too late
  std::shared_ptr<UpstreamConnection> upstream_;
  uint64_t moved_ = 0;  ///< bytes in all, at the last sweep
  SteadyTime moved_at_{};
  std::unique_ptr<DownstreamH2> h2_;  ///< kHttp2: all is left to it
};

}  // namespace leadsman::gateway
