#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "monitor/labels/redis_options.h"

struct redisReader;

namespace leadsman {

namespace net {
class ClientConnection;
}

/// One connection to Redis (RESP2), logged in and in its database. Externally synchronised; blocks, but never longer than the
/// options' timeout, and ends within a tenth of a second once `cancelled` is true.
class RedisConnection {
 public:
  using Command = std::vector<std::string>;
  struct Reply {
    enum class Kind { kNil, kText, kInteger, kError, kOther };
    Kind kind = Kind::kNil;
    std::string text;  ///< of kText and kError
    int64_t integer = 0;
  };

  /// Errors are for an operator: UNAVAILABLE, DEADLINE_EXCEEDED, FAILED_PRECONDITION (a certificate), and those of
  /// StatusOfRedis.
  static Result<std::unique_ptr<RedisConnection>> Open(const RedisOptions& options,
                                                       const net::TlsClient* tls,
                                                       const std::atomic<bool>& cancelled);
  ~RedisConnection();

  /// Sends all and reads as many replies, in order. After an error the connection is of no use.
  Result<std::vector<Reply>> Ask(const std::vector<Command>& commands);

 private:
  struct FreeReader {
    void operator()(redisReader* reader) const;
  };
  RedisConnection(const RedisOptions& options, std::unique_ptr<net::ClientConnection> connection,
                  const std::atomic<bool>& cancelled);
  Status LogIn(const std::string& password);
  Status Feed(std::string_view bytes, std::vector<Reply>& replies);

  const RedisOptions& options_;
  const std::unique_ptr<net::ClientConnection> connection_;
  const std::atomic<bool>& cancelled_;
  const std::unique_ptr<redisReader, FreeReader> reader_;
};

/// What an error reply of Redis means and what helps. Those that concern one command alone, whatever was asked before and will
/// be after, are INVALID_ARGUMENT.
Status StatusOfRedis(std::string_view error, const RedisOptions& options);

}  // namespace leadsman
