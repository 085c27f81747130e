#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "monitor/labels/redis_connection.h"

namespace leadsman {

/// A real Redis on a free port of loopback, without anything on disk, for one test. Debian's redis-tools has the server as
/// redis-check-rdb, which is one under the name redis-server.
class RedisProcess {
 public:
  static constexpr const char* kProgram = "/usr/bin/redis-check-rdb";
  static bool Installed() { return access(kProgram, X_OK) == 0; }

  /// `more`: of the command line; PORT is its port.
  explicit RedisProcess(std::vector<std::string> more = {}) : more_(std::move(more)) {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(a);
    CHECK(bind(probe, reinterpret_cast<sockaddr*>(&a), size) == 0);
    getsockname(probe, reinterpret_cast<sockaddr*>(&a), &size);
    port_ = ntohs(a.sin_port);
    close(probe);
    Start();
  }
  ~RedisProcess() { Kill(); }
  RedisProcess(const RedisProcess&) = delete;
  RedisProcess& operator=(const RedisProcess&) = delete;

  void Start() {
    std::vector<std::string> words = {"redis-server",
                                      "--port",
                                      std::to_string(port_),
                                      "--bind",
                                      "127.0.0.1",
                                      "--save",
                                      "",
                                      "--dir",
                                      folder_.path().string(),
                                      "--logfile",
                                      folder_.file("redis.log")};
    for (const std::string& word : more_)
      words.push_back(word == "PORT" ? std::to_string(port_) : word);
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    child_ = fork();
    CHECK(child_ >= 0);
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) execv(kProgram, argv.data());
      _exit(127);
    }
    for (int i = 0; i < 2000; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in a{};
      a.sin_family = AF_INET;
      a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      a.sin_port = htons(port_);
      const bool there = connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof(a)) == 0;
      close(fd);
      if (there) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK(false);
  }
  /// With everything that it held.
  void Kill() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

  RedisOptions options() const {
    RedisOptions options;
    options.address = StrCat("127.0.0.1:", port_);
    return options;
  }
  /// One command; its reply, of an error its words.
  RedisConnection::Reply Ask(RedisConnection::Command command) const {
    static const std::atomic<bool> never{false};
    const RedisOptions mine = options();
    auto connection = RedisConnection::Open(mine, nullptr, never);
    CHECK(connection.ok());
    auto replies = (*connection)->Ask({std::move(command)});
    CHECK(replies.ok());
    return replies->front();
  }

 private:
  const std::vector<std::string> more_;
  TempDir folder_;
  uint16_t port_ = 0;
  pid_t child_ = 0;
};

}  // namespace leadsman
