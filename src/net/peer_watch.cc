#include "net/peer_watch.h"

#include <sys/epoll.h>

#include "net/http_connection.h"

namespace leadsman::net {
namespace {

constexpr int kEventsAtOnce = 64;

}  // namespace

PeerWatch::PeerWatch(boost::asio::io_context& io)
    : epoll_(io.get_executor(), epoll_create1(EPOLL_CLOEXEC)) {
  Await();
}

bool PeerWatch::Add(int socket, HttpConnection& connection) {
  epoll_event event{};
  // A change is told once; a reset is told whether one asks for it or not.
  event.events = EPOLLRDHUP | EPOLLET;
  event.data.ptr = &connection;
  return epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, socket, &event) == 0;
}

void PeerWatch::Remove(int socket) {
  epoll_event unused{};
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, socket, &unused);
}

void PeerWatch::Stop() {
  boost::system::error_code ignored;
  epoll_.cancel(ignored);
}

void PeerWatch::Await() {
  epoll_.async_wait(Descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    Look();
    Await();
  });
}

void PeerWatch::Look() {
  epoll_event events[kEventsAtOnce];
  const int count = epoll_wait(epoll_.native_handle(), events, kEventsAtOnce, 0);
  for (int i = 0; i < count; ++i) {
    // Alive: it takes itself out before it goes, and none of these calls ends another one.
    auto& connection = *static_cast<HttpConnection*>(events[i].data.ptr);
    connection.OnPeerEvent((events[i].events & (EPOLLHUP | EPOLLERR)) != 0);
  }
}

}  // namespace leadsman::net
