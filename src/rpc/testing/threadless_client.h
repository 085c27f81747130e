#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

struct nghttp2_session;

namespace leadsman::rpc {

/// gRPC over plain HTTP/2, as much of it as a test of the server's threads needs: any number of calls on one connection,
/// which is driven by the thread that has it. It has no thread and no lock of its own, so that ThreadSanitizer, which
/// knows nothing of what goes on inside of the C++ library's client, sees the server alone.
///
/// Confined to one thread.
class ThreadlessClient {
 public:
  struct Call {
    std::vector<std::string> messages;
    std::optional<Status>
        status;  ///< once the call has ended; UNAVAILABLE when the connection did, or refused it
  };
  explicit ThreadlessClient(uint16_t port);
  ~ThreadlessClient();
  ThreadlessClient(const ThreadlessClient&) = delete;
  ThreadlessClient& operator=(const ThreadlessClient&) = delete;

  /// Begins a call of "/package.Service/Method"; the id is valid until Forget. Nothing is sent before Drive.
  int Start(const std::string& path);
  void Write(int id, std::string_view message);
  void WritesDone(int id);
  void Cancel(int id);
  const Call& call(int id) const;
  void Forget(int id);

  /// Sends and receives until `until` says so; false when it does not within 20 seconds.
  bool Drive(const std::function<bool()>& until);
  /// A whole call with one message each way.
  Call Ask(const std::string& path, std::string_view message);

  /// The server has said that it takes no further calls on this connection, or has ended it.
  bool told_to_go() const { return told_to_go_; }
  bool closed() const { return socket_ < 0; }

 private:
  struct Stream;
  friend struct ThreadlessCallbacks;
  bool Exchange();
  void Disconnect();
  void End(Stream& stream, Status status);

  int socket_ = -1;
  nghttp2_session* session_ = nullptr;
  std::map<int, std::unique_ptr<Stream>> streams_;
  std::string out_;
  bool told_to_go_ = false;
};

}  // namespace leadsman::rpc
