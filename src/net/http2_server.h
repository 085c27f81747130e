#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_budget.h"
#include "base/clock.h"
#include "base/status.h"
#include "net/drainable.h"
#include "net/http_server.h"
#include "net/tls_server.h"

namespace leadsman::net {

class Http2Connection;
class ListenerStore;

/// One request and its answer on one HTTP/2 connection. Belongs to its connection's I/O thread, but for Post, gone and
/// shared_from_this. Used again by later streams of the connection once nobody else holds it.
///
///   head → OnHead → (body in pieces → OnBody)… → half_closed → SendHead → SendBody… → SendTrailers → OnClose
class Http2Stream : public std::enable_shared_from_this<Http2Stream> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Field {
    std::string_view name;  ///< lower case
    std::string_view value;
    bool index =
        true;  ///< false: a value that will not come again; keeps it out of the compression's table
  };

  // The request.
  std::string_view method() const { return method_; }
  std::string_view path() const { return path_; }
  const std::vector<Field>& fields() const { return fields_; }  ///< without pseudo-fields
  std::string_view Header(
      std::string_view name) const;  ///< empty when absent; the first of several
  Time received() const { return received_; }
  size_t wire_body_bytes() const { return wire_body_bytes_; }
  /// What has come of the body and has not been taken with Take.
  std::string_view body() const { return std::string_view(body_).substr(taken_); }
  /// The next `bytes` belong together and will be taken at once: a patient stream's client gets the credit to send them.
  void ExpectBody(size_t bytes);
  void Take(size_t bytes);
  bool half_closed() const { return half_closed_; }  ///< the client sends no more

  // The answer. What is sent after the stream has closed is dropped.
  void SendHead(std::span<const Field> fields);  ///< with ":status" first
  void SendBody(std::string_view bytes);
  /// Bytes handed to SendBody that the connection has not taken yet.
  size_t unsent() const { return answer_.size() - answer_sent_; }
  /// OnBody is called once more when all of it has been taken.
  void TellWhenSent() { tell_when_sent_ = true; }
  /// The client leaves more unread than a connection may hold, of all its streams together: what can wait is to wait
  /// (TellWhenSent). New streams are refused.
  bool crowded() const;
  /// OnBody is called once more, after other streams and connections have had their turn.
  void CallAgain();
  /// Ends the answer, after whatever is unsent. Without SendHead before, the fields are head and trailers in one.
  void SendTrailers(std::span<const Field> fields);
  void Reset(uint32_t http2_error_code);

  /// Runs `work` with this stream on its I/O thread, also when it has closed meanwhile; false (and nothing is run) when
  /// that thread is over. Thread-safe.
  bool Post(std::function<void(Http2Stream&)> work);
  /// The stream is closed: reset by the client, cut with its connection, or answered in full. Thread-safe.
  bool gone() const { return gone_.load(); }
  /// In OnClose: the client has reset it, instead of its connection being gone or the answer being complete.
  bool reset_by_client() const { return reset_by_client_; }

  /// OnAlarm is called once, a moment after `when` (looked at a few times a second), unless the answer is complete or the
  /// stream closed by then. The latest call counts.
  void SetAlarm(std::optional<Time> when) { alarm_ = when; }
  /// The client may be silent for as long as it likes before half_closed (bidirectional calls).
  bool patient = false;

  /// Of a stream that closes, in OnClose: it is not used again, since its state has become large.
  void DropState() { drop_state_ = true; }
  /// What the handler keeps with the stream; stays with it when it is used again.
  template <typename T>
  T& State() {
    if (!state_) state_ = std::make_shared<T>();
    return *static_cast<T*>(state_.get());
  }
  template <typename T>
  T* state() const {
    return static_cast<T*>(state_.get());
  }

 private:
  friend class Http2Connection;
  friend struct Http2Callbacks;
  void Clear();

  // Offsets into head_text_ while the head is being read: the text may still move.
  struct RawField {
    uint32_t name, value, end;
  };
  Http2Connection* connection_ = nullptr;  ///< null once closed
  std::shared_ptr<class Http2Worker> worker_;
  int32_t id_ = 0;
  size_t index_ = 0;  ///< in the connection's list
  std::string head_text_;
  std::vector<RawField> raw_fields_;
  std::vector<Field> fields_;
  std::string_view method_, path_;
  Time received_{}, last_progress_{};
  std::string body_;
  size_t taken_ = 0;
  size_t expected_ =
      0;  ///< of a patient stream: up to here the client may send without being asked
  size_t withheld_ = 0;  ///< of a patient stream: bytes for which the client has no credit back yet
  size_t wire_body_bytes_ = 0;
  bool half_closed_ = false;
  bool refused_ = false;
  bool head_too_large_ = false;
  bool ready_ = false;  ///< stands in the connection's list of those whose OnBody is to be called
  bool drop_state_ = false;
  bool reset_by_client_ = false;
  std::optional<Time> alarm_;

