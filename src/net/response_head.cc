#include "net/response_head.h"

#include <charconv>
#include <cstring>

namespace leadsman::net {
namespace {

char* Put(char* p, std::string_view text) {
  if (!text.empty()) std::memcpy(p, text.data(), text.size());
  return p + text.size();
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Payload Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Entity";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

void AppendResponseHead(std::string& out, const ResponseHeadSpec& spec) {
  std::string_view reason = ReasonPhrase(spec.status);
  const size_t before = out.size();
  // All the fixed text below, with room to spare.
  constexpr size_t kFixed = 256;
  out.resize(before + kFixed + reason.size() + spec.content_type.size() + spec.headers.size());
  char* p = out.data() + before;
  if (spec.status == 200) {
    p = Put(p, "HTTP/1.1 200 OK\r\n");
  } else {
    p = Put(p, "HTTP/1.1 ");
    p = std::to_chars(p, p + 12, spec.status).ptr;
    *p++ = ' ';
    p = Put(p, reason);
    p = Put(p, "\r\n");
  }
  if (!spec.content_type.empty()) {
    p = Put(p, "Content-Type: ");
    p = Put(p, spec.content_type);
    p = Put(p, "\r\n");
  }
  if (spec.status != 204 && spec.status != 304) {
    p = Put(p, "Content-Length: ");
    p = std::to_chars(p, p + 20, spec.content_length).ptr;
    p = Put(p, "\r\n");
  }
  if (!spec.content_encoding.empty()) {
    p = Put(p, "Content-Encoding: ");
    p = Put(p, spec.content_encoding);
    p = Put(p, "\r\n");
  }
  if (spec.vary) p = Put(p, "Vary: Accept-Encoding\r\n");
  if (spec.close) {
    p = Put(p, "Connection: close\r\n");
  } else if (spec.say_keep_alive) {
    p = Put(p, "Connection: keep-alive\r\n");
  }
  p = Put(p, spec.headers);
  p = Put(p, "\r\n");
  out.resize(size_t(p - out.data()));
}

}  // namespace leadsman::net
