#include "net/local_channel.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman::net {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return InvalidArgumentError(StrCat("\"", path, "\": the path of a Unix socket has from 1 to ",
                                       sizeof(address.sun_path) - 1,
                                       " bytes; choose a shorter one"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Raw(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

UniqueFd NewSocket() {
  return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// False when that takes longer.
bool AwaitEvents(int fd, short events, Steady::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
    pollfd one{fd, events, 0};
    const int got = poll(&one, 1, static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)));
    if (got > 0) return true;
    if (got == 0 || errno != EINTR) return false;
  }
}

Status Gone() { return UnavailableError("the other process has ended the conversation"); }

}  // namespace

LocalChannel::LocalChannel(UniqueFd socket) : socket_(std::move(socket)) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  peer_user_ = static_cast<uid_t>(-1);
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return;
  peer_ = peer.pid;
  peer_user_ = peer.uid;
  if (peer_ > 0) process_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, peer_, 0)));
}

Result<std::unique_ptr<LocalChannel>> LocalChannel::Connect(const std::string& path,
                                                            milliseconds wait) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  UniqueFd socket = NewSocket();
  if (socket.get() < 0) return ErrnoStatus(errno, "open a socket for", path);
  const auto until = Steady::now() + wait;
  // A Unix socket whose queue is full says so at once; it is tried again for a while.
  while (connect(socket.get(), Raw(address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED)
      return NotFoundError(StrCat("nobody listens at ", path));
    if (errno != EAGAIN && errno != EINTR) return ErrnoStatus(errno, "connect to", path);
    if (Steady::now() >= until)
      return DeadlineExceededError(
          StrCat("the process that listens at ", path, " takes no connection"));
    poll(nullptr, 0, 10);
  }
  auto channel = std::make_unique<LocalChannel>(std::move(socket));
  RETURN_IF_ERROR(Annotate(channel->PeerIsOurs(), path));
  return channel;
}

Status LocalChannel::PeerIsOurs() const {
  if (peer_user_ == geteuid()) return OkStatus();
  return PermissionDeniedError(StrCat("the process at the other end (pid ", peer_,
                                      ") runs as user ", peer_user_, ", this one as ", geteuid()));
}

bool LocalChannel::PeerHasEnded(milliseconds wait) const {
  return process_.get() >= 0 && AwaitEvents(process_.get(), POLLIN, Steady::now() + wait);
}

Status LocalChannel::Send(std::string_view text, std::span<const int> sockets, milliseconds wait) {
  if (text.empty() || text.size() > kMaxText || sockets.size() > kMaxSockets)
    return InvalidArgumentError("a message between two processes is too long");
  iovec piece{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxSockets * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!sockets.empty()) {
    message.msg_control = room.data();
    message.msg_controllen = CMSG_SPACE(sockets.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sockets.size_bytes());
    memcpy(CMSG_DATA(head), sockets.data(), sockets.size_bytes());
  }
  const auto until = Steady::now() + wait;
  for (;;) {
    if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL) >= 0) return OkStatus();
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return Gone();
    if (errno != EAGAIN) return ErrnoStatus(errno, "send to", "the other process");
    if (!AwaitEvents(socket_.get(), POLLOUT, until))
      return DeadlineExceededError("the other process takes no message");
  }
}

Result<LocalMessage> LocalChannel::Receive(milliseconds wait) {
  LocalMessage got;
  got.text.resize(kMaxText);
  iovec piece{got.text.data(), got.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxSockets * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const auto until = Steady::now() + wait;
  ssize_t length = -1;
  bool reset = false;
  for (;;) {
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    length = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (length >= 0) break;
    if (errno == EINTR) continue;
    // One that has closed without having read all is told of first; what it has said before that comes after.
    if (errno == ECONNRESET && !std::exchange(reset, true)) continue;
    if (errno == ECONNRESET) return Gone();
    if (errno != EAGAIN) return ErrnoStatus(errno, "hear from", "the other process");
    if (!AwaitEvents(socket_.get(), POLLIN, until))
      return DeadlineExceededError(
          StrCat("the other process has said nothing for ", wait.count(), " ms"));
  }
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
      got.sockets.emplace_back(fd);
    }
  }
  if (length == 0) return Gone();
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return InvalidArgumentError(
        "a message of the other process is too long, or its sockets are more than this process may "
        "open");
  }
  got.text.resize(static_cast<size_t>(length));
  return got;
}

Result<std::unique_ptr<LocalListener>> LocalListener::Listen(const std::string& path) {
  ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode))
      return InvalidArgumentError(StrCat(path, " is there and no socket; choose another path"));
    UniqueFd probe = NewSocket();
    if (!probe.valid()) return ErrnoStatus(errno, "open a socket for", path);
    if (connect(probe.get(), Raw(address), sizeof(address)) == 0 || errno != ECONNREFUSED) {
      return UnavailableError(
          StrCat("another process listens at ", path, "; stop it or choose another path"));
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, "remove the socket that was left at", path);
  }
  UniqueFd socket = NewSocket();
  if (socket.get() < 0) return ErrnoStatus(errno, "open a socket for", path);
  // Between bind and listen nobody can connect: the mode is right before anybody does.
  if (bind(socket.get(), Raw(address), sizeof(address)) != 0 || chmod(path.c_str(), 0600) != 0 ||
      listen(socket.get(), 16) != 0 || lstat(path.c_str(), &there) != 0)
    return ErrnoStatus(errno, "listen at", path);
  std::unique_ptr<LocalListener> listener(new LocalListener(std::move(socket), path));
  listener->device_ = there.st_dev;
  listener->inode_ = there.st_ino;
  return listener;
}

LocalListener::~LocalListener() {
  struct stat there {};
  if (lstat(path_.c_str(), &there) == 0 && there.st_dev == device_ && there.st_ino == inode_)
    unlink(path_.c_str());
}

std::unique_ptr<LocalChannel> LocalListener::Accept() {
  UniqueFd socket(accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() < 0) return nullptr;
  return std::make_unique<LocalChannel>(std::move(socket));
}

}  // namespace leadsman::net
