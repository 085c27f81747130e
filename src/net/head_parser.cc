#include "net/head_parser.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <boost/beast/http/basic_parser.hpp>

#include "base/strings.h"

namespace leadsman::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

std::string_view View(BeastView v) { return {v.data(), v.size()}; }

/// "gzip;q=0" does not accept it, "gzip" and "gzip;q=0.5" and "*" do. Of gzip and deflate, gzip;
/// deflate is for who takes nothing else.
ContentCoding AcceptedCoding(std::string_view value) {
  bool deflate = false;
  std::optional<bool> gzip;
  for (std::string_view item : Split(value, ',')) {
    size_t semicolon = item.find(';');
    std::string_view coding = Trim(item.substr(0, semicolon));
    const bool for_gzip = EqualsIgnoreCase(coding, "gzip") || (coding == "*" && !gzip);
    if (!for_gzip && !EqualsIgnoreCase(coding, "deflate")) continue;
    std::string_view weight =
        semicolon == std::string_view::npos ? "" : Trim(item.substr(semicolon + 1));
    const bool weighed =
        weight.size() >= 2 && (weight[0] == 'q' || weight[0] == 'Q') && weight[1] == '=';
    const bool accepted =
        !weighed || weight.substr(2).find_first_of("123456789") != std::string_view::npos;
    if (for_gzip) {
      gzip = accepted;
    } else {
      deflate = accepted;
    }
  }
  if (gzip.value_or(false)) return ContentCoding::kGzip;
  return deflate ? ContentCoding::kDeflate : ContentCoding::kIdentity;
}

ContentCoding Join(ContentCoding a, ContentCoding b) {
  if (a == ContentCoding::kIdentity) return b;
  return b == ContentCoding::kIdentity ? a : ContentCoding::kUnsupported;
}

/// A list of what was done to the body: one compression, "identity" as often as anybody likes.
ContentCoding CodingOf(std::string_view value) {
  ContentCoding result = ContentCoding::kIdentity;
  for (std::string_view item : Split(value, ',')) {
    std::string_view coding = Trim(item);
    if (coding.empty() || EqualsIgnoreCase(coding, "identity")) continue;
    if (EqualsIgnoreCase(coding, "gzip") || EqualsIgnoreCase(coding, "x-gzip")) {
      result = Join(result, ContentCoding::kGzip);
    } else if (EqualsIgnoreCase(coding, "deflate")) {
      result = Join(result, ContentCoding::kDeflate);
    } else {
      return ContentCoding::kUnsupported;
    }
  }
  return result;
}

/// Beast's parser finds and checks the lines; this collects views instead of building a field
/// container.
class Collector final : public http::basic_parser<true> {
 public:
  Collector(std::string_view bytes, HttpRequest& request, RequestHead& head)
      : bytes_(bytes), request_(request), head_(head) {
    header_limit(UINT32_MAX);  // checked by HeadParser already
    body_limit(boost::none);
    eager(false);
  }

  int status = 400;
  std::string_view message;
  bool has_host = false;

 private:
  void Refuse(error_code& ec, int code, std::string_view why) {
    status = code;
    message = why;
    ec = http::error::bad_field;
  }

  void on_request_impl(http::verb method, BeastView method_string, BeastView target, int version,
                       error_code&) override {
    request_.method = View(method_string);
    request_.target = View(target);
    head_.is_head = method == http::verb::head;
    head_.http10 = version < 11;
  }
  void on_response_impl(int, BeastView, int, error_code&) override {}

  void on_field_impl(http::field name, BeastView name_string, BeastView value_string,
                     error_code& ec) override {
    std::string_view value = View(value_string);
    // Folding is obsolete and may be refused (RFC 9112 5.2). A folded field is put together in the
    // parser's own memory, unless its first line is empty: then a line's end stands before the value.
    if (!value.empty() &&
        (value.data() < bytes_.data() || value.data() >= bytes_.data() + bytes_.size() ||
         BeginsOnALaterLine(View(name_string), value))) {
      return Refuse(ec, 400, "a header field is folded over several lines; send it on one line");
    }
    request_.fields.push_back({View(name_string), value});
    switch (name) {
      case http::field::content_length:
        if (has_length_) return Refuse(ec, 400, "Content-Length is given twice");
        if (has_coding_)
          return Refuse(ec, 400, "Content-Length and Transfer-Encoding exclude each other");
        if (value.empty() || value.size() > 19 ||
            value.find_first_not_of("0123456789") != std::string_view::npos) {
          return Refuse(ec, 400, "Content-Length is not a number");
        }
        has_length_ = true;
        for (char c : value) head_.content_length = head_.content_length * 10 + uint64_t(c - '0');
        break;
      case http::field::transfer_encoding:
        if (has_length_)
          return Refuse(ec, 400, "Content-Length and Transfer-Encoding exclude each other");
        if (has_coding_) return Refuse(ec, 400, "Transfer-Encoding is given twice");
        if (head_.http10) return Refuse(ec, 400, "Transfer-Encoding needs HTTP/1.1");
        if (!EqualsIgnoreCase(value, "chunked")) {
          return Refuse(ec, 501, "Transfer-Encoding can only be chunked");
        }
        has_coding_ = true;
        head_.chunked = true;
        break;
      case http::field::host:
        if (has_host) return Refuse(ec, 400, "Host is given twice");
        has_host = true;
        break;
      case http::field::content_encoding:
        head_.coding = Join(head_.coding, CodingOf(value));
        break;
      case http::field::accept_encoding:
        head_.accepts = AcceptedCoding(value);
        break;
      case http::field::expect:
        if (!EqualsIgnoreCase(value, "100-continue")) {
          return Refuse(ec, 417, "Expect can only be 100-continue");
        }
        head_.expect_continue = !head_.http10;
        break;
      default:
        break;
    }
  }
  static bool BeginsOnALaterLine(std::string_view name, std::string_view value) {
    const char* after_name = name.data() + name.size();
    constexpr ptrdiff_t kUsual = 2;  // ": "
    return value.data() - after_name > kUsual &&
           std::memchr(after_name, '\n', size_t(value.data() - after_name)) != nullptr;
  }

