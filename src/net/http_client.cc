#include "net/http_client.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/strings.h"

namespace leadsman::net {
namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;
using Parser = http::response_parser<http::string_body>;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Url {
  std::string host;  ///< without the brackets of an IPv6 literal
  std::string port;
  std::string target;
  std::string authority;  ///< as in the URL, for the Host field and messages
};

bool IsClean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<Url> ParseUrl(std::string_view text) {
  auto bad = [&](std::string_view why) {
    return InvalidArgumentError(StrCat("\"", text, "\" is not a usable URL: ", why));
  };
  if (text.starts_with("https://")) return bad("https is not supported here, use http");
  if (!text.starts_with("http://")) return bad("it must start with http://");
  if (!IsClean(text) || text.find(' ') != std::string_view::npos)
    return bad("it contains spaces or control characters");
  std::string_view rest = text.substr(7);
  rest = rest.substr(0, rest.find('#'));
  size_t end = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, end);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  Url url;
  url.authority = authority;
  url.target = target.starts_with('/') ? std::string(target) : StrCat("/", target);
  std::string_view port;
  if (authority.starts_with('[')) {
    size_t close = authority.find(']');
    if (close == std::string_view::npos)
      return bad("the bracket of its IPv6 address is not closed");
    url.host = authority.substr(1, close - 1);
    std::string_view after = authority.substr(close + 1);
    if (!after.empty() && !after.starts_with(':'))
      return bad("after the IPv6 address only a port may follow");
    port = after.empty() ? after : after.substr(1);
  } else {
    size_t colon = authority.find(':');
    url.host = authority.substr(0, colon);
    if (colon != std::string_view::npos) port = authority.substr(colon + 1);
  }
  if (url.host.empty()) return bad("it names no host");
  auto number = port.empty() ? std::optional<int64_t>(80) : ParseInt64(port);
  if (!number || *number < 1 || *number > 65535)
    return bad("the port must be a number from 1 to 65535");
  url.port = std::to_string(*number);
  return url;
}

/// Waits until the descriptor is ready. DEADLINE_EXCEEDED when it is not in time.
Status Await(int fd, short events, Clock::time_point deadline, const Url& url) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd p{fd, events, 0};
    int ready = left <= 0 ? 0 : poll(&p, 1, int(std::min<int64_t>(left, 1 << 30)));
    if (ready > 0) return OkStatus();
    if (ready < 0 && errno == EINTR) continue;
    return DeadlineExceededError(StrCat("no answer from ", url.authority, " in time"));
  }
}

Result<Descriptor> Connect(const Url& url, Clock::time_point deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int rc = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
  if (rc != 0)
    return UnavailableError(
        StrCat("cannot find host ", url.host, " (port ", url.port, "): ", gai_strerror(rc)));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  int error = 0;
  for (addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Descriptor fd(socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) {
      error = errno;
      continue;
    }
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) return fd;
    error = errno;
    if (error != EINPROGRESS) continue;
    Status ready = Await(fd.get(), POLLOUT, deadline, url);
    if (!ready.ok()) {
      return DeadlineExceededError(
          StrCat("cannot connect to ", url.host, " port ", url.port, " in time"));
    }
    socklen_t size = sizeof(error);
    getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return fd;
  }
  return UnavailableError(
      StrCat("cannot connect to ", url.host, " port ", url.port, ": ", strerror(error)));
}

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

Result<std::string> Encode(const ClientRequest& request, const Url& url) {
  if (request.method.empty() ||
      request.method.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") != std::string::npos) {
    return InvalidArgumentError(StrCat("\"", request.method, "\" is not an HTTP method"));
  }
  std::string out = StrCat(request.method, " ", url.target, " HTTP/1.1\r\n");
  bool has_host = false;
  bool has_length = false;
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || !IsClean(name) || name.find_first_of(": ") != std::string::npos ||
        !IsClean(value)) {
      return InvalidArgumentError(
          StrCat("the header field \"", name, "\" contains characters it must not"));
    }
    has_host |= EqualsIgnoreCase(name, "host");
    has_length |= EqualsIgnoreCase(name, "content-length");
    out += StrCat(name, ": ", value, "\r\n");
  }
  if (!has_host) out += StrCat("Host: ", url.authority, "\r\n");
  if (!has_length &&
      (!request.body.empty() || request.method == "POST" || request.method == "PUT")) {
    out += StrCat("Content-Length: ", request.body.size(), "\r\n");
  }
  out += "\r\n";
  out += request.body;
  return out;
}

