#include "gateway/upstream_connection.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/downstream.h"
#include "gateway/upstream_tls.h"

namespace leadsman::gateway {

int BeginConnect(const net::SocketAddress& address, int* error) {
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    *error = errno;
    return -1;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd, address.get(), address.size) == 0 || errno == EINPROGRESS) return fd;
  *error = errno;
  close(fd);
  return -1;
}

std::shared_ptr<UpstreamConnection> UpstreamConnection::Open(Worker& worker,
                                                             const VersionRef& version,
                                                             Endpoint& endpoint, Downstream& user,
                                                             size_t turn, int* error) {
  auto failed = [&](int why) {
    *error = why;
    return nullptr;
  };
  const auto addresses = endpoint.addresses.Get();
  if (addresses->empty()) return failed(EADDRNOTAVAIL);
  const net::SocketAddress& address = (*addresses)[turn % addresses->size()];
  const int fd = BeginConnect(address, error);
  if (fd < 0) return nullptr;
  auto connection = std::make_shared<UpstreamConnection>(worker, version, endpoint, address, fd);
  connection->user_ = &user;
  if (!worker.loop().Watch(fd, *connection)) {
    endpoint.connections.fetch_add(1);  // the caller's, which Close gives back
    connection->Close();
    return failed(ENOMEM);
  }
  worker.CountersOf(*version).connections.Add();
  return connection;
}

UpstreamConnection::UpstreamConnection(Worker& worker, VersionRef version, Endpoint& endpoint,
                                       const net::SocketAddress& address, int socket)
    : worker_(worker),
      version_(std::move(version)),
      endpoint_(endpoint),
      address_(address),
      socket_(socket, worker.pool()) {}

UpstreamConnection::~UpstreamConnection() { Close(); }

void UpstreamConnection::OnEvents(uint32_t events) {
  if (!socket_.open()) return;
  const auto self = shared_from_this();
  socket_.OnEvents(events);
  if (connecting_) {
    if (!Connected(events)) return;
    connecting_ = false;
  }
  if (user_ != nullptr) return user_->OnUpstream();
  // A kept one: whatever it is, nobody asked for it. That it can be written to says nothing, nor do TLS's own words.
  if ((events & ~net::EventLoop::kWritable) && !(socket_.encrypted() && IsQuiet()))
    worker_.DropIdle(*this);
}

/// False while it is being connected; true also when that has failed.
bool UpstreamConnection::Connected(uint32_t events) {
  if (socket_.encrypted()) return ShakenHands();
  if (socket_.broken()) {
    connect_error_ = socket_.error() != 0 ? socket_.error() : ECONNRESET;
    return true;
  }
  if (!(events & net::EventLoop::kWritable)) return false;
  at_start_ = TcpTraffic();
  if (!version_->tls) return true;
  if (BeginUpstreamTls(socket_, *version_, endpoint_)) return ShakenHands();
  connect_error_ = ENOMEM;
  return true;
}

/// That the socket is broken is no end yet: an alert may have come before, which says why.
bool UpstreamConnection::ShakenHands() {
  const auto shake = socket_.Handshake();
  if (shake == net::StreamSocket::Shake::kPending && !socket_.broken()) return false;
  if (shake == net::StreamSocket::Shake::kDone) return true;
  connect_error_ = EPROTO;
  tls_problem_ = WhyTlsFailed(socket_, *version_, endpoint_);
  return true;
}

void UpstreamConnection::Use(Downstream& user) {
  user_ = &user;
  sent_before_ = socket_.wire_out();
}

void UpstreamConnection::BecomeIdle() {
  user_ = nullptr;
  reused_ = true;
  idle_since_ = worker_.now();
}

bool UpstreamConnection::Renew() {
  const Version* const now = worker_.table().VersionOf(endpoint_);
  if (now == version_.get()) return true;
  if (now == nullptr || !now->SpokenToAs(*version_)) return false;
  version_ = worker_.Hold(*now);
  return true;
}

bool UpstreamConnection::IsQuiet() {
  return socket_.input().empty() && socket_.Fill() == net::StreamSocket::Got::kNothing;
}

bool UpstreamConnection::IsCurrent() const { return endpoint_.Has(address_); }

UpstreamConnection::Traffic UpstreamConnection::TcpTraffic() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket_.descriptor(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return {true, info.tcpi_bytes_acked, info.tcpi_bytes_received};
}

bool UpstreamConnection::NothingTaken() const {
  const Traffic now = TcpTraffic();
  if (!now.known || !at_start_.known) return false;
  // An end has a sequence number of its own. What a reset acknowledges, the kernel does not count: without an end before it,
  // the request may have been read.
  const bool ended = now.received - at_start_.received > socket_.wire_in();
  return ended && now.acknowledged - at_start_.acknowledged <= sent_before_;
}

void UpstreamConnection::Close() {
  if (!socket_.open()) return;
  user_ = nullptr;
  worker_.loop().Unwatch(socket_.descriptor());
  socket_.Close();
  endpoint_.connections.fetch_sub(1, std::memory_order_relaxed);
  // Events of this turn may still come for it.
  if (const auto self = weak_from_this().lock()) worker_.loop().Bury(self);
  worker_.Freed(*version_);
}

}  // namespace leadsman::gateway
