#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>

#include "net/listener.h"

namespace leadsman::net {

/// A port of 127.0.0.1 at which nobody listens, for what must be told its port.
inline uint16_t FreePort() {
  auto group = Listen("127.0.0.1", 0, 1);
  EXPECT_TRUE(group.ok()) << group.status();
  if (!group.ok()) return 0;
  for (const int socket : group->sockets) close(socket);
  return group->port;
}

}  // namespace leadsman::net
