#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace leadsman::net {

/// Listening sockets for one address, one per I/O thread; the kernel spreads connections over them
/// (SO_REUSEPORT). The caller owns the descriptors.
///
/// SO_REUSEPORT alone would let a second process of the same user join the port without a word and
/// take half of the connections. So the first socket binds and listens without it, which fails when
/// anybody else is there, and only then is opened for its siblings.
struct ListenerGroup {
  std::vector<int> sockets;
  uint16_t port = 0;
  bool ipv6 = false;
  /// Of sockets that a ListenerStore keeps, else null. True: another process accepts on them, too. Who drains then closes its
  /// descriptors and leaves alone what is in the queue.
  std::shared_ptr<const std::atomic<bool>> handed_over = nullptr;

  bool IsHandedOver() const { return handed_over != nullptr && handed_over->load(); }
};

/// UNAVAILABLE when the address is in use; PERMISSION_DENIED, INVALID_ARGUMENT (not an IP address)
/// otherwise.
Result<ListenerGroup> Listen(const std::string& address, uint16_t port, int count);

/// A Unix socket at `path` instead, as one descriptor for each I/O thread. The owner of the descriptors removes the path
/// with the last of them. One that a process has left there, and nobody answers at, is replaced. UNAVAILABLE when somebody
/// does; INVALID_ARGUMENT when the path is too long; PERMISSION_DENIED, NOT_FOUND (its folder) … otherwise.
Result<ListenerGroup> ListenUnix(const std::string& path, int count);

/// Lets no new connection begin, while those whose handshake is under way complete. Without this,
/// connections that arrive between the last accept and the close would be reset with their
/// requests. Best effort: false where the kernel refuses.
bool RefuseNewConnections(int listening_socket);
/// Takes that back: new connections may begin again.
void LetNewConnectionsIn(int listening_socket);

}  // namespace leadsman::net
