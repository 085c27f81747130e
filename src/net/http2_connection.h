#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/body_share.h"
#include "net/http2_server.h"
#include "net/http2_worker.h"
#include "net/tls_context.h"
#include "net/tls_stream.h"

// Internal to the HTTP/2 server; nghttp2's headers stay in its .cc files.

struct nghttp2_session;

namespace leadsman::net {

/// One client. Confined to its worker's thread.
///
///   (TLS handshake →) open → draining (the server's end, long without a stream, or old; GOAWAY said twice: "soon", then "from here on") →
///   lingering (all answered; waits for the client to close) → closed;   any → closed
class Http2Connection {
 public:
  using Time = std::chrono::steady_clock::time_point;
  Http2Connection(Http2Worker& worker, int socket);
  ~Http2Connection();
  Http2Connection(const Http2Connection&) = delete;
  Http2Connection& operator=(const Http2Connection&) = delete;

  /// False when it could not be set up.
  bool Start();
  void OnEvent(bool readable, bool writable);
  void OnTurn();  ///< it has been marked dirty
  void OnSweep(Time now);
  /// Sends what there is to send, as far as the socket takes it.
  void Flush();
  void BeginDrain();
  void Close();
  bool closed() const { return closed_; }
  int socket() const { return socket_; }

  size_t index = 0;    ///< the worker's: where in its list this connection stands
  bool dirty = false;  ///< stands in the worker's list of those to be flushed

  // For streams.
  Http2Worker& worker() { return worker_; }
  nghttp2_session* session() { return session_; }
  void StreamHasOutput();
  void StreamTook(Http2Stream& stream, size_t bytes);
  void StreamGave(size_t bytes) { unsent_ += bytes; }  ///< of an answer
  void StreamSent(size_t bytes) { unsent_ -= bytes; }
  bool crowded() const;
  void MakeReady(Http2Stream& stream);
  void SubmitHead(Http2Stream& stream, std::span<const Http2Stream::Field> fields, bool end);
  void ResumeBody(Http2Stream& stream);
  void ResetStream(Http2Stream& stream, uint32_t code);

 private:
  friend struct Http2Callbacks;  // what nghttp2 calls

  void MarkDirty();
  bool Handshake();
  void Read();
  /// Bytes read, 0 when there are none now, -1 at the end.
  ssize_t Receive(char* out, size_t room);
  /// Bytes taken, -1 when the connection is broken.
  ssize_t Send(std::string_view bytes);
  bool Feed(const char* bytes, size_t size);
  void RunReady();
  void RefuseHttp1();
  bool WriteSome();
  void Gather();
  void CallThoseSent();
  void WatchWritable(bool on);
  Http2Stream* OpenStream(int32_t id);
  void StreamClosed(Http2Stream& stream, bool clean);
  /// Calls the handler; what it throws resets the stream.
  template <typename Call>
  void Tell(Http2Stream& stream, Call call);
  void EndHead(Http2Stream& stream);
  void TakeChunk(Http2Stream& stream, const char* bytes, size_t size);
  size_t BodyLimit(const Http2Stream& stream) const;
  void CountData(bool empty);
  bool MayNotSend(const Http2Stream& stream) const;
  void SweepStream(Http2Stream& stream, Time now);
  void Refuse(Http2Stream& stream, const Status& why);
  void RefuseCrowded(Http2Stream& stream);

  Http2Worker& worker_;
  const int socket_;
  std::shared_ptr<const ServerTls> tls_context_;  ///< as it was when the connection began
  std::unique_ptr<TlsStream> tls_;
  bool handshake_done_ = true;
  bool more_to_read_ = false;  ///< TLS has bytes that epoll knows nothing of
  nghttp2_session* session_ = nullptr;
  std::vector<std::shared_ptr<Http2Stream>> streams_;
  std::vector<std::shared_ptr<Http2Stream>> spare_;
  std::deque<Http2Stream*> ready_;  ///< their OnBody is to be called
  int calls_left_ = 0;              ///< of this turn
  size_t buffered_ = 0;             ///< of all bodies
  BodyShare share_;                 ///< of the server's budget: for buffered_
  size_t unsent_ = 0;               ///< of all answers
  int empty_data_ = 0;              ///< DATA frames with nothing in them, one after the other
  std::string out_;
  size_t out_sent_ = 0;
  bool watching_writable_ = false;
  bool first_bytes_seen_ = false;
  bool flooded_ = false;  ///< with frames that hold nothing
  bool closed_ = false;
  bool flushing_ = false;
  bool all_sent_ = false;  ///< of a stream that wants to be called
  bool goaway_soon_ = false;
  bool goaway_final_ = false;
  bool lingering_ = false;
  bool ping_sent_ = false;
  Time last_read_{}, last_flush_{}, last_written_{}, drain_began_{}, linger_began_{};
  Time last_stream_{};  ///< when there was one
  Time began_{};
  std::chrono::milliseconds age_{};  ///< that it may reach; 0 = any
};

}  // namespace leadsman::net
