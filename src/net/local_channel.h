#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace leadsman::net {

/// One message between two processes of one machine, and the descriptors that came with it.
struct LocalMessage {
  std::string text;
  std::vector<UniqueFd> sockets;
};

/// A conversation of two processes of one user on one machine, in messages of bounded size that may carry sockets (SCM_RIGHTS).
/// Nothing waits for longer than it is told to.
///
/// Confined.
class LocalChannel {
 public:
  static constexpr size_t kMaxText = 64 << 10;
  static constexpr size_t kMaxSockets = 128;  ///< the kernel takes 253

  /// NOT_FOUND when nobody listens at the path. PERMISSION_DENIED when somebody else's socket is there, as PeerIsOurs has it.
  static Result<std::unique_ptr<LocalChannel>> Connect(const std::string& path,
                                                       std::chrono::milliseconds wait);
  explicit LocalChannel(UniqueFd socket);

  /// The other process, as the kernel says; 0: it lives in another namespace.
  pid_t peer() const { return peer_; }
  /// PERMISSION_DENIED when it runs under another user.
  Status PeerIsOurs() const;
  /// Whether the other process is over. Waits for that for at most `wait`. False where the kernel cannot tell.
  bool PeerHasEnded(std::chrono::milliseconds wait) const;

  /// UNAVAILABLE when the other side is gone; DEADLINE_EXCEEDED.
  Status Send(std::string_view text, std::span<const int> sockets, std::chrono::milliseconds wait);
  /// The same, and INVALID_ARGUMENT for a message that is too long or has too many sockets.
  Result<LocalMessage> Receive(std::chrono::milliseconds wait);
  int socket() const { return socket_.get(); }  ///< to be polled

 private:
  UniqueFd socket_;
  UniqueFd process_;  ///< pidfd of the peer; none where the kernel has none
  pid_t peer_ = 0;
  uid_t peer_user_ = 0;
};

/// Where others connect. The path is of mode 0600, and goes with the listener, unless somebody has put another one in its place.
class LocalListener {
 public:
  /// One that a process has left there, and nobody answers at, is replaced. UNAVAILABLE when somebody does; INVALID_ARGUMENT when the path
  /// is too long or something else lies there; PERMISSION_DENIED, NOT_FOUND (its folder) … otherwise.
  static Result<std::unique_ptr<LocalListener>> Listen(const std::string& path);
  ~LocalListener();
  LocalListener(const LocalListener&) = delete;
  LocalListener& operator=(const LocalListener&) = delete;

  /// Who waits; null when nobody does. Does not wait.
  std::unique_ptr<LocalChannel> Accept();
  int socket() const { return socket_.get(); }  ///< to be polled
  const std::string& path() const { return path_; }

 private:
  LocalListener(UniqueFd socket, std::string path) : socket_(std::move(socket)), path_(path) {}

  UniqueFd socket_;
  const std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace leadsman::net
