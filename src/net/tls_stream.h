#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

// Internal to this room: what client and server share of OpenSSL, whose headers stay in the .cc files.

struct ssl_st;
struct ssl_ctx_st;

namespace leadsman::net {

struct SslContextDeleter {
  void operator()(ssl_ctx_st* context) const;
};
using SslContext = std::unique_ptr<ssl_ctx_st, SslContextDeleter>;

/// What went wrong last on this thread, in OpenSSL's words, and forgets it: "certificate has expired".
std::string TakeSslError();

/// What a client finds wrong with a server's certificate.
enum class TlsDistrust {
  kNone,
  kAuthority,  ///< nobody that is trusted has signed it
  kName,       ///< it is another host's
  kExpired,
  kOther,
};

/// TLS over a non-blocking socket that somebody else owns and waits for. Never blocks, never raises
/// SIGPIPE. Externally synchronised. After kClosed and kFailed only error() may be asked.
class TlsStream {
 public:
  enum class Outcome {
    kOk,
    kWantRead,   ///< again when the socket can be read
    kWantWrite,  ///< again, with the same bytes, when it can be written
    kClosed,     ///< the peer has said that it sends no more
    kFailed,
  };
  /// A client's side: `host` is what it asks for and checks the certificate against.
  TlsStream(ssl_ctx_st* context, int socket, const std::string& host);
  /// A server's side, with a context of LoadServerTls. `protocols` are those that it speaks, the best first: "http/1.1", "h2",
  /// "h2,http/1.1", a literal. A client that names others only is refused in the handshake; one that names none is not.
  enum class Server { kSide };
  TlsStream(ssl_ctx_st* context, int socket, Server side, std::string_view protocols);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /// False when there was no memory for it.
  bool valid() const { return ssl_ != nullptr; }
  Outcome Handshake();
  /// `*bytes` is what has been taken: less than asked for is no failure.
  Outcome Read(char* out, size_t room, size_t* bytes);
  Outcome Write(std::string_view bytes, size_t* taken);
  /// Bytes have been read from the socket and not yet been given out; maybe not a whole record.
  bool HasPending() const;
  /// The peer has said that it sends no more; there may still be something pending.
  bool ended() const;
  /// Tells the peer that no more is sent, if the socket takes it at once.
  void SendCloseNotify();
  /// In words, of the latest kFailed.
  const std::string& error() const { return error_; }
  bool resumed() const;
  /// Of a server's side.
  std::string_view protocols() const { return protocols_; }
  /// What both sides have agreed on; empty: nothing.
  std::string_view negotiated() const;
  /// Of the latest kFailed: the connection has ended, and TLS has said nothing of why.
  bool ended_silently() const { return ended_silently_; }
  /// The errno with which it has, then; 0: it was an end.
  int lost() const { return lost_; }
  /// Of a client's side, after kFailed.
  TlsDistrust distrust() const;
  /// What has gone over the socket.
  uint64_t wire_in() const;
  uint64_t wire_out() const;
  ssl_st* handle() { return ssl_; }

 private:
  bool Attach(int socket);
  Outcome OutcomeOf(int result);

  ssl_st* ssl_;
  std::string_view protocols_;
  bool failed_ = false;
  bool ended_silently_ = false;
  int lost_ = 0;
  std::string error_;
};

}  // namespace leadsman::net
