#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leadsman::net {

class ServerCertificates;
class TlsClient;
class TlsStream;
enum class TlsDistrust;

/// Memory for sockets of one thread that read: those that have nothing unread hold none. Confined.
class BufferPool {
 public:
  static constexpr size_t kSize = 32 << 10;

  using Memory = std::unique_ptr<char[]>;
  Memory Get() {
    if (free_.empty()) return Memory(new char[kSize]);
    Memory memory = std::move(free_.back());
    free_.pop_back();
    return memory;
  }
  void Put(Memory memory) {
    if (free_.size() < kKept) free_.push_back(std::move(memory));
  }

 private:
  static constexpr size_t kKept = 64;
  std::vector<Memory> free_;
};

/// A connected, non-blocking socket with what has come and was not taken yet, and what was written and is not sent yet. Goes
/// with EventLoop: OnEvents is told what has changed, and nothing is asked of the kernel that is known already. With BeginTls,
/// before the first byte, all of it goes through TLS.
///
/// Confined to one thread. Owns the descriptor.
class StreamSocket {
 public:
  enum class Got {
    kBytes,
    kNothing,  ///< at the moment
    kEnd,      ///< the other side sends no more
    kBroken,
  };

  StreamSocket(int socket, BufferPool& pool);
  ~StreamSocket();
  StreamSocket(const StreamSocket&) = delete;
  StreamSocket& operator=(const StreamSocket&) = delete;

  int descriptor() const { return socket_; }
  bool open() const { return socket_ >= 0; }

  /// What the loop has told.
  void OnEvents(uint32_t events);
  bool peer_ended() const {
    return peer_ended_;
  }  ///< it sends no more; there may be bytes to read still
  bool broken() const { return broken_; }
  int error() const { return error_; }  ///< errno of what broke it; 0: it was closed

  /// Reads once, behind what is there. The buffer grows up to `limit` bytes in all when it is full; beyond: kNothing.
  Got Fill(size_t limit = BufferPool::kSize);
  /// Whether bytes are there, read or not; asks the kernel, whatever it has told.
  bool HasInput() const;
  std::string_view input() const { return {memory_.get() + begin_, end_ - begin_}; }
  /// The same, for decoding in place.
  char* mutable_input() { return memory_.get() + begin_; }
  void Take(size_t bytes);

  /// Behind what is unsent; sent with the next Flush or Send.
  void Queue(std::string_view bytes);
  /// Sends what is queued and `bytes` as far as the socket takes it, and queues the rest. False when it is broken.
  bool Send(std::string_view bytes);
  bool Flush() { return unsent() == 0 || Send({}); }
  size_t unsent() const { return out_.size() - out_begin_; }

  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }
  /// The same as the kernel counts them: with what TLS adds.
  uint64_t wire_in() const;
  uint64_t wire_out() const;

  /// As a client that asks for `host` and checks the certificate against it. False when there is no memory for it.
  bool BeginTls(const TlsClient& client, const std::string& host);
  /// As a server. `protocols`: a literal, the ones that it speaks, the best first: "h2,http/1.1".
  bool BeginTls(const ServerCertificates& certificates, std::string_view protocols);
  bool encrypted() const { return tls_ != nullptr; }
  enum class Shake {
    kDone,
    kPending,  ///< again at the next event
    kFailed,   ///< tls_error() says why; it is broken
  };
  Shake Handshake();
  /// That both sides have agreed on; empty when the other one named none.
  std::string_view tls_protocol() const;
  /// Why TLS has failed, in words; empty when it has not, also when the connection has ended without a word.
  const std::string& tls_error() const;
  /// What is wrong with the other side's certificate, when that is why.
  TlsDistrust distrust() const;

  void ShutdownWrite();
  void Close();
  /// The other side sees a broken connection, not an end.
  void Reset();

 private:
  Got FillPlain(size_t room);
  Got FillTls(size_t room);
  bool SendTls();
  Got Broken(int error);

  int socket_;
  BufferPool* pool_;
  std::unique_ptr<char[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::vector<char> out_;
  size_t out_begin_ = 0;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  bool readable_ = true;  ///< as far as is known
  bool writable_ = true;
  bool peer_ended_ = false;
  bool broken_ = false;
  int error_ = 0;
  std::unique_ptr<TlsStream> tls_;  ///< null: plain
};

}  // namespace leadsman::net