class BlockingClient final : public HttpClient {
 public:
  Result<ClientResponse> Send(const ClientRequest& request) override {
    const auto deadline = Clock::now() + request.timeout;
    ASSIGN_OR_RETURN(Url url, ParseUrl(request.url));
    ASSIGN_OR_RETURN(std::string bytes, Encode(request, url));
    const std::string key = StrCat(url.host, " ", url.port);
    Descriptor kept = TakeKept(key);
    if (kept.valid()) {
      bool answered = false;
      auto result = Exchange(std::move(kept), key, request, url, bytes, deadline, &answered);
      // The server may have closed the kept connection at this very moment. Only then, and only
      // what may safely happen twice, is sent again.
      bool stale = !result.ok() && result.status().code() == StatusCode::kUnavailable && !answered;
      if (!stale || !IsIdempotent(request.method)) return result;
    }
    ASSIGN_OR_RETURN(Descriptor fresh, Connect(url, deadline));
    bool answered = false;
    return Exchange(std::move(fresh), key, request, url, bytes, deadline, &answered);
  }

 private:
  /// The kept connection, unless the server has closed it in the meantime.
  Descriptor TakeKept(const std::string& key) {
    auto it = kept_.find(key);
    if (it == kept_.end()) return Descriptor();
    Descriptor fd = std::move(it->second);
    kept_.erase(it);
    char byte;
    bool quiet = recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
                 (errno == EAGAIN || errno == EWOULDBLOCK);
    return quiet ? std::move(fd) : Descriptor();
  }

  Result<ClientResponse> Exchange(Descriptor fd, const std::string& key,
                                  const ClientRequest& request, const Url& url,
                                  std::string_view bytes, Clock::time_point deadline,
                                  bool* answered) {
    auto lost = [&](std::string_view what) {
      return UnavailableError(StrCat("the connection to ", url.authority, " was lost ", what));
    };
    // A server may answer, with an error, before it has read all: look for an answer while sending.
    bool send_failed = false;
    while (!bytes.empty() && !send_failed) {
      ssize_t n = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        bytes.remove_prefix(size_t(n));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) {
        send_failed = true;
        break;
      }
      RETURN_IF_ERROR(Await(fd.get(), POLLOUT | POLLIN, deadline, url));
      char byte;
      if (recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) break;
    }

    std::optional<Parser> parser;
    auto restart = [&] {
      parser.emplace();
      parser->eager(true);
      parser->body_limit(request.max_response_bytes);
      parser->header_limit(1 << 20);
      if (request.method == "HEAD") parser->skip(true);
    };
    restart();
    std::string input;
    for (;;) {
      boost::beast::error_code ec;
      while (!input.empty() && !parser->is_done()) {
        size_t used = parser->put(boost::asio::buffer(input), ec);
        input.erase(0, used);
        if (ec == http::error::need_more) {
          ec = {};
          break;
        }
        if (ec) break;
      }
      if (ec == http::error::body_limit) {
        return ResourceExhaustedError(StrCat("the answer of ", url.authority, " is larger than ",
                                             request.max_response_bytes, " bytes"));
      }
      if (ec)
        return UnavailableError(
            StrCat("the answer of ", url.authority, " is not HTTP: ", ec.message()));
      if (parser->is_done()) {
        int status = int(parser->get().result_int());
        if (status < 100 || status >= 200) break;
        restart();  // 100 Continue and the like: the answer proper follows
        continue;
      }
      RETURN_IF_ERROR(Await(fd.get(), POLLIN, deadline, url));
      char chunk[16384];
      ssize_t n = recv(fd.get(), chunk, sizeof(chunk), MSG_DONTWAIT);
      if (n > 0) {
        *answered = true;
        input.append(chunk, size_t(n));
      } else if (n == 0) {
        if (!parser->got_some()) return lost("before an answer came");
        parser->put_eof(ec);
        if (ec || !parser->is_done()) return lost("in the middle of the answer");
        break;
      } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        return lost(parser->got_some() ? "in the middle of the answer" : "before an answer came");
      }
    }

    ClientResponse response;
    auto& message = parser->get();
    response.status = int(message.result_int());
    for (const auto& field : message) {
      response.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    }
    response.body = std::move(message.body());
    if (parser->keep_alive() && bytes.empty() && !send_failed && input.empty())
      kept_[key] = std::move(fd);
    return response;
  }

  std::map<std::string, Descriptor> kept_;
};

}  // namespace

std::string ClientResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (EqualsIgnoreCase(key, name)) return value;
  }
  return {};
}

std::unique_ptr<HttpClient> MakeHttpClient() { return std::make_unique<BlockingClient>(); }

}  // namespace leadsman::net
