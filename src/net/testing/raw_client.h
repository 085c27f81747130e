#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/check.h"

namespace leadsman::net {

/// A socket to 127.0.0.1 for tests that have to send what no proper client would. Every wait ends
/// after ten seconds. Externally synchronised.
class RawClient {
 public:
  explicit RawClient(uint16_t port) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof(a)) == 0;
  }
  virtual ~RawClient() { Close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  int fd() const { return fd_; }
  bool connected() const { return connected_; }

  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  /// False when the server has closed.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = Put(bytes);
      if (n <= 0) return false;
      bytes.remove_prefix(size_t(n));
    }
    return true;
  }

  /// One whole answer (head and body by its Content-Length), or what came before the connection
  /// ended.
  std::string ReadResponse(bool without_body = false) {
    size_t end;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return Take(input_.size());
    }
    size_t size = end + 4;
    size_t at = input_.find("Content-Length: ");
    if (!without_body && at != std::string::npos && at < end)
      size += std::strtoull(input_.c_str() + at + 16, nullptr, 10);
    while (input_.size() < size) {
      if (!ReadMore()) return Take(input_.size());
    }
    return Take(size);
  }

  /// Everything until the server closes. `*reset` tells whether it did so the hard way.
  std::string ReadUntilClosed(bool* reset = nullptr) {
    while (ReadMore()) {
    }
    if (reset != nullptr) *reset = reset_;
    return Take(input_.size());
  }

  bool closed() const { return closed_; }

 protected:
  /// As send and recv, which wait.
  virtual ssize_t Put(std::string_view bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  virtual ssize_t Get(char* out, size_t room) { return recv(fd_, out, room, 0); }
  /// False when nothing comes.
  virtual bool AwaitInput() {
    pollfd p{fd_, POLLIN, 0};
    return poll(&p, 1, 10'000) > 0;
  }

 private:
  bool ReadMore() {
    if (!AwaitInput()) return false;
    char buffer[65536];
    ssize_t n = Get(buffer, sizeof(buffer));
    if (n > 0) {
      input_.append(buffer, size_t(n));
      return true;
    }
    closed_ = true;
    reset_ = n < 0;
    return false;
  }
  std::string Take(size_t n) {
    std::string out = input_.substr(0, n);
    input_.erase(0, n);
    return out;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool closed_ = false;
  bool reset_ = false;
  std::string input_;
};

}  // namespace leadsman::net
