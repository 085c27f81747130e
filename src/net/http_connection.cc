#include "net/http_connection.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "base/log.h"
#include "base/strings.h"
#include "net/limit_setting.h"
#include "net/response_head.h"
#include "net/tls_context.h"

namespace leadsman::net {
namespace {

using std::chrono::milliseconds;

constexpr size_t kInitialBuffer = 16 << 10;
constexpr size_t kKeptBuffer = 64 << 10;  // what an idle connection may hold on to
constexpr size_t kFreedAtOnce = 4 << 20;  // what it may not even hold on to until the next sweep
constexpr size_t kCopyInsteadOfGather =
    4096;  // below, one copy is cheaper than a second piece for the kernel
constexpr size_t kOneRecord = 15 << 10;  // with TLS: a head and so much go into one record
constexpr size_t kCompressFrom = 1024;
constexpr int kRequestsPerTurn = 32;  // of one pipelining client, before others get their turn
constexpr size_t kMaxDiscard = 256 << 10;
constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr milliseconds kLinger{2000};
constexpr milliseconds kLingerWhenDraining{500};

}  // namespace

HttpConnection::HttpConnection(std::shared_ptr<HttpWorker> worker, Socket socket, bool refused)
    : worker_(std::move(worker)),
      socket_(std::move(socket)),
      refused_(refused),
      share_(worker_->options().body_budget),
      parser_(worker_->options().max_header_bytes) {
  boost::system::error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

void HttpConnection::Start() {
  if (worker_->options().certificates) return StartHandshake();
  Enter(Phase::kIdle);
  StartRead();
}

void HttpConnection::StartRefused() {
  if (worker_->options().certificates && !tls_) return StartHandshake();
  Enter(Phase::kReading);
  Fail(503, "the server has as many connections as it may have; try again later");
}

// TLS
// -----------------------------------------------------------------------------------------------------------------

void HttpConnection::StartHandshake() {
  Enter(Phase::kHandshake);
  auto tls = static_cast<const CertificatesOfFiles&>(*worker_->options().certificates).current();
  tls_ = std::make_unique<TlsStream>(tls->context.get(), socket_.native_handle(),
                                     TlsStream::Server::kSide, "http/1.1");
  tls_context_ = std::move(tls);
  if (!tls_->valid()) {
    tls_.reset();
    return Close();
  }
  AwaitHandshake(Socket::wait_read);  // the client begins
}

void HttpConnection::AwaitHandshake(Socket::wait_type event) {
  socket_.async_wait(event, [self = shared_from_this()](boost::system::error_code error) {
    if (self->phase_ != Phase::kHandshake) return;
    if (error) return self->Close();
    self->ContinueHandshake();
  });
}

void HttpConnection::ContinueHandshake() {
  if (!spoke_tls_) {
    unsigned char first = 0;
    const ssize_t n = ::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return AwaitHandshake(Socket::wait_read);
    if (n <= 0) return Close();  // somebody looked whether the port is open
    constexpr unsigned char kHandshakeRecord = 22;
    if (first != kHandshakeRecord) {
      tls_.reset();
      worker_->counters().tls_failures.Add(1);
      return Fail(400, "this port speaks TLS: use https://");
    }
    spoke_tls_ = true;
  }
  switch (tls_->Handshake()) {
    case TlsStream::Outcome::kOk:
      break;
    case TlsStream::Outcome::kWantRead:
      return AwaitHandshake(Socket::wait_read);
    case TlsStream::Outcome::kWantWrite:
      return AwaitHandshake(Socket::wait_write);
    case TlsStream::Outcome::kClosed:
    case TlsStream::Outcome::kFailed:
      return HandshakeFailed(tls_->error());
  }
  worker_->counters().tls_handshakes.Add(1);
  if (tls_->resumed()) worker_->counters().tls_resumed.Add(1);
  if (refused_) return StartRefused();
  Enter(Phase::kIdle);
  StartRead();
}

/// The alert that tells the client why is in the socket: closing must not reset it away.
void HttpConnection::HandshakeFailed(std::string_view why) {
  worker_->counters().tls_failures.Add(1);
  LOG_DEBUG("TLS handshake failed", {"server", worker_->options().name}, {"reason", why});
  LingerClose();
}

// Requests
// ------------------------------------------------------------------------------------------------------------

/// Goes on until it has to wait for the client, the socket or a deferred answer. A loop, not a
/// recursion: a client may pipeline any number of requests.
void HttpConnection::Run() {
  try {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
      if (!ReadyRequest() || !Handle() || !Respond()) return;
    }
  } catch (const std::exception& e) {  // out of memory: this connection's problem alone
    LOG_ERROR("connection failed", {"server", worker_->options().name}, {"error", e.what()});
    return Close();
  }
  Enter(Phase::kReading);
  asio::post(worker_->io(), [self = shared_from_this()] {
    // Unless the sweep has ended it meanwhile.
    if (self->phase_ == Phase::kReading) self->Run();
  });
}

/// True when a whole request is there. False when bytes are missing (and a read is under way) or it
/// was refused.
bool HttpConnection::ReadyRequest() {
  if (!head_done_) {
    if (begin_ == end_) {
      begin_ = end_ = 0;
      Enter(Phase::kIdle);
      StartRead();
      return false;
    }
    if (phase_ != Phase::kReading) Enter(Phase::kReading);
    switch (parser_.Feed({buffer_.data() + begin_, end_ - begin_}, request_, head_)) {
      case ParseState::kNeedMore:
        if (MakeRoom(0)) StartRead();
        return false;
      case ParseState::kError:
        FailHead();
        return false;
      case ParseState::kDone:
        if (!BeginBody()) return false;
    }
  }
  return CompleteBody();
}

bool HttpConnection::BeginBody() {
  request_.received = NowExact();
  const bool has_body = head_.chunked || head_.content_length > 0;
  admitted_ = Admit();
  if (!admitted_ && has_body) {
    RefuseBody();
    return false;
  }
  if (head_.content_length > worker_->options().max_body_bytes) {
    FailTooLarge("");
    return false;
  }
  if (head_.coding == ContentCoding::kUnsupported) {
    Fail(415, "Content-Encoding can only be gzip or deflate");
    return false;
  }
  head_done_ = true;
  body_begin_ = begin_ + head_.size;
  decoded_ = 0;
  request_.wire_body_bytes = 0;
  if (head_.chunked) chunks_.Reset();
  if (head_.expect_continue && has_body && body_begin_ == end_) {
    size_t sent = 0;
    // Nothing is ahead of these few bytes: a socket that does not take them is dead.
    if (!SendNow(kGoOn, {}, &sent) || sent != kGoOn.size()) {
      Close();
      return false;
    }
    worker_->counters().bytes_out.Add(kGoOn.size());
  }
  return true;
}

bool HttpConnection::Admit() {
  const HttpAdmission& admit = worker_->options().admit;
  if (!admit) return true;
  response_.Clear();
  request_.body = {};  // of the request before
  try {
    return admit(request_, response_);
  } catch (const std::exception& e) {
    worker_->LogHandlerException(request_.target, e.what());
  } catch (...) {
    worker_->LogHandlerException(request_.target, "not a std::exception");
  }
  response_.Clear();
  response_.status = 500;
  FillErrorBody(500, "internal error");
  return false;
}

/// Sends the refusal that response_ holds, and the client away: what it sends on is read over for a moment.
void HttpConnection::RefuseBody() {
  worker_->counters().requests.Add(1);
  response_.close = true;
  (void)Respond();
}

bool HttpConnection::CompleteBody() {
  if (head_.chunked) {
    if (!DecodeChunks()) return false;
  } else {
    size_t wanted = size_t(head_.content_length);
    if (end_ - body_begin_ < wanted) {
      if (MakeRoom(body_begin_ - begin_ + wanted)) StartRead();
      return false;
    }
    request_.body = {buffer_.data() + body_begin_, wanted};
    request_.wire_body_bytes = wanted;
    next_ = body_begin_ + wanted;
  }
  return head_.coding == ContentCoding::kIdentity || InflateBody();
}

bool HttpConnection::DecodeChunks() {
  size_t raw = body_begin_ + decoded_;
  size_t read = 0;
  size_t written = 0;
  ChunkDecoder::State state =
      chunks_.Feed(buffer_.data() + raw, end_ - raw, buffer_.data() + raw, &read, &written);
  decoded_ += written;
  request_.wire_body_bytes += read;
  if (state == ChunkDecoder::State::kError) {
    Fail(400, chunks_.error());
    return false;
  }
  if (decoded_ > worker_->options().max_body_bytes) {
    FailTooLarge("");
    return false;
  }
  if (state == ChunkDecoder::State::kNeedMore) {
    end_ =
        body_begin_ + decoded_;  // all has been read; the space of the chunks' frames is free again
    if (MakeRoom(0)) StartRead();
    return false;
  }
  request_.body = {buffer_.data() + body_begin_, decoded_};
  next_ = raw + read;
  return true;
}

bool HttpConnection::InflateBody() {
  size_t size = 0;
  const Inflater::Outcome outcome = worker_->inflater().Inflate(
      request_.body, worker_->options().max_body_bytes, inflated_, &size);
  if (outcome == Inflater::Outcome::kOk && share_.Hold(Held())) {
    request_.body = {inflated_.data(), size};
    return true;
  }
  // Whoever is refused lingers for a while, and without what it would have held.
  inflated_.Release();
  share_.Hold(Held());
  switch (outcome) {
    case Inflater::Outcome::kOk:
      return FailForWantOfRoom();
    case Inflater::Outcome::kCorrupt:
      Fail(400, "the request's body is not what its Content-Encoding says");
      return false;
    case Inflater::Outcome::kTooLarge:
      FailTooLarge(" when uncompressed");
      return false;
  }
  return false;
}

/// False when the handler has deferred the answer.
bool HttpConnection::Handle() {
  worker_->counters().requests.Add(1);
  if (!admitted_) return true;
  response_.Clear();
  deferred_ = false;
  when_gone_ = nullptr;
  probed_ = false;
  std::string_view problem;
  try {
    worker_->shared().handler(*this);
  } catch (const std::exception& e) {
    worker_->LogHandlerException(request_.target, e.what());
    problem = "internal error";
  } catch (...) {
    worker_->LogHandlerException(request_.target, "not a std::exception");
    problem = "internal error";
  }
  // A handler that throws after Defer may have given the exchange away already: only the promised
  // call may end it.
  if (deferred_) {
    Enter(Phase::kDeferred);
    if (when_gone_) WatchPeer();
    return false;
  }
  if (!problem.empty()) {
    response_.Clear();
    response_.status = 500;
    FillErrorBody(500, problem);
  }
  return true;
}

void HttpConnection::FillErrorBody(int status, std::string_view message) {
  const HttpServerOptions& options = worker_->options();
  if (!options.error_body) {
    response_.body = "{\"error\": ";
    AppendJsonString(response_.body, message);
    response_.body += '}';
    return;
  }
  try {
    response_.body = options.error_body(status, message);
  } catch (const std::exception& e) {
    worker_->LogHandlerException("error_body", e.what());
  } catch (...) {
    worker_->LogHandlerException("error_body", "not a std::exception");
  }
}

/// True when the whole answer is on its way and the connection goes on.
bool HttpConnection::Respond() {
  // When the server is going away, the last answer says so; one with more requests behind it is not
  // the last.
  closing_ = !head_.keep_alive || response_.close || (worker_->sends_away() && !MoreInput());
  ResponseHeadSpec spec;
  spec.status = response_.status;
  spec.content_type = response_.content_type;
  spec.headers = response_.headers;
  spec.close = closing_;
  spec.say_keep_alive = head_.http10 && !closing_;
  std::string_view body = response_.body;
  if (response_.allow_compression && body.size() > kCompressFrom) {
    spec.vary = true;
    const bool wanted = head_.accepts != ContentCoding::kIdentity && !head_.is_head &&
                        spec.status < 300 && spec.status != 206;
    Deflater& deflater = head_.accepts == ContentCoding::kGzip ? worker_->gzip() : worker_->zlib();
    if (wanted && deflater.Compress(body, worker_->compressed()) &&
        worker_->compressed().size() < body.size()) {
      spec.content_encoding = head_.accepts == ContentCoding::kGzip ? "gzip" : "deflate";
      body = worker_->compressed();
    }
  }
  spec.content_length = body.size();
  if (head_.is_head || spec.status == 204 || spec.status == 304) body = {};
  std::string& head = worker_->scratch();
  head.clear();
  AppendResponseHead(head, spec);
  const bool sent = Write(head, body);
  std::string& compressed = worker_->compressed();
  if (compressed.capacity() > kFreedAtOnce) std::string().swap(compressed);
  return sent && AfterResponse();
}

bool HttpConnection::AfterResponse() {
  fresh_ = false;
  if (closing_) {
    LingerClose();
    return false;
  }
  NextRequest();
  return true;
}

void HttpConnection::NextRequest() {
  begin_ = next_;
  head_done_ = false;
  parser_.Reset();
  if (inflated_.capacity() > kFreedAtOnce) inflated_.Release();
  if (begin_ < end_) {
    Enter(Phase::kReading);
  } else if (buffer_.capacity() > kFreedAtOnce) {
    buffer_.Release();
    begin_ = end_ = 0;
  }
  share_.Hold(Held());
}

/// Answers for the server itself, and closes: after a refused head or body nobody knows where the
/// next request starts.
/// " (server.limits.max_body)": where more is allowed.
std::string HttpConnection::Limit(std::string_view name) const {
  return LimitSetting(worker_->options().limits_setting, name);
}

void HttpConnection::FailTooLarge(std::string_view when) {
  Fail(413, StrCat("the request's body is larger than ", worker_->options().max_body_bytes,
                   " bytes", when, Limit("max_body")));
}

/// False.
bool HttpConnection::FailForWantOfRoom() {
  worker_->counters().bodies_refused.Add(1);
  Fail(503, StrCat("the requests under way hold as much as they may, ", share_.limit(), " bytes",
                   Limit("max_held"), "; try again later"));
  return false;
}

void HttpConnection::FailHead() {
  if (parser_.error_status() != 431) return Fail(parser_.error_status(), parser_.error_message());
  Fail(431, StrCat("the request's head is larger than ", worker_->options().max_header_bytes,
                   " bytes", Limit("max_header")));
}

void HttpConnection::Fail(int status, std::string_view message) {
  if (!refused_) worker_->counters().bad_requests.Add(1);
  response_.Clear();
  response_.status = status;
  FillErrorBody(status, message);
  ResponseHeadSpec spec;
  spec.status = status;
  spec.content_type = response_.content_type;
  spec.content_length = response_.body.size();
  spec.close = true;
  if (status == 415) spec.headers = "Accept-Encoding: gzip, deflate\r\n";
  if (status == 503) spec.headers = "Retry-After: 1\r\n";
  closing_ = true;
  std::string& head = worker_->scratch();
  head.clear();
  AppendResponseHead(head, spec);
  if (Write(head, response_.body)) LingerClose();
}

void HttpConnection::LingerClose() {
  if (tls_) tls_->SendCloseNotify();
  ::shutdown(socket_.native_handle(), SHUT_WR);
  Enter(Phase::kLingering);
  begin_ = end_ = 0;
  head_done_ = false;
  if (!read_pending_) StartRead();
}

void HttpConnection::Close() {
  if (phase_ == Phase::kClosed) return;
  const auto self = shared_from_this();
  phase_ = Phase::kClosed;
  if (tls_) tls_->SendCloseNotify();
  if (watched_) worker_->peers().Remove(socket_.native_handle());
  boost::system::error_code ignored;
  socket_.close(ignored);
  worker_->Remove(*this, refused_);
  TellGone();
}

// Deferred answers
// ----------------------------------------------------------------------------------------------------

void HttpConnection::Defer() {
  deferred_ = true;
  deferred_self_ = shared_from_this();
}

void HttpConnection::FinishFromAnyThread() {
  auto self = shared_from_this();
  // Through the loop also on its own thread: the handler that deferred may not have returned yet.
  if (!worker_->PostFinish(self)) deferred_self_.reset();
}

void HttpConnection::OnDeferredFinished() {
  deferred_self_.reset();
  when_gone_ = nullptr;
  if (phase_ != Phase::kDeferred) return;
  try {
    if (!Respond()) return;
  } catch (const std::exception& e) {
    LOG_ERROR("connection failed", {"server", worker_->options().name}, {"error", e.what()});
    return Close();
  }
  Run();
}

void HttpConnection::WatchPeer() {
  if (!watched_) watched_ = worker_->peers().Add(socket_.native_handle(), *this);
  LookAtPeer();
}

void HttpConnection::OnPeerEvent(bool broken) {
  peer_ = broken ? Peer::kGone : Peer::kSendsNoMore;
  if (phase_ == Phase::kDeferred) LookAtPeer();  // else whoever reads or writes hears of it
}

void HttpConnection::LookAtPeer() {
  if (peer_ == Peer::kGone) return TellGone();
  if (peer_ == Peer::kSendsNoMore && when_gone_) ProbePeer();
}

/// The end of what a client sends looks the same whether it closes or only has nothing more to ask. Who has closed answers a
/// byte that comes with a reset, which is the next event.
void HttpConnection::ProbePeer() {
  if (probed_ || head_.http10) return;
  int on_the_way = 0;
  // A client that has not taken the answers before this one is asked by those. The sweep comes back to it.
  if (::ioctl(socket_.native_handle(), SIOCOUTQ, &on_the_way) != 0 || on_the_way > 0) return;
  probed_ = true;
  size_t sent = 0;
  if (!SendNow(kGoOn, {}, &sent)) return TellGone();
  worker_->counters().bytes_out.Add(sent);
}

void HttpConnection::TellGone() {
  if (auto told = std::exchange(when_gone_, nullptr)) told();
}

// Reading
// -------------------------------------------------------------------------------------------------------------

/// Room behind end_, and for `wanted` bytes from begin_ in all. Views into the head follow the
/// buffer.
bool HttpConnection::MakeRoom(uint64_t wanted) {
  if (end_ < buffer_.capacity() && begin_ + wanted <= buffer_.capacity()) return true;
  const char* old_start = buffer_.data() + begin_;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    body_begin_ -= std::min(body_begin_, begin_);
    begin_ = 0;
  }
  // A claimed length is not taken at its word: beyond a modest size, memory grows as bytes arrive.
  const size_t capacity = buffer_.capacity();
  size_t target = capacity;
  if (wanted > capacity) target = size_t(std::min<uint64_t>(wanted, kKeptBuffer));
  if (end_ >= capacity / 2 && wanted > target)
    target = size_t(std::min<uint64_t>(wanted, capacity * 2));
  if (end_ == capacity && target <= capacity) target = capacity * 2;
  if (target > capacity) {
    if (!share_.Hold(target + inflated_.capacity())) return FailForWantOfRoom();
    buffer_.Resize(target);
  }
  if (head_done_) RebaseHead(request_, old_start, buffer_.data() + begin_);
  return true;
}

