#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace leadsman::net {

/// Where a socket connects to.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  bool operator==(const SocketAddress& other) const {
    return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
  }
};

/// The addresses of a host, in the order in which they are to be tried; never none. A literal address is not looked up. The
/// system's resolver knows no deadline: a look-up that takes too long is left to itself, 64 at most.
///
/// UNAVAILABLE names host and port; DEADLINE_EXCEEDED; what `check`, asked ten times a second, says. Thread-safe; blocks.
Result<std::vector<SocketAddress>> Resolve(const std::string& host, const std::string& port,
                                           std::chrono::steady_clock::time_point deadline,
                                           const std::function<Status()>& check = nullptr);

}  // namespace leadsman::net
