#include "net/stream_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "net/client_connection.h"
#include "net/event_loop.h"
#include "net/tls_context.h"
#include "net/tls_stream.h"

namespace leadsman::net {
namespace {

constexpr size_t kKeptOut = 64 << 10;  // of the queue's memory once all of it is sent
const std::string kNoError;

}  // namespace

StreamSocket::StreamSocket(int socket, BufferPool& pool) : socket_(socket), pool_(&pool) {}

StreamSocket::~StreamSocket() { Close(); }

void StreamSocket::OnEvents(uint32_t events) {
  if (events & EventLoop::kReadable) readable_ = true;
  if (events & EventLoop::kWritable) writable_ = true;
  if (events & EventLoop::kEnded) peer_ended_ = readable_ = true;
  if (events & EventLoop::kBroken) {
    // What came before is still to be read; that says why, too.
    readable_ = writable_ = true;
    if (!broken_) {
      socklen_t size = sizeof(error_);
      if (socket_ >= 0) getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error_, &size);
    }
    broken_ = true;
  }
}

StreamSocket::Got StreamSocket::Fill(size_t limit) {
  if (!readable_ || socket_ < 0) return Got::kNothing;
  if (!memory_) {
    memory_ = pool_->Get();
    capacity_ = BufferPool::kSize;
    begin_ = end_ = 0;
  }
  if (end_ == capacity_ && begin_ > 0) {
    std::memmove(memory_.get(), memory_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == capacity_) {
    if (capacity_ >= limit) return Got::kNothing;
    const size_t grown = std::min(limit, capacity_ * 2);
    std::unique_ptr<char[]> larger(new char[grown]);
    std::memcpy(larger.get(), memory_.get(), end_);
    if (capacity_ == BufferPool::kSize) pool_->Put(std::move(memory_));
    memory_ = std::move(larger);
    capacity_ = grown;
  }
  const size_t room = capacity_ - end_;
  const Got got = tls_ ? FillTls(room) : FillPlain(room);
  if (got != Got::kBytes && begin_ == end_) Take(0);  // gives the memory back
  return got;
}

StreamSocket::Got StreamSocket::FillPlain(size_t room) {
  ssize_t n;
  do {
    n = recv(socket_, memory_.get() + end_, room, 0);
  } while (n < 0 && errno == EINTR);
  if (n > 0) {
    end_ += static_cast<size_t>(n);
    bytes_in_ += static_cast<uint64_t>(n);
    // Less than asked for: that was all, and what comes will be told. An end is told once, so it is read.
    if (static_cast<size_t>(n) < room && !peer_ended_ && !broken_) readable_ = false;
    return Got::kBytes;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    readable_ = false;
    return Got::kNothing;
  }
  if (n == 0) {
    peer_ended_ = true;
    return Got::kEnd;
  }
  return Broken(errno);
}

/// Read until it has nothing: what lies in TLS's own buffer is told of by nobody.
StreamSocket::Got StreamSocket::FillTls(size_t room) {
  size_t bytes = 0;
  switch (tls_->Read(memory_.get() + end_, room, &bytes)) {
    case TlsStream::Outcome::kOk:
      end_ += bytes;
      bytes_in_ += bytes;
      return Got::kBytes;
    case TlsStream::Outcome::kWantRead:
      readable_ = false;
      return Got::kNothing;
    case TlsStream::Outcome::kWantWrite:
      return Got::kNothing;
    case TlsStream::Outcome::kClosed:
      peer_ended_ = true;
      return Got::kEnd;
    case TlsStream::Outcome::kFailed:
      break;
  }
  return Broken(tls_->lost());
}

StreamSocket::Got StreamSocket::Broken(int error) {
  broken_ = true;
  if (error_ == 0) error_ = error;
  return Got::kBroken;
}

bool StreamSocket::HasInput() const {
  char byte;
  return begin_ < end_ || (socket_ >= 0 && recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

void StreamSocket::Take(size_t bytes) {
  begin_ += bytes;
  if (begin_ < end_ || !memory_) return;
  begin_ = end_ = 0;
  if (capacity_ == BufferPool::kSize) pool_->Put(std::move(memory_));
  memory_.reset();
  capacity_ = 0;
}

void StreamSocket::Queue(std::string_view bytes) {
  if (bytes.empty()) return;
  if (out_begin_ == out_.size()) {
    out_.clear();
    out_begin_ = 0;
  } else if (out_begin_ > kKeptOut) {
    out_.erase(out_.begin(), out_.begin() + static_cast<ptrdiff_t>(out_begin_));
    out_begin_ = 0;
  }
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

bool StreamSocket::Send(std::string_view bytes) {
  if (broken_ || socket_ < 0) return false;
  if (tls_) {
    Queue(bytes);
    return SendTls();
  }
  while (writable_ && (unsent() > 0 || !bytes.empty())) {
    iovec pieces[2] = {{out_.data() + out_begin_, unsent()},
                       {const_cast<char*>(bytes.data()), bytes.size()}};
    const bool both = unsent() > 0 && !bytes.empty();
    msghdr message{};
    message.msg_iov = unsent() > 0 ? pieces : pieces + 1;
    message.msg_iovlen = both ? 2 : 1;
    const ssize_t n = sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      writable_ = false;
      break;
    }
    if (n < 0) {
      broken_ = readable_ = true;  // what came before is still to be read
      if (error_ == 0) error_ = errno;
      return false;
    }
    const auto sent = static_cast<size_t>(n);
    bytes_out_ += sent;
    const size_t of_queue = std::min(sent, unsent());
    out_begin_ += of_queue;
    bytes.remove_prefix(sent - of_queue);
  }
  if (out_begin_ == out_.size()) {
    out_.clear();
    out_begin_ = 0;
    if (out_.capacity() > kKeptOut) out_.shrink_to_fit();
  }
  Queue(bytes);
  return true;
}

/// What is queued. A write that the socket has not taken is tried again with the same bytes: they stay in front of the queue.
bool StreamSocket::SendTls() {
  while (writable_ && unsent() > 0) {
    size_t taken = 0;
    const auto outcome = tls_->Write({out_.data() + out_begin_, unsent()}, &taken);
    out_begin_ += taken;
    bytes_out_ += taken;
    if (outcome == TlsStream::Outcome::kOk) continue;
    if (outcome == TlsStream::Outcome::kWantWrite) {
      writable_ = false;
    } else if (outcome != TlsStream::Outcome::kWantRead) {
      Broken(tls_->lost());
      readable_ = true;  // what came before is still to be read
      return false;
    }
    break;
  }
  if (out_begin_ == out_.size()) {
    out_.clear();
    out_begin_ = 0;
    if (out_.capacity() > kKeptOut) out_.shrink_to_fit();
  }
  return true;
}

uint64_t StreamSocket::wire_in() const { return tls_ ? tls_->wire_in() : bytes_in_; }

uint64_t StreamSocket::wire_out() const { return tls_ ? tls_->wire_out() : bytes_out_; }

bool StreamSocket::BeginTls(const TlsClient& client, const std::string& host) {
  tls_ = std::make_unique<TlsStream>(static_cast<const TlsClientContext&>(client).context(),
                                     socket_, host);
  if (!tls_->valid()) tls_.reset();
  return tls_ != nullptr;
}

bool StreamSocket::BeginTls(const ServerCertificates& certificates, std::string_view protocols) {
  const auto current = static_cast<const CertificatesOfFiles&>(certificates).current();
  tls_ = std::make_unique<TlsStream>(current->context.get(), socket_, TlsStream::Server::kSide,
                                     protocols);
  if (!tls_->valid()) tls_.reset();
  return tls_ != nullptr;
}

StreamSocket::Shake StreamSocket::Handshake() {
  switch (tls_->Handshake()) {
    case TlsStream::Outcome::kOk:
      return Shake::kDone;
    case TlsStream::Outcome::kWantRead:
    case TlsStream::Outcome::kWantWrite:
      return Shake::kPending;
    default:
      Broken(tls_->lost());
      return Shake::kFailed;
  }
}

std::string_view StreamSocket::tls_protocol() const {
  return tls_ ? tls_->negotiated() : std::string_view();
}

const std::string& StreamSocket::tls_error() const {
  return tls_ && !tls_->ended_silently() ? tls_->error() : kNoError;
}

TlsDistrust StreamSocket::distrust() const { return tls_ ? tls_->distrust() : TlsDistrust::kNone; }

void StreamSocket::ShutdownWrite() {
  if (socket_ < 0) return;
  if (tls_) tls_->SendCloseNotify();
  shutdown(socket_, SHUT_WR);
}

void StreamSocket::Close() {
  if (socket_ >= 0) {
    if (tls_ && !broken_) tls_->SendCloseNotify();
    close(socket_);
  }
  socket_ = -1;
  end_ = begin_;
  Take(0);
  out_.clear();
  out_.shrink_to_fit();
  out_begin_ = 0;
}

void StreamSocket::Reset() {
  linger now{1, 0};
  broken_ = true;
  if (socket_ >= 0) setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

}  // namespace leadsman::net
