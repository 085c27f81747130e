#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace leadsman::rpc {

/// The C++ library's own client over loopback, for any method. Confined to one thread.
class GrpcClient {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  struct Answer {
    Status status;
    std::string message;
    std::multimap<std::string, std::string> initial_metadata;
  };
  struct Options {
    bool gzip = false;
    int max_receive_bytes = -1;
    std::string authorities;       ///< PEM; then the channel is TLS
    std::string certificate, key;  ///< PEM, of the client
    std::string socket_path;       ///< of a Unix socket, instead of the port
  };
  GrpcClient(uint16_t port, Options options);
  explicit GrpcClient(uint16_t port) : GrpcClient(port, Options()) {}
  ~GrpcClient();

  /// `path`: "/package.Service/Method". Waits for at most `timeout`, which goes along as the call's deadline.
  Answer Call(const std::string& path, const std::string& request, const Metadata& metadata = {},
              std::chrono::milliseconds timeout = std::chrono::seconds(20));

  /// A bidirectional call.
  class Stream {
   public:
    virtual ~Stream() = default;
    virtual bool Write(const std::string& message) = 0;
    virtual bool Read(std::string& message) = 0;  ///< false at the end
    virtual void WritesDone() = 0;
    virtual void Cancel() = 0;
    virtual Status Finish() = 0;
  };
  std::unique_ptr<Stream> Open(const std::string& path, const Metadata& metadata = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman::rpc
