#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"

namespace leadsman::gateway {

/// A server on 127.0.0.1 that does with each connection what a test says, however rude: a function on a thread of its own.
/// Every wait ends after ten seconds, or when the server goes.
class ScriptedUpstream {
 public:
  class Connection {
   public:
    Connection(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}
    ~Connection() { Close(); }

    /// Up to and with the empty line; "" when the client has gone.
    std::string ReadHead() {
      size_t end;
      while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
        if (!More()) return "";
      }
      return Take(end + 4);
    }
    /// So many bytes, or fewer when the client goes.
    std::string Read(size_t bytes) {
      while (input_.size() < bytes && More()) {
      }
      return Take(std::min(bytes, input_.size()));
    }
    /// Until `text` has come, with it.
    std::string ReadTo(std::string_view text) {
      size_t at;
      while ((at = input_.find(text)) == std::string::npos) {
        if (!More()) return Take(input_.size());
      }
      return Take(at + text.size());
    }
    /// True when the client has ended the connection.
    bool AwaitEnd() {
      while (More()) {
      }
      return ended_;
    }
    bool Send(std::string_view bytes) {
      while (!bytes.empty()) {
        const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
      }
      return true;
    }
    void Answer(std::string_view body, std::string_view fields = "") {
      Send("HTTP/1.1 200 OK\r\n" + std::string(fields) +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
    }
    void Reset() {
      linger now{1, 0};
      setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      Close();
    }
    void Close() {
      if (fd_ >= 0) close(fd_);
      fd_ = -1;
    }
    int fd() const { return fd_; }

   private:
    bool More() {
      for (int waited = 0; waited < 1000 && !stopping_ && fd_ >= 0; ++waited) {
        pollfd p{fd_, POLLIN, 0};
        if (poll(&p, 1, 10) <= 0) continue;
        char buffer[65536];
        const ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
        if (n <= 0) {
          ended_ = true;
          return false;
        }
        input_.append(buffer, static_cast<size_t>(n));
        return true;
      }
      return false;
    }
    std::string Take(size_t bytes) {
      std::string out = input_.substr(0, bytes);
      input_.erase(0, bytes);
      return out;
    }

    int fd_;
    const std::atomic<bool>& stopping_;
    std::string input_;
    bool ended_ = false;
  };
  using Script = std::function<void(Connection&)>;

  explicit ScriptedUpstream(Script script, int backlog = 64) : script_(std::move(script)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(listen(listener_, backlog) == 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedUpstream() {
    stopping_ = true;
    acceptor_.join();
    std::vector<std::thread> threads;
    {
      MutexLock lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
    close(listener_);
  }
  ScriptedUpstream(const ScriptedUpstream&) = delete;
  ScriptedUpstream& operator=(const ScriptedUpstream&) = delete;

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void Accept() {
    while (!stopping_) {
      pollfd p{listener_, POLLIN, 0};
      if (poll(&p, 1, 10) <= 0) continue;
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++connections_;
      MutexLock lock(mutex_);
      threads_.emplace_back([this, fd] {
        Connection connection(fd, stopping_);
        script_(connection);
      });
    }
  }

  const Script script_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::thread acceptor_;
  Mutex mutex_;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

/// An address at which nobody listens.
inline std::string DeadEndpoint() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const uint16_t port = ntohs(address.sin_port);
  close(fd);
  return "127.0.0.1:" + std::to_string(port);
}

}  // namespace leadsman::gateway
