#include "net/answer_head.h"

#include <algorithm>
#include <cstring>

#include <boost/beast/http/basic_parser.hpp>

#include "base/strings.h"

namespace leadsman::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

std::string_view View(BeastView v) { return {v.data(), v.size()}; }

/// Beast's parser finds and checks the lines; this collects views.
class Collector final : public http::basic_parser<false> {
 public:
  Collector(std::string_view bytes, AnswerHead& head) : bytes_(bytes), head_(head) {
    header_limit(UINT32_MAX);  // checked by AnswerHeadParser already
    body_limit(boost::none);
    eager(false);
  }

  std::string_view message;

 private:
  void Refuse(error_code& ec, std::string_view why) {
    message = why;
    ec = http::error::bad_field;
  }

  void on_request_impl(http::verb, BeastView, BeastView, int, error_code&) override {}
  void on_response_impl(int status, BeastView reason, int version, error_code&) override {
    head_.status = status;
    head_.reason = View(reason);
    head_.http10 = version < 11;
  }
  void on_field_impl(http::field name, BeastView name_string, BeastView value_string,
                     error_code& ec) override {
    const std::string_view value = View(value_string);
    // A folded field is put together in the parser's own memory, unless its first line is empty.
    if (!value.empty() &&
        (value.data() < bytes_.data() || value.data() >= bytes_.data() + bytes_.size() ||
         BeginsOnALaterLine(View(name_string), value))) {
      return Refuse(ec, "a header field is folded over several lines");
    }
    head_.fields.push_back({View(name_string), value});
    if (name == http::field::content_length) {
      if (head_.content_length) return Refuse(ec, "Content-Length is given twice");
      if (value.empty() || value.size() > 18 ||
          value.find_first_not_of("0123456789") != std::string_view::npos) {
        return Refuse(ec, "Content-Length is not a number");
      }
      uint64_t length = 0;
      for (char c : value) length = length * 10 + static_cast<uint64_t>(c - '0');
      head_.content_length = length;
    } else if (name == http::field::transfer_encoding) {
      if (head_.chunked) return Refuse(ec, "Transfer-Encoding is given twice");
      if (!EqualsIgnoreCase(value, "chunked"))
        return Refuse(ec, "Transfer-Encoding can only be chunked");
      if (head_.http10) return Refuse(ec, "Transfer-Encoding needs HTTP/1.1");
      head_.chunked = true;
    }
    if (head_.chunked && head_.content_length)
      return Refuse(ec, "Content-Length and Transfer-Encoding exclude each other");
  }
  static bool BeginsOnALaterLine(std::string_view name, std::string_view value) {
    const char* after_name = name.data() + name.size();
    return value.data() - after_name > 2 &&
           std::memchr(after_name, '\n', static_cast<size_t>(value.data() - after_name)) != nullptr;
  }
  void on_header_impl(error_code&) override { head_.keep_alive = keep_alive(); }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  size_t on_body_impl(BeastView, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  size_t on_chunk_body_impl(std::uint64_t, BeastView, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  std::string_view bytes_;
  AnswerHead& head_;
};

}  // namespace

ParseState AnswerHeadParser::Feed(std::string_view bytes, AnswerHead& head) {
  static constexpr std::string_view kBegin = "HTTP/1.";
  const size_t shown = std::min(bytes.size(), kBegin.size());
  if (bytes.substr(0, shown) != kBegin.substr(0, shown)) return Fail("this is not HTTP/1.1");
  const std::string_view searched = bytes.substr(0, max_header_bytes_);
  const size_t from = scanned_ < 3 ? 0 : scanned_ - 3;
  const size_t end = searched.find("\r\n\r\n", from);
  if (end == std::string_view::npos) {
    for (size_t at = from; (at = searched.find('\n', at)) != std::string_view::npos; ++at) {
      if (at == 0 || searched[at - 1] != '\r') return Fail("lines must end in CR LF");
    }
    scanned_ = searched.size();
    if (bytes.size() >= max_header_bytes_) return Fail("the head is too large");
    return ParseState::kNeedMore;
  }
  const size_t size = end + 4;
  head.status = 0;
  head.reason = {};
  head.http10 = head.chunked = false;
  head.keep_alive = true;
  head.content_length.reset();
  head.fields.clear();
  head.size = size;
  Collector collector(bytes.substr(0, size), head);
  error_code ec;
  collector.put(boost::asio::const_buffer(bytes.data(), size), ec);
  if (ec == http::error::need_more) ec = {};  // only a body is missing
  if (ec) return Fail(collector.message.empty() ? "the head is malformed" : collector.message);
  if (!collector.is_header_done()) return Fail("the head is malformed");
  if (head.status < 100 || head.status > 999)
    return Fail("the status is no number of three digits");
  return ParseState::kDone;
}

std::string_view AnswerHead::Header(std::string_view name) const {
  for (const HttpRequest::Field& field : fields) {
    if (field.name.size() == name.size() && EqualsIgnoreCase(field.name, name)) return field.value;
  }
  return {};
}

}  // namespace leadsman::net
