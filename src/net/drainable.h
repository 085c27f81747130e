#pragma once

#include <chrono>
#include <string_view>

namespace leadsman::net {

/// A server that is taken out of service without losing a request, whatever it speaks. The process drains all of its
/// servers side by side:
///   for (DrainableServer* server : servers) server->BeginDrain(grace);
///   for (DrainableServer* server : servers) server->AwaitDrained(left);
/// Readiness has been off for a while by then (the `drain.delay` of the configuration), and the server has gone on
/// accepting meanwhile: that needs nothing from it.
///
/// Thread-safe.
class DrainableServer {
 public:
  virtual ~DrainableServer() = default;
  /// For the log: "http", "grpc".
  virtual std::string_view drain_name() const = 0;
  /// Takes no further connections, tells each client to go elsewhere (`Connection: close`, GOAWAY), answers what has
  /// begun, and cuts what is left after `grace`. Returns at once. Called again it can only shorten the time that is left.
  virtual void BeginDrain(std::chrono::milliseconds grace) = 0;
  /// True once no request is in flight and no handler runs. Blocks for at most `wait`.
  virtual bool AwaitDrained(std::chrono::milliseconds wait) = 0;
};

}  // namespace leadsman::net
