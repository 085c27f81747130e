#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "gateway/config.h"
#include "gateway/h2_session.h"
#include "gateway/worker.h"
#include "net/stream_socket.h"

// Internal to the gateway.

namespace leadsman::gateway {

class Downstream;
class H2Exchange;

/// A client that speaks HTTP/2: what a Downstream becomes once it has said so. Each stream is an H2Exchange.
///
///   open → draining (GOAWAY said twice: "soon", then "from here on") → over: all is answered
///
/// Confined to its worker's thread.
class DownstreamH2 final : public H2Session::Owner {
 public:
  DownstreamH2(Worker& worker, Downstream& client, std::string address,
               ListenerOptions::Forwarded forwarded, bool secure);
  ~DownstreamH2();
  DownstreamH2(const DownstreamH2&) = delete;
  DownstreamH2& operator=(const DownstreamH2&) = delete;

  /// False when there is no memory for it.
  bool Start();
  /// The socket has something to say. False when the connection is of no more use.
  bool Step();
  /// Likewise.
  bool Sweep(SteadyTime now);
  /// The connection goes: so does all that is under way.
  void End();
  /// All is said and answered: the connection may end.
  bool over() const { return over_; }

  // For exchanges.
  Worker& worker() { return worker_; }
  const std::string& address() const { return address_; }
  ListenerOptions::Forwarded forwarded() const { return forwarded_; }
  bool secure() const { return secure_; }
  void Remove(H2Exchange& exchange);

  // As the session's owner.
  H2Stream::User* OnStream(H2Stream& stream) override;
  void OnOutput() override;

 private:
  net::StreamSocket& socket();
  void Flush();
  void BeginDrain(SteadyTime now);

  Worker& worker_;
  Downstream& client_;
  const std::string address_;
  const ListenerOptions::Forwarded forwarded_;
  const bool secure_;
  std::unique_ptr<H2Session> session_;
  std::vector<std::shared_ptr<H2Exchange>> exchanges_;
  bool dirty_ = false;  ///< is flushed at the end of the turn
  bool ended_ = false;
  bool over_ = false;
  bool goaway_soon_ = false, goaway_final_ = false;
  SteadyTime drain_began_{};
  SteadyTime last_stream_{};  ///< when there was one
  SteadyTime head_since_{};   ///< a head is being read; the epoch: none is
  uint64_t sent_ = 0;
  SteadyTime sent_at_{};
};

}  // namespace leadsman::gateway
