#include "app/service_notify.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>

#include "base/fs.h"
#include "base/strings.h"
#include "base/unique_fd.h"

namespace leadsman {

Status NotifyServiceManager(const std::string& address, const std::string& state) {
  if (address.empty()) return OkStatus();
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (address.size() >= sizeof(to.sun_path) || (address[0] != '/' && address[0] != '@'))
    return InvalidArgumentError(StrCat("NOTIFY_SOCKET: ", address, " is no Unix socket"));
  memcpy(to.sun_path, address.data(), address.size());
  if (address[0] == '@') to.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  if (!socket.valid() || sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&to), size) < 0)
    return ErrnoStatus(errno, "tell the service manager at", address);
  return OkStatus();
}

}  // namespace leadsman
