#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/status.h"
#include "intake/envoy_intake.h"
#include "net/drainable.h"
#include "net/http2_server.h"

namespace leadsman::rpc {

/// The gRPC services by which Envoy tells of requests:
///   envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs
///   envoy.service.ext_proc.v3.ExternalProcessor/Process
///
/// ext_proc in observability mode is not answered, and its call is ended as soon as the answer has been told of. In the other
/// modes every message is answered with "continue", whatever becomes of it here: traffic is never changed, refused or held.
///
/// Has one I/O thread, on which the intake is used. Thread-safe.
class EnvoyServer : public net::DrainableServer {
 public:
  /// The largest message that is taken.
  static constexpr size_t kMaxMessage = 16 << 20;

  /// Errors as of net::Http2Server::Start; the address is that of the intake's options. The intake must outlive it, and
  /// `listeners`, which is as of net::HttpServerOptions.
  static Result<std::unique_ptr<EnvoyServer>> Start(intake::EnvoyIntake& intake, const Clock& clock,
                                                    net::ListenerStore* listeners = nullptr);
  ~EnvoyServer() override;

  uint16_t port() const;
  net::HttpServerStats stats() const;
  std::string_view drain_name() const override { return "envoy"; }
  void BeginDrain(std::chrono::milliseconds grace) override;
  bool AwaitDrained(std::chrono::milliseconds wait) override;

 private:
  EnvoyServer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::rpc
