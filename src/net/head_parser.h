#pragma once

#include <cstdint>
#include <string_view>

#include "net/http_server.h"

namespace leadsman::net {

enum class ContentCoding { kIdentity, kGzip, kDeflate, kUnsupported };
enum class ParseState { kNeedMore, kDone, kError };

/// What the server has to know of a request's head beyond what the handler sees.
struct RequestHead {
  size_t size = 0;  ///< bytes of the head, with the empty line
  uint64_t content_length = 0;
  ContentCoding coding = ContentCoding::kIdentity;
  bool chunked = false;
  bool http10 = false;
  bool is_head = false;  ///< the method is HEAD
  bool keep_alive = true;
  bool expect_continue = false;
  ContentCoding accepts = ContentCoding::kIdentity;  ///< the best that the client takes
};

/// Recognises a request's head at the front of a buffer and refuses whatever two parties could read
/// in two ways (request smuggling): two Content-Lengths, Content-Length with Transfer-Encoding,
/// codings other than chunked, folded fields, a missing or second Host. Pure: bytes in, result out.
/// Externally synchronised.
///
///   parser.Reset();
///   while ((state = parser.Feed(all_bytes_so_far, request, head)) == ParseState::kNeedMore) { read
///   more }
class HeadParser {
 public:
  explicit HeadParser(size_t max_header_bytes) : max_header_bytes_(max_header_bytes) {}

  void Reset() { scanned_ = 0; }

  /// `bytes` begins where the request begins and holds all that has arrived, also bytes behind the
  /// head. After kDone the views in `request` (all but body and received) point into `bytes`. After
  /// kError error_status() and error_message() say why.
  ParseState Feed(std::string_view bytes, HttpRequest& request, RequestHead& head);

  int error_status() const { return error_status_; }
  std::string_view error_message() const { return error_message_; }

 private:
  ParseState Fail(int status, std::string_view message);

  size_t max_header_bytes_;
  size_t scanned_ =
      0;  ///< how far the end of the head has been searched for; a slow client must not cost n²
  int error_status_ = 0;
  std::string_view error_message_;
};

/// Moves every view of `request` that points into the head by `to - from`; for a buffer that has
/// moved.
void RebaseHead(HttpRequest& request, const char* from, const char* to);

}  // namespace leadsman::net