void HttpConnection::StartRead() {
  if (buffer_.capacity() == 0) buffer_.Resize(kInitialBuffer);
  read_pending_ = true;
  // What is only read over need not be decrypted.
  if (tls_ && phase_ != Phase::kLingering) return StartTlsRead();
  socket_.async_read_some(
      asio::mutable_buffer(buffer_.data() + end_, buffer_.capacity() - end_),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
        self->OnRead(error, bytes);
      });
}

void HttpConnection::StartTlsRead() {
  // The socket says nothing of what has been taken from it already, nor of an end that came with it.
  if (tls_->HasPending() || tls_->ended()) {
    return asio::post(worker_->io(), [self = shared_from_this()] { self->OnTlsReadable({}); });
  }
  AwaitTlsRead(Socket::wait_read);
}

void HttpConnection::AwaitTlsRead(Socket::wait_type event) {
  socket_.async_wait(event, [self = shared_from_this()](boost::system::error_code error) {
    self->OnTlsReadable(error);
  });
}

void HttpConnection::OnTlsReadable(boost::system::error_code error) {
  if (error || phase_ == Phase::kClosed || phase_ == Phase::kWriting) return OnRead(error, 0);
  if (phase_ == Phase::kLingering) return StartRead();
  constexpr size_t kFullRecord = 16 << 10;
  size_t total = 0;
  auto outcome = TlsStream::Outcome::kOk;
  while (outcome == TlsStream::Outcome::kOk && end_ + total < buffer_.capacity()) {
    size_t bytes = 0;
    outcome = tls_->Read(buffer_.data() + end_ + total, buffer_.capacity() - end_ - total, &bytes);
    total += bytes;
    // Less than a full record, and none behind it: asking again would only hear that there is no more.
    if (bytes > 0 && bytes < kFullRecord && !tls_->HasPending()) break;
  }
  if (total > 0) return OnRead({}, total);  // an end or a failure is there again at the next read
  switch (outcome) {
    case TlsStream::Outcome::kOk:
    case TlsStream::Outcome::kWantRead:
      return AwaitTlsRead(Socket::wait_read);
    case TlsStream::Outcome::kWantWrite:
      return AwaitTlsRead(Socket::wait_write);
    case TlsStream::Outcome::kClosed:
    case TlsStream::Outcome::kFailed:
      return OnRead(asio::error::eof, 0);
  }
}

