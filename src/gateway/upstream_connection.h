#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gateway/upstreams.h"
#include "gateway/worker.h"
#include "net/answer_head.h"
#include "net/event_loop.h"
#include "net/stream_socket.h"

namespace leadsman::gateway {

class Downstream;

/// A socket that is being connected; -1, with the errno, when that cannot even be begun.
int BeginConnect(const net::SocketAddress& address, int* error);

/// One connection to an endpoint: being made, used by one client's request, or kept for the next one. Counts itself among the
/// endpoint's connections until it is closed. Confined to its worker's thread.
class UpstreamConnection final : public net::EventLoop::Watcher,
                                 public std::enable_shared_from_this<UpstreamConnection> {
 public:
  /// To the endpoint's address number `turn`, counted round. With a place among the endpoint's connections, which is given back
  /// when it closes; the caller keeps it if it cannot even be begun: null, with the errno. `user` hears of it by OnUpstream.
  static std::shared_ptr<UpstreamConnection> Open(Worker& worker, const VersionRef& version,
                                                  Endpoint& endpoint, Downstream& user, size_t turn,
                                                  int* error);
  /// Takes over a place among the endpoint's connections.
  UpstreamConnection(Worker& worker, VersionRef version, Endpoint& endpoint,
                     const net::SocketAddress& address, int socket);
  ~UpstreamConnection();

  void OnEvents(uint32_t events) override;

  net::StreamSocket& socket() { return socket_; }
  Endpoint& endpoint() { return endpoint_; }
  const Version& version() const { return *version_; }
  bool connecting() const { return connecting_; }
  /// The errno with which connecting has failed; 0 when it has not.
  int connect_error() const { return connect_error_; }
  /// What is to be said of the endpoint when TLS is why; else empty.
  const std::string& tls_problem() const { return tls_problem_; }
  /// Another request has been answered over it.
  bool reused() const { return reused_; }
  SteadyTime idle_since() const { return idle_since_; }

  void Use(Downstream& user);
  void Release() { user_ = nullptr; }
  void BecomeIdle();
  /// For requests by the table that is in force. False when its endpoint does not stand there, or is spoken to otherwise by now.
  bool Renew();
  /// Nothing has come that nobody asked for, and it has not ended.
  bool IsQuiet();
  /// The endpoint's name still stands for its address.
  bool IsCurrent() const;
  /// The other side had ended the connection before it has seen a byte of what was sent since Use: its end has come, and
  /// acknowledges none of it. A reset says nothing of the kind.
  bool NothingTaken() const;
  void Close();

 private:
  struct Traffic {
    bool known = false;
    uint64_t acknowledged = 0;  ///< of ours, by the other side
    uint64_t received = 0;      ///< of theirs, and one for their end
  };
  Traffic TcpTraffic() const;
  bool Connected(uint32_t events);
  bool ShakenHands();

  Worker& worker_;
  VersionRef version_;
  Endpoint& endpoint_;  ///< of the version
  const net::SocketAddress address_;
  net::StreamSocket socket_;
  Downstream* user_ = nullptr;
  bool connecting_ = true;
  bool reused_ = false;
  int connect_error_ = 0;
  std::string tls_problem_;
  Traffic at_start_;
  uint64_t sent_before_ = 0;
  SteadyTime idle_since_{};
};

}  // namespace leadsman::gateway
