#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/downstream_h2.h"
#include "gateway/field_list.h"
#include "gateway/h2_session.h"
#include "gateway/kept_bodies.h"
#include "gateway/reason.h"
#include "gateway/upstream_h2.h"
#include "gateway/upstreams.h"
#include "net/http_server.h"

// Internal to the gateway.

namespace leadsman::gateway {

/// One request over HTTP/2, from its head to the end of its stream: unary and streaming gRPC, or anything else. Both bodies go on as
/// they come, each only as fast as the other side takes it: what has come gets new credit once it is on its way.
///
///   waiting (for a place at an endpoint, a connection) → passing → answered → over
///      ▲                                                  │
///      └────────────────── (a retry) ─────────────────────┘
///
/// Confined to its worker's thread; its connection keeps it until its stream is closed.
class H2Exchange final : public UpstreamH2::Waiter,
                         public UpstreamsH2::Pending,
                         public std::enable_shared_from_this<H2Exchange> {
 public:
  H2Exchange(DownstreamH2& client, H2Stream& stream);
  ~H2Exchange();

  H2Stream::User& down() { return down_user_; }
  void OnSweep(SteadyTime now);

  void OnConnected() override;
  void OnNotConnected(Reason reason, const std::string& why, bool endpoint_at_fault) override;
  bool OnPending() override;

  size_t index = 0;  ///< the connection's: where in its list this stands

 private:
  /// The client's stream.
  struct Down final : H2Stream::User {
    explicit Down(H2Exchange& exchange) : x(exchange) {}
    void OnHead(H2Stream&, H2Fields fields, bool end) override { x.Begin(fields, end); }
    void OnHeadTooLarge(H2Stream&) override { x.RefuseHead(); }
    void OnData(H2Stream&, std::string_view bytes) override { x.CameBody(bytes); }
    void OnTrailers(H2Stream&, H2Fields fields) override { x.CameTrailers(fields); }
    void OnEnd(H2Stream&) override { x.RequestEnded(); }
    void OnTaken(H2Stream&, size_t bytes) override { x.ClientTook(bytes); }
    void OnClosed(H2Stream&, H2Error code) override { x.Over(code); }
    H2Exchange& x;
  };
  /// The upstream's.
  struct Up final : H2Stream::User {
    explicit Up(H2Exchange& exchange) : x(exchange) {}
    void OnHead(H2Stream&, H2Fields fields, bool end) override { x.CameAnswer(fields, end); }
    void OnHeadTooLarge(H2Stream&) override { x.AnswerTooLarge(); }
    void OnData(H2Stream&, std::string_view bytes) override { x.CameAnswerBody(bytes); }
    void OnTrailers(H2Stream&, H2Fields fields) override { x.CameAnswerTrailers(fields); }
    void OnEnd(H2Stream&) override { x.AnswerEnded(); }
    void OnTaken(H2Stream&, size_t bytes) override { x.UpstreamTook(bytes); }
    void OnClosed(H2Stream&, H2Error code) override { x.UpstreamClosed(code); }
    H2Exchange& x;
  };

  void Begin(H2Fields fields, bool end);
  void RefuseHead();
  bool ReadHead(H2Fields fields, net::HttpRequest& request, std::string_view& authority);
  void AppendHead(const net::HttpRequest& request, H2Fields fields, std::string_view authority,
                  const Version& version, FieldList& head) const;
  void BeginKeeping(const net::HttpRequest& request, H2Fields fields, std::string_view authority,
                    const RouteTable::Route& route);
  void CameBody(std::string_view bytes);
  void CameTrailers(H2Fields fields);
  void RequestEnded();
  void ClientTook(size_t bytes);
  void Over(H2Error code);

  void CameAnswer(H2Fields fields, bool end);
  void AnswerTooLarge();
  void CameAnswerBody(std::string_view bytes);
  void CameAnswerTrailers(H2Fields fields);
  void AnswerEnded();
  void UpstreamTook(size_t bytes);
  void UpstreamClosed(H2Error code);

  void Connect();
  bool TryEndpoints();
  bool TryEndpoint(Endpoint& endpoint);
  void UseConnection();
  void PassOn();
  bool MayRetry(Reason reason, bool nothing_taken);
  void UpstreamFailed(Reason reason, const std::string& why, bool nothing_taken,
                      bool endpoint_at_fault = true);
  void Answer(int status, Reason reason, const std::string& message);
  void Cut(Reason reason, const std::string& message);
  void LetUpstreamGo();
  void StopWaiting();
  void Record();
  void SendShadow(StatusCode outcome) noexcept;
  void Count(Reason reason);
  bool Timely(SteadyTime now);
  bool ClientIsSlow() const;
  StatusCode Outcome() const;
  std::string Upstream() const;

  DownstreamH2& client_;
  Worker& worker_;
  H2Stream* stream_;  ///< the client's; null once it is closed
  Down down_user_{*this};
  Up up_user_{*this};

  VersionRef version_;  ///< null: no route
  SteadyTime started_{};
  std::optional<SteadyTime> deadline_;     ///< by grpc-timeout
  std::optional<SteadyTime> early_since_;  ///< the answer is out, the request has not ended
  bool grpc_ = false, prediction_ = false, drawn_ = false, idempotent_ = false, is_head_ = false;
  GrpcMethod call_ = GrpcMethod::kNone;
  std::string id_;
  FieldList head_, trailers_;
  KeptBodies kept_{worker_};

  // The request.
  std::string body_;  ///< what the upstream has not been given, and, while it is short, what it has
  size_t passed_ = 0;        ///< of it, was given
  bool keeps_body_ = true;   ///< to send it again
  bool body_lost_ = false;   ///< not all of it is there any more
  uint64_t body_bytes_ = 0;  ///< in all
  uint64_t taken_ = 0;       ///< of this try, is on its way
  uint64_t credited_ = 0;    ///< for so many the client has new credit
  bool request_ended_ = false;
  bool refused_ = false;  ///< answered by the gateway: what comes is read over

  // Its tries.
  int tries_ = 0;
  bool begun_ = false;  ///< counts in the budget
  bool retrying_ = false;
  bool pends_ = false;  ///< waits for a place
  UpstreamsH2::Place place_;
  bool backing_off_ = false;
  bool connecting_ = false;
  uint64_t serial_ = 0;  ///< of the try: a timer may come too late
  Endpoint* tried_ = nullptr;
  Endpoint* active_ = nullptr;
  std::shared_ptr<UpstreamH2> connection_;
  H2Stream* up_ = nullptr;
  SteadyTime waiting_since_{}, try_began_{}, answer_due_from_{};
  uint64_t connection_in_ = 0;  ///< what had come over it when the try began

  // The answer.
  bool answered_ = false;  ///< by the upstream, at least in part
  bool answer_ended_ = false;
  int status_ = 0;
  std::optional<StatusCode> grpc_status_;
  uint64_t answer_bytes_ = 0;
  uint64_t client_took_ = 0;
  Reason reason_ = Reason::kNone;
  std::optional<H2Error> reset_;  ///< by the upstream: the client gets the same
  uint64_t moved_ = 0;
  SteadyTime moved_at_{};
};

}  // namespace leadsman::gateway
