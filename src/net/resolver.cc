#include "net/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "base/detached_call.h"
#include "base/strings.h"

namespace leadsman::net {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Addresses = std::vector<SocketAddress>;

/// How often somebody who waits looks whether the call was cancelled.
constexpr std::chrono::milliseconds kLook{100};

/// A name is looked up by a thread of its own, which is left to itself when it takes too long. So many may be left at once.
constexpr int kMaxLookups = 64;
std::atomic<int> lookups{0};

struct Lookup {
  int error = 0;
  Addresses found;
};

int LookUp(const std::string& host, const std::string& port, int flags, Addresses& found) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) return error;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    if (a->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress& address = found.emplace_back();
    std::memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
    address.size = a->ai_addrlen;
  }
  freeaddrinfo(list);
  return found.empty() ? EAI_NONAME : 0;
}

}  // namespace

Result<Addresses> Resolve(const std::string& host, const std::string& port,
                          SteadyClock::time_point deadline, const std::function<Status()>& check) {
  auto cannot_find = [&](std::string_view why) {
    return UnavailableError(StrCat("cannot find host ", host, " (port ", port, "): ", why));
  };
  Addresses found;
  if (LookUp(host, port, AI_NUMERICHOST | AI_NUMERICSERV, found) == 0) return found;
  if (lookups.fetch_add(1) >= kMaxLookups) {
    lookups.fetch_sub(1);
    return cannot_find("too many names are being looked up; is the name server there?");
  }
  auto call = DetachedCall<Lookup>::Start("lookup", [host, port] {
    Lookup lookup;
    lookup.error = LookUp(host, port, AI_NUMERICSERV, lookup.found);
    lookups.fetch_sub(1);
    return lookup;
  });
  if (!call.ok()) {
    lookups.fetch_sub(1);
    return cannot_find("no thread could be started");
  }
  std::optional<Lookup> lookup;
  SteadyClock::duration wait{0};
  while (!(lookup = (*call)->WaitFor(wait))) {
    if (check) RETURN_IF_ERROR(check());
    const auto left = deadline - SteadyClock::now();
    if (left <= SteadyClock::duration::zero()) {
      return DeadlineExceededError(StrCat("the address of ", host, " was not found in time"));
    }
    wait = std::min<SteadyClock::duration>(left, kLook);
  }
  if (lookup->error != 0) return cannot_find(gai_strerror(lookup->error));
  return std::move(lookup->found);
}

}  // namespace leadsman::net
