#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/schema.h"
#include "net/http_client.h"

namespace leadsman {

/// The Redis in which predictions of several processes wait for their labels, and as whom it is spoken to. Parsed from the
/// configuration (`monitor.labels.redis`).
struct RedisOptions {
  std::string address;                       ///< host:port
  std::string user;                          ///< of Redis' ACL; empty: its default user
  std::string password_file;                 ///< read at every connection; empty: none is given
  std::optional<net::TlsClientOptions> tls;  ///< absent: without
  uint32_t database = 0;
  std::string key_prefix = "leadsman:";
  std::chrono::milliseconds timeout{2'000};  ///< to connect, and for each round trip
};

const schema::Struct<RedisOptions>& RedisOptionsSchema();

/// What of its files cannot be read, as "password_file: …". Blocks for the files.
std::vector<std::string> CheckRedisFiles(const RedisOptions& options);

/// INVALID_ARGUMENT when it is empty; never repeats what is in it.
Result<std::string> ReadRedisPassword(const RedisOptions& options);

}  // namespace leadsman
