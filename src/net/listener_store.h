#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "net/listener.h"

namespace leadsman::net {

/// Which listener it is: the address as it is configured, and the port that is listened at.
struct ListenerName {
  std::string address;
  uint16_t port = 0;
  friend auto operator<=>(const ListenerName&, const ListenerName&) = default;
  std::string Text() const;  ///< "127.0.0.1:80", "[::1]:80"
};

/// Keeps listening sockets beyond the servers that accept on them, for a server that comes after, in this process or in the
/// one that takes its place. Nobody who connects in between is refused: he waits in the queue of the socket.
///
///   new process:  store.Adopt(…) for each that came    servers: store.Listen(address, port, threads); store.SetAllHandedOver(false)
///   old process:  store.Copy(name) → sent              store.SetHandedOver({name}, true); servers drain
///
/// A socket that is closed resets what waits in its queue, and SO_REUSEPORT gives each socket of a port a queue of its own. So it is
/// these very sockets that go from hand to hand, all of them, however many threads there are.
///
/// Thread-safe.
class ListenerStore {
 public:
  /// The sockets of one listener; the owner of the descriptors closes them.
  struct Sockets {
    ListenerName name;
    std::vector<int> sockets;
  };

  ListenerStore() = default;
  ~ListenerStore();
  ListenerStore(const ListenerStore&) = delete;
  ListenerStore& operator=(const ListenerStore&) = delete;

  /// As net::Listen, and keeps what it opens, unless the port is 0. Those that are kept already are given instead, all of them, which may
  /// be more than `count`, and where they are fewer some of them several times. The caller owns the descriptors, which are copies.
  Result<ListenerGroup> Listen(const std::string& address, uint16_t port, int count);

  /// Takes the descriptors over in any case; another process accepts on them, until SetAllHandedOver(false). INVALID_ARGUMENT when one is no TCP socket that listens at the port; ALREADY_EXISTS for a
  /// name that is there.
  Status Adopt(Sockets sockets);
  /// Copies of what is kept under a name; empty when nothing is. RESOURCE_EXHAUSTED without descriptors.
  Result<std::vector<int>> Copy(const ListenerName& name) const;
  std::vector<ListenerName> names() const;
  /// Whether another process accepts on these, too.
  void SetHandedOver(const std::set<ListenerName>& names, bool handed_over);
  void SetAllHandedOver(bool handed_over);
  /// Lets go of all. Servers that accept on copies go on; what they close then is closed.
  void Close();
  /// Lets go of those that no server has asked for, and returns them.
  std::vector<ListenerName> CloseUnused();

 private:
  struct Kept {
    ListenerName name;
    std::vector<int> sockets;
    bool used = false;
    std::shared_ptr<std::atomic<bool>> handed_over = std::make_shared<std::atomic<bool>>(false);
  };
  Kept* Find(const ListenerName& name) REQUIRES(mutex_);
  const Kept* Find(const ListenerName& name) const REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::vector<Kept> kept_ GUARDED_BY(mutex_);
};

/// `store` may be null: then it is net::Listen alone.
Result<ListenerGroup> ListenBy(ListenerStore* store, const std::string& address, uint16_t port,
                               int count);

}  // namespace leadsman::net
