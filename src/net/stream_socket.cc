#include "net/stream_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "net/event_loop.h"

namespace leadsman::net {
namespace {

constexpr size_t kKeptOut = 64 << 10;  // of the queue's memory once all of it is sent

}  // namespace

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
  if (begin_ == end_) Take(0);  // gives the memory back
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    readable_ = false;
    return Got::kNothing;
  }
  if (n == 0) {
    peer_ended_ = true;
    return Got::kEnd;
  }
  broken_ = true;
  if (error_ == 0) error_ = errno;
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

void StreamSocket::ShutdownWrite() {
  if (socket_ >= 0) shutdown(socket_, SHUT_WR);
}

void StreamSocket::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
  end_ = begin_;
  Take(0);
  out_.clear();
  out_.shrink_to_fit();
  out_begin_ = 0;
}

void StreamSocket::Reset() {
  linger now{1, 0};
  if (socket_ >= 0) setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

}  // namespace leadsman::net
