#pragma once

#include <cstdint>
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

}  // namespace leadsman::net