  void on_header_impl(error_code&) override { head_.keep_alive = keep_alive(); }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  size_t on_body_impl(BeastView, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  size_t on_chunk_body_impl(std::uint64_t, BeastView, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  std::string_view bytes_;
  HttpRequest& request_;
  RequestHead& head_;
  bool has_length_ = false;
  bool has_coding_ = false;
};

std::string_view Explain(const error_code& ec) {
  if (ec == http::error::bad_method) return "the request's method is malformed";
  if (ec == http::error::bad_target) return "the request's target is malformed";
  if (ec == http::error::bad_version) return "the request is not HTTP/1.0 or HTTP/1.1";
  if (ec == http::error::bad_field) return "a header field's name is malformed";
  if (ec == http::error::bad_value) return "a header field's value is malformed";
  return "the request's head is malformed";
}

bool IsTokenChar(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
}

void SplitTarget(HttpRequest& request) {
  std::string_view path = request.target;
  // Absolute form, as sent to proxies: the server answers for whatever host is named.
  if (size_t scheme = path.find("://");
      !path.starts_with('/') && scheme != std::string_view::npos) {
    path = path.substr(std::min(path.find_first_of("/?", scheme + 3), path.size()));
  }
  size_t question = path.find('?');
  request.path = path.substr(0, question);
  request.query =
      question == std::string_view::npos ? path.substr(path.size()) : path.substr(question + 1);
}

}  // namespace

ParseState HeadParser::Fail(int status, std::string_view message) {
  error_status_ = status;
  error_message_ = message;
  return ParseState::kError;
}

ParseState HeadParser::Feed(std::string_view bytes, HttpRequest& request, RequestHead& head) {
  // An empty line or two in front is what some clients leave behind a body (RFC 9112 2.2).
  size_t skip = 0;
  while (skip < 4 && bytes.substr(skip).starts_with("\r\n")) skip += 2;
  std::string_view text = bytes.substr(skip);
  if (text.empty() || text == "\r") return ParseState::kNeedMore;
  if (text[0] == 0 || !IsTokenChar(text[0])) return Fail(400, "this is not an HTTP request");

  std::string_view searched = text.substr(0, max_header_bytes_);
  size_t from = scanned_ < 3 ? 0 : scanned_ - 3;
  size_t end = searched.find("\r\n\r\n", from);
  if (end == std::string_view::npos) {
    // Lines that end in a bare LF never make a complete head: say so now, not at the read timeout.
    for (size_t at = from; (at = searched.find('\n', at)) != std::string_view::npos; ++at) {
      if (at == 0 || searched[at - 1] != '\r') return Fail(400, "lines must end in CR LF");
    }
    scanned_ = searched.size();
    if (text.size() >= max_header_bytes_) return Fail(431, "the request's head is too large");
    return ParseState::kNeedMore;
  }

  size_t size = end + 4;
  head = RequestHead();
  head.size = skip + size;
  request.fields.clear();
  request.body = {};
  Collector collector(text.substr(0, size), request, head);
  error_code ec;
  collector.put(boost::asio::const_buffer(text.data(), size), ec);
  if (ec == http::error::need_more) ec = {};  // only a body is missing
  if (ec)
    return Fail(collector.status, collector.message.empty() ? Explain(ec) : collector.message);
  if (!collector.is_header_done()) return Fail(400, "the request's head is malformed");
  if (!collector.has_host && !head.http10) return Fail(400, "HTTP/1.1 requests need a Host field");
  SplitTarget(request);
  return ParseState::kDone;
}

void RebaseHead(HttpRequest& request, const char* from, const char* to) {
  auto move = [from, to](std::string_view& view) {
    if (view.data() != nullptr) view = {to + (view.data() - from), view.size()};
  };
  move(request.method);
  move(request.target);
  move(request.path);
  move(request.query);
  for (HttpRequest::Field& field : request.fields) {
    move(field.name);
    // Beast gives an empty value no address of its own.
    if (!field.value.empty()) move(field.value);
  }
}

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const Field& field : fields) {
    if (field.name.size() == name.size() && EqualsIgnoreCase(field.name, name)) return field.value;
  }
  return {};
}

}  // namespace leadsman::net
