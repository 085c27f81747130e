#include "net/http_client.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "net/client_connection.h"
#include "net/url.h"

namespace leadsman::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;
using SteadyClock = std::chrono::steady_clock;
using Io = ClientConnection::Io;

constexpr size_t kMaxHead = 1 << 20;
constexpr size_t kReadAtOnce = 128 << 10;
constexpr size_t kKeptOfAnError = 64 << 10;     // of the body of an answer that a sink does not get
constexpr size_t kReadOverOfAnError = 1 << 20;  // beyond, the connection is not worth keeping

bool IsClean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool IsCredential(std::string_view name) {
  return EqualsIgnoreCase(name, "authorization") || EqualsIgnoreCase(name, "cookie") ||
         EqualsIgnoreCase(name, "proxy-authorization");
}

Result<std::string> EncodeHead(const ClientRequest& request, const Url& url, bool credentials) {
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
    if (!credentials && (IsCredential(name) || EqualsIgnoreCase(name, "host"))) continue;
    has_host |= EqualsIgnoreCase(name, "host");
    has_length |= EqualsIgnoreCase(name, "content-length");
    out += StrCat(name, ": ", value, "\r\n");
  }
  if (!has_host) out += StrCat("Host: ", url.authority, "\r\n");
  if (request.range) {
    const ByteRange& range = *request.range;
    if (range.last && *range.last < range.first) {
      return InvalidArgumentError(
          StrCat("the range ends before it begins: ", range.first, "-", *range.last));
    }
    out += StrCat("Range: bytes=", range.first, "-",
                  range.last ? std::to_string(*range.last) : std::string(), "\r\n");
  }
  if (!has_length &&
      (!request.body.empty() || request.method == "POST" || request.method == "PUT")) {
    out += StrCat("Content-Length: ", request.body.size(), "\r\n");
  }
  out += "\r\n";
  return out;
}

/// "bytes 5-9/20", "bytes 5-9/*": where it begins, and of how many in all.
bool ParseContentRange(std::string_view text, uint64_t* first, std::optional<uint64_t>* total) {
  if (!EqualsIgnoreCase(text.substr(0, 6), "bytes ")) return false;
  text = Trim(text.substr(6));
  const size_t dash = text.find('-');
  const size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash)
    return false;
  auto begin = ParseInt64(text.substr(0, dash));
  auto all = ParseInt64(text.substr(slash + 1));
  if (!begin || *begin < 0 || (!all && text.substr(slash + 1) != "*")) return false;
  *first = uint64_t(*begin);
  if (all && *all >= 0) *total = uint64_t(*all);
  return true;
}

/// Reads one answer: the head into a ClientResponse, the body into it or into a sink. Beast finds and checks the lines.
class AnswerParser final : public http::basic_parser<false> {
 public:
  /// Without a sink the whole body goes into the response.
  AnswerParser(const ClientRequest& request, BodySink* sink, ClientResponse& response)
      : request_(request), sink_(sink), response_(response) {
    header_limit(kMaxHead);
    body_limit(boost::none);
    eager(true);
    if (request.method == "HEAD") skip(true);
  }

  bool is_interim() const { return response_.status >= 100 && response_.status < 200; }
  /// Why it ended before its end, when it was not the server's fault.
  const Status& problem() const { return problem_; }
  bool gave_up() const { return gave_up_; }