  std::string answer_;
  size_t answer_sent_ = 0;
  bool head_sent_ = false;
  bool deferred_ = false;  ///< nghttp2 waits for resume
  bool tell_when_sent_ = false;
  bool trailers_given_ = false;
  bool end_sent_ = false;
  std::vector<std::pair<std::string, std::string>> trailers_;
  std::vector<bool> trailer_index_;

  std::atomic<bool> gone_{true};
  std::shared_ptr<void> state_;
};

/// What a server does with its streams. Everything is called on I/O threads; must not block for long. Exceptions reset
/// the stream they concern, and are logged.
class Http2Handler {
 public:
  virtual ~Http2Handler() = default;
  virtual void OnHead(Http2Stream& stream) = 0;
  /// More of the body is there, or its end (half_closed); or as TellWhenSent and CallAgain say. Some 32 calls of one connection
  /// are made before others have their turn: one call should do one piece of work.
  virtual void OnBody(Http2Stream& stream) = 0;
  /// The last call for the stream. `complete`: the answer has been handed to the socket in full.
  virtual void OnClose(Http2Stream& stream, bool complete) = 0;
  virtual void OnAlarm(Http2Stream& stream) = 0;
  /// The request did not arrive in time, or is larger than may be buffered, or the connection is crowded; OnBody will not be
  /// called. When it is the head that is too large, this comes instead of OnHead.
  virtual void OnRefuse(Http2Stream& stream, const Status& why) = 0;
};

struct Http2ServerOptions {
  std::string name = "http2";
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  std::string socket_path;  ///< of a Unix socket, instead of address and port
  int io_threads = 1;
  ListenerStore* listeners = nullptr;  ///< as of HttpServerOptions; not of a Unix socket
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 64 << 20;  ///< of one request that has not been taken
  size_t max_held_bytes =
      0;  ///< of all of a connection that have not been; 0 = four times max_body_bytes
  /// What those of all connections may hold together, as of HttpServerOptions; beyond, a request is refused with
  /// RESOURCE_EXHAUSTED.
  std::shared_ptr<ByteBudget> body_budget;
  std::string limits_setting;  ///< as of HttpServerOptions
  /// Of answers that its client has not taken, before more of its requests are refused; 0 = four times max_body_bytes.
  size_t max_unsent_bytes = 0;
  size_t max_connections = 10'000;  ///< more are closed at once
  uint32_t max_streams = 1000;      ///< at a time on one connection
  /// Streams that a client may reset: ten times as many at once. Beyond, its connection is ended.
  uint64_t max_resets_per_second = 1000;
  std::chrono::milliseconds read_timeout{
      30'000};  ///< without a byte of a request that is not complete
  std::chrono::milliseconds write_timeout{30'000};  ///< without the client taking a byte
  std::chrono::milliseconds idle_timeout{75'000};   ///< without a stream: the client is sent GOAWAY
  /// A connection that has lasted so long, give or take a tenth of it, is sent GOAWAY, so that clients meet new replicas behind
  /// balancers that know connections only. 0 = never.
  std::chrono::milliseconds max_connection_age{0};
  /// How long its streams may go on after that, before they are cut. 0 = until they end.
  std::chrono::milliseconds max_connection_age_grace{0};
  /// A silent connection is asked for a sign of life this often, and closed when none comes for keepalive_timeout.
  std::chrono::milliseconds keepalive_interval{120'000};
  std::chrono::milliseconds keepalive_timeout{20'000};
  /// With it the server speaks TLS alone, ALPN h2; as of HttpServerOptions.
  std::shared_ptr<ServerCertificates> certificates;
  std::chrono::milliseconds handshake_timeout{
      10'000};  ///< for the TLS handshake, or the first bytes without
  /// Said to a client that speaks HTTP/1 to this port.
  std::string http1_hint = "this port speaks HTTP/2 only";
  const Clock* clock = nullptr;  ///< of all timeouts; null: the machine's

  size_t HeldLimit() const { return max_held_bytes > 0 ? max_held_bytes : 4 * max_body_bytes; }
  size_t UnsentLimit() const {
    return max_unsent_bytes > 0 ? max_unsent_bytes : 4 * max_body_bytes;
  }
};

/// HTTP/2 with prior knowledge or ALPN: many streams on a connection, flow control, limits, keepalive, GOAWAY. Connections stay
/// on the thread that accepted them. What a connection holds is bounded: bodies by flow control and by max_held_bytes, answers that
/// are not taken by max_unsent_bytes, frames that wait to be sent by their number.
class Http2Server : public DrainableServer {
 public:
  /// Errors as of HttpServer::Start. The handler must outlive the server.
  static Result<std::unique_ptr<Http2Server>> Start(Http2ServerOptions options,
                                                    Http2Handler& handler);
  ~Http2Server() override = default;  ///< Shutdown(0)
  virtual uint16_t port() const = 0;
  virtual HttpServerStats stats() const = 0;
  /// BeginDrain, then waits until everything has ended. Waits for handlers that run at the moment, however long: not to be
  /// called from one.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace leadsman::net
