#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/body_share.h"
#include "net/chunk_decoder.h"
#include "net/head_parser.h"
#include "net/http_worker.h"
#include "net/padded_buffer.h"
#include "net/tls_stream.h"

namespace leadsman::net {

/// One client. Confined to its worker's thread, but for FinishFromAnyThread.
///
///   kHandshake (TLS only) → kIdle
///   kIdle → kReading → (handler) → kIdle | kReading (next one is in the buffer already)
///                          │ Defer       ▲
///                          ▼             │
///                      kDeferred ──→ kWriting (only when the socket does not take all at once)
///   any → kLingering (answered with Connection: close; reads over what the client still sends, so
///   that closing does not
///                     reset the answer away) → closed
class HttpConnection final : public HttpExchange,
                             public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<HttpWorker> worker, Socket socket, bool refused);

  void Start();         ///< waits for requests
  void StartRefused();  ///< answers 503 and closes
  void OnSweep(Time now);
  void OnDeferredFinished();
  /// The client has ended its sending half, or (`broken`) the connection is no more.
  void OnPeerEvent(bool broken);
  void Close();

  // HttpExchange
  const HttpRequest& request() const override { return request_; }
  HttpResponse& response() override { return response_; }
  void Defer() override;
  void FinishFromAnyThread() override;
  void WhenGone(std::function<void()> told) override { when_gone_ = std::move(told); }

  size_t index = 0;  ///< the worker's: where in its list this connection stands

 private:
  enum class Phase { kHandshake, kIdle, kReading, kDeferred, kWriting, kLingering, kClosed };

  void Run();
  bool ReadyRequest();
  bool BeginBody();
  bool Admit();
  void RefuseBody();
  bool CompleteBody();
  bool DecodeChunks();
  bool InflateBody();
  bool Handle();
  bool Respond();
  bool AfterResponse();
  void NextRequest();
  void Fail(int status, std::string_view message);
  void FailTooLarge(std::string_view when);
  void FailHead();
  std::string Limit(std::string_view name) const;
  void FillErrorBody(int status, std::string_view message);
  void LingerClose();
  void Enter(Phase phase) {
    phase_ = phase;
    since_ = NowCoarse();
  }

  void WatchPeer();
  void LookAtPeer();
  void ProbePeer();
  void TellGone();

  void StartHandshake();
  void AwaitHandshake(Socket::wait_type event);
  void ContinueHandshake();
  void HandshakeFailed(std::string_view why);

  void StartRead();
  void StartTlsRead();
  void AwaitTlsRead(Socket::wait_type event);
  void OnTlsReadable(boost::system::error_code error);
  void OnRead(boost::system::error_code error, size_t bytes);
  bool MakeRoom(uint64_t wanted);
  size_t Held() const { return buffer_.capacity() + inflated_.capacity(); }
  bool FailForWantOfRoom();
  bool MoreInput();
  bool Readable();
  bool Write(std::string_view head, std::string_view body);
  bool SendNow(std::string_view first, std::string_view second, size_t* sent);
  void ContinueWrite();
  void OnWritten(boost::system::error_code error, size_t bytes);
  void ShrinkWhenIdle();

  std::shared_ptr<HttpWorker> worker_;  // first: the socket needs its event loop until the end
  Socket socket_;
  std::unique_ptr<TlsStream> tls_;  ///< null: plain text
  /// Keeps what tls_ was made of, as long as it is used.
  std::shared_ptr<const void> tls_context_;
  const bool refused_;
  Phase phase_ = Phase::kIdle;
  Time since_{};  ///< when the phase began; in kWriting, of the last progress
  bool read_pending_ = false;
  bool shrinking_ = false;  ///< the pending read has been called back to free the buffer
  bool spoke_tls_ = false;  ///< the first byte of the client was one of a TLS handshake
  bool fresh_ = true;       ///< no request has been answered yet

  // The buffer: [begin_, end_) is unread input; the request under way starts at begin_.
  PaddedBuffer buffer_;
  BodyShare share_;  ///< of the server's budget: for Held()
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t body_begin_ = 0;  ///< once the head is complete
  size_t next_ = 0;        ///< where the next request starts, once this one is complete
  size_t decoded_ = 0;     ///< of a chunked body; lies at body_begin_
  bool head_done_ = false;
  bool admitted_ = true;  ///< else response_ says why not, and no handler is asked
  size_t discarded_ = 0;

  HeadParser parser_;
  ChunkDecoder chunks_;
  RequestHead head_;
  PaddedBuffer inflated_;
  HttpRequest request_;
  HttpResponse response_;
  bool closing_ = false;

  // What the socket has not taken yet. `unsent_body_` points into response_.body or is kept in
  // `unsent_copy_`.
  std::string unsent_head_;
  std::string unsent_copy_;
  std::string_view unsent_first_;
  std::string_view unsent_body_;

  bool deferred_ = false;
  std::shared_ptr<HttpConnection> deferred_self_;  ///< keeps this alive while a handler holds it
  std::function<void()> when_gone_;
  enum class Peer { kThere, kSendsNoMore, kGone };
  Peer peer_ = Peer::kThere;
  bool watched_ = false;  ///< the worker tells what becomes of the client
  bool probed_ = false;   ///< this answer's client has been asked whether it still reads
};

}  // namespace leadsman::net
