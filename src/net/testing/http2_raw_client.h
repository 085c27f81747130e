#pragma once

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace leadsman::net {

/// A field block of literals, none of which the peer has to keep.
inline std::string Hpack(
    std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string out;
  auto text = [&](std::string_view value) {
    size_t left = value.size();
    out += static_cast<char>(left < 127 ? left : 127);
    if (left >= 127) {
      for (left -= 127; left >= 128; left >>= 7) out += static_cast<char>(left | 128);
      out += static_cast<char>(left);
    }
    out += value;
  };
  for (const auto& [name, value] : fields) {
    out += '\0';
    text(name);
    text(value);
  }
  return out;
}

inline std::string BigEndian(uint32_t value, int bytes = 4) {
  std::string out;
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes));
  return out;
}

/// One frame as it goes over the wire.
inline std::string Http2Frame(uint8_t type, uint8_t flags, int32_t stream,
                              std::string_view payload) {
  std::string out = BigEndian(static_cast<uint32_t>(payload.size()), 3);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  out += BigEndian(static_cast<uint32_t>(stream));
  out += payload;
  return out;
}

/// HTTP/2 frame by frame over a socket to 127.0.0.1, for tests that have to send what no proper client would, or must not take
/// what is sent: reads only when told to, and gives no credit of its own accord. Every wait ends after twenty seconds. Confined.
class Http2RawClient {
 public:
  struct Frame {
    uint8_t type = 0;
    uint8_t flags = 0;
    int32_t stream = 0;
    std::string payload;
    std::map<std::string, std::string> fields;  ///< of HEADERS
    bool end() const { return (flags & NGHTTP2_FLAG_END_STREAM) != 0; }
  };
  static constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

  /// `window`: of each of its streams. `receive_buffer`: of the socket; 0 = the kernel's choice.
  explicit Http2RawClient(uint16_t port, uint32_t window = 65535, int receive_buffer = 0) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0)
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof(a)) == 0);
    nghttp2_hd_inflate_new(&inflater_);
    Send(kPreface);
    Send(Http2Frame(NGHTTP2_SETTINGS, 0, 0, BigEndian(4, 2) + BigEndian(window)));
  }
  ~Http2RawClient() {
    nghttp2_hd_inflate_del(inflater_);
    close(fd_);
  }
  Http2RawClient(const Http2RawClient&) = delete;
  Http2RawClient& operator=(const Http2RawClient&) = delete;

  /// False when the server has closed, or takes nothing for twenty seconds.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      pollfd p{fd_, POLLOUT, 0};
      if (poll(&p, 1, 20'000) <= 0) return false;
      ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  static std::string Head(int32_t stream, std::string_view path, bool end = false) {
    return Http2Frame(
        NGHTTP2_HEADERS, end ? 5 : 4, stream,
        Hpack({{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "x"}}));
  }
  static std::string Data(int32_t stream, std::string_view bytes, bool end = false) {
    return Http2Frame(NGHTTP2_DATA, end ? 1 : 0, stream, bytes);
  }
  static std::string Credit(int32_t stream, uint32_t bytes) {
    return Http2Frame(NGHTTP2_WINDOW_UPDATE, 0, stream, BigEndian(bytes));
  }
  static std::string Ping() { return Http2Frame(NGHTTP2_PING, 0, 0, std::string(8, 'p')); }

  /// The next frame; nothing when the server has closed, or none comes. Settings are acknowledged.
  std::optional<Frame> Read() {
    while (!Complete()) {
      pollfd p{fd_, POLLIN, 0};
      if (poll(&p, 1, 20'000) <= 0) return std::nullopt;
      char buffer[65536];
      ssize_t n = recv(fd_, buffer, sizeof(buffer), 0);
      if (n <= 0) return std::nullopt;
      input_.append(buffer, static_cast<size_t>(n));
    }
    Frame frame;
    frame.type = static_cast<uint8_t>(input_[3]);
    frame.flags = static_cast<uint8_t>(input_[4]);
    frame.stream = static_cast<int32_t>(Number(5, 4));
    frame.payload = input_.substr(9, Number(0, 3));
    input_.erase(0, 9 + frame.payload.size());
    if (frame.type == NGHTTP2_HEADERS) Inflate(frame);
    if (frame.type == NGHTTP2_SETTINGS && (frame.flags & NGHTTP2_FLAG_ACK) == 0)
      Send(Http2Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
    return frame;
  }
  /// Reads over others.
  std::optional<Frame> ReadUntil(uint8_t type, int32_t stream) {
    for (;;) {
      std::optional<Frame> frame = Read();
      if (!frame || (frame->type == type && frame->stream == stream)) return frame;
    }
  }
  /// Everything sent is in the server's socket.
  bool Delivered() const {
    int left = 0;
    return ioctl(fd_, SIOCOUTQ, &left) == 0 && left == 0;
  }
  /// A PING has come back: what was sent before it has been read, and its answers have been sent.
  bool Sync() { return Send(Ping()) && ReadUntil(NGHTTP2_PING, 0).has_value(); }

 private:
  size_t Number(size_t at, size_t bytes) const {
    size_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(input_[at + i]);
    return value;
  }
  bool Complete() const { return input_.size() >= 9 && input_.size() >= 9 + Number(0, 3); }
  void Inflate(Frame& frame) {
    const auto* at = reinterpret_cast<const uint8_t*>(frame.payload.data());
    size_t left = frame.payload.size();
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
      nghttp2_nv nv;
      ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, at, left, 1);
      CHECK(taken >= 0);
      at += taken;
      left -= static_cast<size_t>(taken);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        frame.fields[std::string(reinterpret_cast<char*>(nv.name), nv.namelen)] =
            std::string(reinterpret_cast<char*>(nv.value), nv.valuelen);
      }
    }
    nghttp2_hd_inflate_end_headers(inflater_);
  }

  int fd_;
  std::string input_;
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace leadsman::net