 private:
  void on_request_impl(http::verb, BeastView, BeastView, int, error_code&) override {}
  void on_response_impl(int status, BeastView, int, error_code&) override {
    response_.status = status;
  }
  void on_field_impl(http::field, BeastView name, BeastView value, error_code&) override {
    response_.headers.emplace_back(std::string(name), std::string(value));
  }
  void on_header_impl(error_code& ec) override {
    if (is_interim()) return;
    auto length = content_length();
    to_sink_ = sink_ != nullptr && response_.status >= 200 && response_.status < 300;
    if (!to_sink_) {
      if (sink_ == nullptr && length && *length > request_.max_response_bytes &&
          request_.method != "HEAD") {
        TooLarge(ec);
      }
      return;
    }
    BodySink::Info info;
    info.status = response_.status;
    if (length) info.size = *length;
    if (response_.status == 206) {
      const uint64_t asked = request_.range ? request_.range->first : 0;
      if (!ParseContentRange(response_.Header("content-range"), &info.offset, &info.total) ||
          info.offset != asked) {
        return Stop(ec, UnavailableError(StrCat("the answer's Content-Range \"",
                                                response_.Header("content-range"),
                                                "\" does not begin at byte ", asked)));
      }
    } else {
      info.total = info.size;
    }
    Status status = sink_->Begin(info);
    if (!status.ok()) Stop(ec, std::move(status));
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  size_t on_body_impl(BeastView bytes, error_code& ec) override {
    Take({bytes.data(), bytes.size()}, ec);
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  size_t on_chunk_body_impl(std::uint64_t, BeastView bytes, error_code& ec) override {
    return on_body_impl(bytes, ec);
  }
  void on_finish_impl(error_code&) override {}

  void Take(std::string_view bytes, error_code& ec) {
    if (to_sink_) {
      Status status = sink_->Write(bytes);
      if (!status.ok()) Stop(ec, std::move(status));
      return;
    }
    if (sink_ == nullptr) {
      if (response_.body.size() + bytes.size() > request_.max_response_bytes) return TooLarge(ec);
      response_.body.append(bytes);
      return;
    }
    read_over_ += bytes.size();
    response_.body.append(
        bytes.substr(0, kKeptOfAnError - std::min(kKeptOfAnError, response_.body.size())));
    if (read_over_ > kReadOverOfAnError) {
      gave_up_ = true;
      ec = http::error::body_limit;
    }
  }
  void TooLarge(error_code& ec) {
    Stop(ec, ResourceExhaustedError(StrCat("the answer of ", response_.url, " is larger than ",
                                           request_.max_response_bytes, " bytes")));
  }
  void Stop(error_code& ec, Status why) {
    problem_ = std::move(why);
    ec = http::error::body_limit;
  }

  const ClientRequest& request_;
  BodySink* sink_;
  ClientResponse& response_;
  bool to_sink_ = false;
  bool gave_up_ = false;
  size_t read_over_ = 0;
  Status problem_;
};

class BlockingClient final : public HttpClient {
 public:
  explicit BlockingClient(std::shared_ptr<const TlsClient> tls)
      : tls_(std::static_pointer_cast<const TlsClientContext>(std::move(tls))),
        input_(kReadAtOnce, '\0') {}

  Result<ClientResponse> Send(const ClientRequest& request) override {
    return Follow(request, nullptr);
  }
  Result<ClientResponse> Fetch(const ClientRequest& request, BodySink& sink) override {
    return Follow(request, &sink);
  }

 private:
  Result<ClientResponse> Follow(const ClientRequest& request, BodySink* sink) {
    const ExchangeLimits limits{SteadyClock::now() + request.timeout, request.idle_timeout,
                                request.cancelled};
    ASSIGN_OR_RETURN(Url url, ParseUrl(request.url));
    const std::string origin = url.Origin();
    const bool follows =
        request.max_redirects > 0 && (request.method == "GET" || request.method == "HEAD");
    for (int redirects = 0;; ++redirects) {
      auto response = Perform(request, url, url.Origin() == origin, sink, limits);
      if (!response.ok() || !follows || !IsRedirect(response->status)) return response;
      const std::string location = response->Header("location");
      if (location.empty()) return response;
      if (redirects == request.max_redirects) {
        return FailedPreconditionError(
            StrCat(url.authority, " redirects more than ", request.max_redirects, " times"));
      }
      auto next = ResolveLocation(url, location);
      if (!next.ok()) {
        return Annotate(next.status(), StrCat("redirect of ", url.authority));
      }
      if (url.https && !next->https) {
        return FailedPreconditionError(StrCat(url.authority, " redirects from https to http (",
                                              next->authority, "), which is not followed"));
      }
      url = std::move(next).value();
    }
  }

  Result<ClientResponse> Perform(const ClientRequest& request, const Url& url, bool credentials,
                                 BodySink* sink, const ExchangeLimits& limits) {
    ASSIGN_OR_RETURN(const std::string head, EncodeHead(request, url, credentials));
    if (url.https && !tls_) {
      ASSIGN_OR_RETURN(auto tls, SystemTrust());
      tls_ = std::static_pointer_cast<const TlsClientContext>(std::move(tls));
    }
    if (auto kept = TakeKept(url)) {
      bool answered = false;
      auto result = Exchange(std::move(kept), request, url, head, sink, limits, &answered);
      // The server may have closed the kept connection at this very moment. Only then, and only
      // what may safely happen twice, is sent again.
      bool stale = !result.ok() && result.status().code() == StatusCode::kUnavailable && !answered;
      if (!stale || !IsIdempotent(request.method)) return result;
    }
    ASSIGN_OR_RETURN(auto fresh, ClientConnection::Open(url, tls_.get(), limits));
    bool answered = false;
    return Exchange(std::move(fresh), request, url, head, sink, limits, &answered);
  }

  /// Once for the process: reading a hundred authorities takes tens of milliseconds.
  static Result<std::shared_ptr<const TlsClient>> SystemTrust() {
    static const Result<std::shared_ptr<const TlsClient>> trust = TlsClient::Create({});
    return trust;
  }

  /// The kept connection, unless the server has closed it in the meantime.
  std::unique_ptr<ClientConnection> TakeKept(const Url& url) {
    auto it = kept_.find(url.Origin());
    if (it == kept_.end()) return nullptr;
    std::unique_ptr<ClientConnection> connection = std::move(it->second);
    kept_.erase(it);
    return connection->IsQuiet() ? std::move(connection) : nullptr;
  }

  /// A server may answer, with an error, before it has read all: looks for an answer while sending. True when all was
  /// sent; false when it need not be, or cannot be: what the server says comes next.
  Result<bool> SendAll(ClientConnection& connection, std::string_view head, std::string_view body,
                       const ExchangeLimits& limits, size_t* received) {
    for (std::string_view piece : {head, body}) {
      while (!piece.empty()) {
        size_t bytes = 0;
        Io io = connection.Write(piece, &bytes);
        piece.remove_prefix(bytes);
        if (io == Io::kOk) continue;
        if (io == Io::kLost || io == Io::kEnd) return false;
        const short events = io == Io::kWantRead ? POLLIN : POLLIN | POLLOUT;
        RETURN_IF_ERROR(connection.Await(events, limits));
        io = connection.Read(input_.data(), input_.size(), received);
        if (io == Io::kOk || io == Io::kEnd || io == Io::kLost) return false;
      }
    }
    return true;
  }

  Result<ClientResponse> Exchange(std::unique_ptr<ClientConnection> connection,
                                  const ClientRequest& request, const Url& url,
                                  std::string_view head, BodySink* sink,
                                  const ExchangeLimits& limits, bool* answered) {
    auto lost = [&](std::string_view what) {
      return UnavailableError(StrCat("the connection to ", url.authority, " was lost ", what));
    };
    size_t begin = 0;
    size_t end = 0;
    ASSIGN_OR_RETURN(const bool all_sent, SendAll(*connection, head, request.body, limits, &end));
    ClientResponse response;
    std::optional<AnswerParser> parser;
    auto restart = [&] {
      response = ClientResponse();
      response.url = StrCat(url.Origin(), url.target);
      parser.emplace(request, sink, response);
    };
    restart();
    *answered = end > 0;
    for (;;) {
      error_code ec;
      while (begin < end && !parser->is_done()) {
        begin += parser->put(boost::asio::buffer(input_.data() + begin, end - begin), ec);
        if (ec == http::error::need_more) {
          ec = {};
          break;
        }
        if (ec) break;
      }
      if (parser->gave_up()) return response;  // the connection ends here
      if (!parser->problem().ok()) return parser->problem();
      if (ec) {
        return UnavailableError(
            StrCat("the answer of ", url.authority, " is not HTTP: ", ec.message()));
      }
      if (parser->is_done()) {
        if (!parser->is_interim()) break;
        restart();  // 100 Continue and the like: the answer proper follows
        continue;
      }
      if (begin == end) begin = end = 0;
      if (end ==
          input_.size()) {  // a long head: what is left of it goes to the front, or needs more room
        if (begin == 0 && input_.size() > kMaxHead) {
          return UnavailableError(StrCat("the answer of ", url.authority, " has too large a head"));
        }
        if (begin == 0) input_.resize(input_.size() * 2);
        std::memmove(input_.data(), input_.data() + begin, end - begin);
        end -= begin;
        begin = 0;
      }
      size_t bytes = 0;
      switch (connection->Read(input_.data() + end, input_.size() - end, &bytes)) {
        case Io::kOk:
          *answered = true;
          end += bytes;
          break;
        case Io::kWantRead:
          RETURN_IF_ERROR(connection->Await(POLLIN, limits));
          break;
        case Io::kWantWrite:
          RETURN_IF_ERROR(connection->Await(POLLOUT, limits));
          break;
        case Io::kEnd:
          if (!parser->got_some()) return lost("before an answer came");
          parser->put_eof(ec);
          if (ec || !parser->is_done()) return lost("in the middle of the answer");
          break;
        case Io::kLost:
          return lost(parser->got_some() ? "in the middle of the answer" : "before an answer came");
      }
      // Data that never pauses must not outlast the deadline either.
      if (!parser->is_done()) RETURN_IF_ERROR(limits.CheckCancelled(url.authority));
      if (!parser->is_done() && SteadyClock::now() >= limits.deadline) {
        return DeadlineExceededError(
            StrCat("the answer of ", url.authority, " did not come to its end in time"));
      }
    }
    if (parser->keep_alive() && all_sent && begin == end) {
      kept_[url.Origin()] = std::move(connection);
    }
    if (input_.size() > kReadAtOnce) input_.resize(kReadAtOnce);
    return response;
  }

  std::shared_ptr<const TlsClientContext> tls_;
  std::map<std::string, std::unique_ptr<ClientConnection>> kept_;
  std::string input_;
};

}  // namespace

std::string ClientResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (EqualsIgnoreCase(key, name)) return value;
  }
  return {};
}

Status FileSink::Begin(const Info& info) {
  info_ = info;
  written_ = 0;
  return OkStatus();
}

Status FileSink::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = pwrite(descriptor_, bytes.data(), bytes.size(), off_t(info_.offset + written_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write", "the downloaded file");
    bytes.remove_prefix(size_t(n));
    written_ += uint64_t(n);
  }
  return progress_ ? progress_(info_.offset + written_, info_.total) : OkStatus();
}

std::unique_ptr<HttpClient> MakeHttpClient(std::shared_ptr<const TlsClient> tls) {
  return std::make_unique<BlockingClient>(std::move(tls));
}

}  // namespace leadsman::net
