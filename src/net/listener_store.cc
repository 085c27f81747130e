#include "net/listener_store.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.h"

namespace leadsman::net {
namespace {

void CloseAll(const std::vector<int>& sockets) {
  for (const int socket : sockets) close(socket);
}

Result<std::vector<int>> CopyAll(const std::vector<int>& sockets) {
  std::vector<int> copies;
  for (const int socket : sockets) {
    const int copy = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
      const int error = errno;
      CloseAll(copies);
      return ResourceExhaustedError(StrCat("a listening socket cannot be copied: ", strerror(error),
                                           "; raise the limit on open files"));
    }
    copies.push_back(copy);
  }
  return copies;
}

/// The port at which a socket listens for TCP; 0: it does not.
uint16_t ListeningPort(int socket) {
  int listens = 0, protocol = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return 0;
  size = sizeof(protocol);
  if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 || protocol != IPPROTO_TCP)
    return 0;
  sockaddr_storage bound{};
  size = sizeof(bound);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  if (bound.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(bound).sin_port);
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(bound).sin6_port);
  return 0;
}

}  // namespace

std::string ListenerName::Text() const {
  const bool ipv6 = address.find(':') != std::string::npos;
  return StrCat(ipv6 ? "[" : "", address, ipv6 ? "]:" : ":", port);
}

ListenerStore::~ListenerStore() { Close(); }

void ListenerStore::Close() {
  MutexLock lock(mutex_);
  for (const Kept& kept : kept_) CloseAll(kept.sockets);
  kept_.clear();
}

ListenerStore::Kept* ListenerStore::Find(const ListenerName& name) {
  const auto at =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.name == name; });
  return at == kept_.end() ? nullptr : &*at;
}

const ListenerStore::Kept* ListenerStore::Find(const ListenerName& name) const {
  const auto at =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.name == name; });
  return at == kept_.end() ? nullptr : &*at;
}

Result<ListenerGroup> ListenerStore::Listen(const std::string& address, uint16_t port, int count) {
  // One that the kernel chooses is another one each time: nobody could ask for it again.
  if (port == 0) return net::Listen(address, port, count);
  MutexLock lock(mutex_);
  Kept* kept = Find({address, port});
  if (kept == nullptr) {
    ASSIGN_OR_RETURN(ListenerGroup opened, net::Listen(address, port, count));
    kept_.push_back({.name = {address, opened.port}, .sockets = std::move(opened.sockets)});
    kept = &kept_.back();
  }
  // A server that has drained may have shut them. Those of another process are its business.
  if (!kept->handed_over->load()) {
    for (const int socket : kept->sockets) LetNewConnectionsIn(socket);
  }
  // Further sockets would have queues of their own, which nobody but this process could empty.
  std::vector<int> shared = kept->sockets;
  for (size_t i = 0; shared.size() < static_cast<size_t>(count); ++i)
    shared.push_back(int{shared[i]});
  ListenerGroup group;
  ASSIGN_OR_RETURN(group.sockets, CopyAll(shared));
  group.port = kept->name.port;
  group.ipv6 = address.find(':') != std::string::npos;
  group.handed_over = kept->handed_over;
  kept->used = true;
  return group;
}

Status ListenerStore::Adopt(Sockets sockets) {
  Status wrong;
  if (sockets.sockets.empty())
    wrong = InvalidArgumentError(StrCat("no socket came for ", sockets.name.Text()));
  for (const int socket : sockets.sockets) {
    if (wrong.ok() && (sockets.name.port == 0 || ListeningPort(socket) != sockets.name.port))
      wrong = InvalidArgumentError(
          StrCat("what came for ", sockets.name.Text(), " is no socket that listens there"));
  }
  MutexLock lock(mutex_);
  if (wrong.ok() && Find(sockets.name) != nullptr)
    wrong = AlreadyExistsError(StrCat(sockets.name.Text(), " is there already"));
  if (!wrong.ok()) {
    CloseAll(sockets.sockets);
    return wrong;
  }
  kept_.push_back({.name = std::move(sockets.name), .sockets = std::move(sockets.sockets)});
  kept_.back().handed_over->store(true);
  return OkStatus();
}

Result<std::vector<int>> ListenerStore::Copy(const ListenerName& name) const {
  MutexLock lock(mutex_);
  const Kept* const kept = Find(name);
  if (kept == nullptr) return std::vector<int>();
  return CopyAll(kept->sockets);
}

std::vector<ListenerName> ListenerStore::names() const {
  MutexLock lock(mutex_);
  std::vector<ListenerName> names;
  for (const Kept& kept : kept_) names.push_back(kept.name);
  return names;
}

void ListenerStore::SetAllHandedOver(bool handed_over) {
  MutexLock lock(mutex_);
  for (const Kept& kept : kept_) kept.handed_over->store(handed_over);
}

void ListenerStore::SetHandedOver(const std::set<ListenerName>& names, bool handed_over) {
  MutexLock lock(mutex_);
  for (const Kept& kept : kept_) {
    if (names.contains(kept.name)) kept.handed_over->store(handed_over);
  }
}

std::vector<ListenerName> ListenerStore::CloseUnused() {
  std::vector<ListenerName> closed;
  MutexLock lock(mutex_);
  std::erase_if(kept_, [&](const Kept& kept) {
    if (kept.used) return false;
    CloseAll(kept.sockets);
    closed.push_back(kept.name);
    return true;
  });
  return closed;
}

Result<ListenerGroup> ListenBy(ListenerStore* store, const std::string& address, uint16_t port,
                               int count) {
  return store != nullptr ? store->Listen(address, port, count) : Listen(address, port, count);
}

}  // namespace leadsman::net
