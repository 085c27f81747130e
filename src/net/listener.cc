#include "net/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman::net {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> ParseAddress(const std::string& text, uint16_t port) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(*v4);
  } else if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(*v6);
  } else {
    return InvalidArgumentError(
        StrCat("cannot listen on \"", text,
               "\": not an IP address; use for example 127.0.0.1, 0.0.0.0 or ::1"));
  }
  return address;
}

Status Explain(int error, const std::string& address, uint16_t port) {
  std::string where = address.find(':') == std::string::npos ? StrCat(address, ":", port)
                                                             : StrCat("[", address, "]:", port);
  switch (error) {
    case EADDRINUSE:
      return UnavailableError(StrCat(
          "cannot listen on ", where,
          ": another process listens there; stop it or choose another port (0 = any free one)"));
    case EACCES:
      return PermissionDeniedError(
          StrCat("cannot listen on ", where,
                 ": not permitted; ports below 1024 need privileges, choose a higher one"));
    case EADDRNOTAVAIL:
      return InvalidArgumentError(
          StrCat("cannot listen on ", where,
                 ": this machine has no such address; choose one of its own or 0.0.0.0"));
    default:
      return UnavailableError(StrCat("cannot listen on ", where, ": ", strerror(error)));
  }
}

void Enable(int fd, int option) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
}

/// The socket, or -errno.
int OpenListener(const Address& address, bool first) {
  int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  Enable(fd, SO_REUSEADDR);
  if (!first) Enable(fd, SO_REUSEPORT);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      listen(fd, 4096) != 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  if (first) Enable(fd, SO_REUSEPORT);
  return fd;
}

}  // namespace

Result<ListenerGroup> Listen(const std::string& address_text, uint16_t port, int count) {
  ListenerGroup group;
  group.port = port;
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(Address address, ParseAddress(address_text, group.port));
    int fd = OpenListener(address, i == 0);
    if (fd < 0) {
      for (int opened : group.sockets) close(opened);
      return Explain(-fd, address_text, group.port);
    }
    group.sockets.push_back(fd);
    group.ipv6 = address.storage.ss_family == AF_INET6;
    sockaddr_storage bound{};
    socklen_t size = sizeof(bound);
    getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
    group.port = ntohs(group.ipv6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                  : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  }
  return group;
}

namespace {

/// Takes away a socket at which nobody listens any more. Anything else stays, for bind to complain about.
Status RemoveLeftSocket(const std::string& path, const sockaddr_un& address) {
  struct stat what {};
  if (lstat(path.c_str(), &what) != 0 || !S_ISSOCK(what.st_mode)) return OkStatus();
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return ErrnoStatus(errno, "open a socket for", path);
  const bool left =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == ECONNREFUSED;
  close(probe);
  if (left && unlink(path.c_str()) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "remove the socket that was left at", path);
  if (left) return OkStatus();
  return UnavailableError(
      StrCat("cannot listen on ", path,
             ": another process listens there; stop it or choose another path"));
}

}  // namespace

Result<ListenerGroup> ListenUnix(const std::string& path, int count) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return InvalidArgumentError(StrCat("cannot listen on \"", path,
                                       "\": the path of a Unix socket has from 1 to ",
                                       sizeof(address.sun_path) - 1, " bytes"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  RETURN_IF_ERROR(RemoveLeftSocket(path, address));
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(errno, "open a socket for", path);
  ListenerGroup group;
  group.sockets.push_back(fd);
  bool good = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
              listen(fd, 4096) == 0;
  while (good && group.sockets.size() < static_cast<size_t>(count)) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    good = copy >= 0;
    if (good) group.sockets.push_back(copy);
  }
  if (good) return group;
  Status why = ErrnoStatus(errno, "listen on", path);
  for (int opened : group.sockets) close(opened);
  return why;
}

bool RefuseNewConnections(int listening_socket) {
  // A filter on a listening socket sees segments from the TCP header on. Byte 13 holds the flags,
  // bit 1 is SYN: drop those, pass the ACKs that complete handshakes.
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x02, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  };
  sock_fprog program{4, code};
  return setsockopt(listening_socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

void LetNewConnectionsIn(int listening_socket) {
  int unused = 0;  // fails where there is no filter, which is as well
  setsockopt(listening_socket, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

}  // namespace leadsman::net