void HttpConnection::OnRead(boost::system::error_code error, size_t bytes) {
  read_pending_ = false;
  if (phase_ == Phase::kClosed) return;
  const bool shrink = std::exchange(shrinking_, false);
  if (error == asio::error::operation_aborted && shrink) {
    buffer_.Release();
    begin_ = end_ = 0;
    share_.Hold(Held());
    return StartRead();
  }
  if (error) return Close();
  worker_->counters().bytes_in.Add(bytes);
  if (phase_ == Phase::kLingering) {
    begin_ = end_ = 0;
    discarded_ += bytes;
    // Beyond this the client is left waiting until the sweep closes: a huge body is not read just
    // to be thrown away.
    if (discarded_ < kMaxDiscard) StartRead();
    return;
  }
  if (phase_ == Phase::kWriting)
    return;  // an answer to a timed-out request is on its way; what came is dropped
  end_ += bytes;
  Run();
}

bool HttpConnection::MoreInput() {
  if (next_ < end_ || (tls_ && tls_->HasPending())) return true;
  char byte;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool HttpConnection::Readable() {
  pollfd fd{socket_.native_handle(), POLLIN, 0};
  return ::poll(&fd, 1, 0) > 0;
}

// Writing
// -------------------------------------------------------------------------------------------------------------

/// True when the socket has taken all of it; else the rest follows when it can, and then
/// AfterResponse runs.
bool HttpConnection::Write(std::string_view head, std::string_view body) {
  const bool owned = body.data() == response_.body.data();
  std::string& scratch = worker_->scratch();
  std::string_view first = head;
  std::string_view second = body;
  const size_t copied = tls_ ? kOneRecord : kCopyInsteadOfGather;
  if (!body.empty() && body.size() <= copied && head.data() == scratch.data()) {
    scratch.append(body);
    first = scratch;
    second = {};
  }
  size_t sent = 0;
  if (!SendNow(first, second, &sent)) {
    Close();
    return false;
  }
  worker_->counters().bytes_out.Add(sent);
  if (sent == first.size() + second.size()) return true;

  // The scratch buffers belong to the whole thread: keep a copy of what lies there. The body stays
  // where it is.
  size_t of_first = std::min(sent, first.size());
  unsent_head_.assign(first.substr(of_first));
  unsent_first_ = unsent_head_;
  unsent_body_ = second.substr(sent - of_first);
  if (!owned && !unsent_body_.empty()) {
    unsent_copy_.assign(unsent_body_);
    unsent_body_ = unsent_copy_;
  }
  Enter(Phase::kWriting);
  ContinueWrite();
  return false;
}

/// What the socket takes at once. False when the connection is dead.
bool HttpConnection::SendNow(std::string_view first, std::string_view second, size_t* sent) {
  *sent = 0;
  if (tls_) {
    for (std::string_view piece : {first, second}) {
      while (!piece.empty()) {
        size_t taken = 0;
        const TlsStream::Outcome outcome = tls_->Write(piece, &taken);
        *sent += taken;
        piece.remove_prefix(taken);
        if (outcome == TlsStream::Outcome::kWantWrite) return true;
        if (outcome != TlsStream::Outcome::kOk) return false;
      }
    }
    return true;
  }
  ssize_t n;
  if (second.empty()) {
    n = ::send(socket_.native_handle(), first.data(), first.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else {
    iovec pieces[2] = {{const_cast<char*>(first.data()), first.size()},
                       {const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  *sent = size_t(n);
  return true;
}

void HttpConnection::ContinueWrite() {
  if (tls_) {
    socket_.async_wait(Socket::wait_write,
                       [self = shared_from_this()](boost::system::error_code error) {
                         size_t sent = 0;
                         if (!error && self->phase_ != Phase::kClosed &&
                             !self->SendNow(self->unsent_first_, self->unsent_body_, &sent)) {
                           error = asio::error::broken_pipe;
                         }
                         self->OnWritten(error, sent);
                       });
    return;
  }
  std::array<asio::const_buffer, 2> pieces = {
      asio::const_buffer(unsent_first_.data(), unsent_first_.size()),
      asio::const_buffer(unsent_body_.data(), unsent_body_.size())};
  socket_.async_write_some(
      pieces, [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
        self->OnWritten(error, bytes);
      });
}

void HttpConnection::OnWritten(boost::system::error_code error, size_t bytes) {
  if (phase_ == Phase::kClosed) return;
  if (error) return Close();
  worker_->counters().bytes_out.Add(bytes);
  size_t of_first = std::min(bytes, unsent_first_.size());
  unsent_first_.remove_prefix(of_first);
  unsent_body_.remove_prefix(bytes - of_first);
  if (!unsent_first_.empty() || !unsent_body_.empty()) {
    if (bytes > 0) Enter(Phase::kWriting);
    return ContinueWrite();
  }
  if (unsent_copy_.capacity() > kKeptBuffer) std::string().swap(unsent_copy_);
  if (AfterResponse()) Run();
}

// Time
// ----------------------------------------------------------------------------------------------------------------

void HttpConnection::OnSweep(Time now) {
  const HttpServerOptions& options = worker_->options();
  const auto waited = now - since_;
  switch (phase_) {
    case Phase::kHandshake:
      // Who has said nothing yet asks for nothing: a server that goes away need not wait for it long.
      if (waited >= options.handshake_timeout ||
          (worker_->draining() && waited >= std::min(worker_->grace() / 2, milliseconds(1000)))) {
        worker_->counters().timeouts.Add(1);
        worker_->counters().tls_failures.Add(1);
        Close();
      }
      break;
    case Phase::kIdle: {
      if (worker_->draining()) {
        // A kept connection's next request may be on the way: give it a moment. A connection that
        // has not asked anything yet has certainly been opened to do so: give it longer. Then end
        // our side only; what the client sends is read over, so that it sees an orderly end.
        milliseconds patience =
            std::min(worker_->grace() / 2, fresh_ ? milliseconds(1000) : milliseconds(250));
        Time start = std::max(worker_->drain_began(), fresh_ ? since_ : worker_->drain_began());
        if (now - start >= patience && !Readable()) LingerClose();
      } else if (waited >= options.idle_timeout) {
        if (!Readable()) Close();
      } else {
        ShrinkWhenIdle();
      }
      break;
    }
    case Phase::kReading:
      if (waited >= options.read_timeout) {
        worker_->counters().timeouts.Add(1);
        Fail(408, StrCat("the request did not arrive within ", options.read_timeout.count(), " ms",
                         Limit("read_timeout")));
      }
      break;
    case Phase::kDeferred:
      LookAtPeer();
      break;
    case Phase::kWriting:
      if (waited >= options.write_timeout) {
        worker_->counters().timeouts.Add(1);
        Close();
      }
      break;
    case Phase::kLingering:
      if (waited >= (worker_->draining() ? kLingerWhenDraining : kLinger)) Close();
      break;
    case Phase::kClosed:
      break;
  }
}

/// A big request or answer must not keep its memory for as long as the client keeps the connection.
void HttpConnection::ShrinkWhenIdle() {
  // The buffer is the target of the pending read: call that back, and free it when it has returned
  // without bytes.
  if (buffer_.capacity() > kKeptBuffer && begin_ == end_ && read_pending_ && !shrinking_) {
    shrinking_ = true;
    boost::system::error_code ignored;
    socket_.cancel(ignored);
  }
  if (response_.body.capacity() > kKeptBuffer) std::string().swap(response_.body);
  if (inflated_.capacity() > kKeptBuffer) inflated_.Release();
  share_.Hold(Held());
  connection_state_.reset();  // whatever its size: it does not tell, and is made again in no time
}

}  // namespace leadsman::net
