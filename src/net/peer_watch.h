#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

namespace leadsman::net {

class HttpConnection;

/// Tells connections what becomes of their clients while nobody reads from them: Asio's own descriptors say nothing of an
/// end that stands behind bytes which are not to be read yet. One epoll descriptor a worker, looked at when it says so.
///
/// Confined to the worker's thread.
class PeerWatch {
 public:
  explicit PeerWatch(boost::asio::io_context& io);

  /// From here on `connection` is told by OnPeerEvent, also of what has happened before. False when there is no memory
  /// for it. Once a socket.
  bool Add(int socket, HttpConnection& connection);
  /// Before the socket is closed: a child process that is being started may hold it for a moment longer.
  void Remove(int socket);
  /// No more is told.
  void Stop();

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
  void Await();
  void Look();

  Descriptor epoll_;
};

}  // namespace leadsman::net
