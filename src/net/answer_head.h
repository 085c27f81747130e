#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "net/head_parser.h"
#include "net/http_server.h"

namespace leadsman::net {

/// The head of an answer, as a proxy has to know it. The views point into the bytes it was read from.
struct AnswerHead {
  size_t size = 0;  ///< bytes of the head, with the empty line
  int status = 0;
  std::string_view reason;  ///< "Not Found"; may be empty
  bool http10 = false;
  bool keep_alive = true;
  bool chunked = false;
  std::optional<uint64_t> content_length;
  std::vector<HttpRequest::Field> fields;

  /// Case-insensitive; empty when absent. The first when sent several times.
  std::string_view Header(std::string_view name) const;
  bool interim() const { return status >= 100 && status < 200; }
};

/// Recognises an answer's head at the front of a buffer. As strict as HeadParser: what a client and a proxy could read in
/// two ways (two lengths, a length and chunks, folded fields, lines that end in a bare LF) is an error. Pure. Externally
/// synchronised.
class AnswerHeadParser {
 public:
  explicit AnswerHeadParser(size_t max_header_bytes) : max_header_bytes_(max_header_bytes) {}

  void Reset() { scanned_ = 0; }
  /// `bytes` begins where the answer begins and holds all that has arrived. After kError error_message() says why.
  ParseState Feed(std::string_view bytes, AnswerHead& head);
  std::string_view error_message() const { return error_message_; }

 private:
  ParseState Fail(std::string_view message) {
    error_message_ = message;
    return ParseState::kError;
  }

  size_t max_header_bytes_;
  size_t scanned_ = 0;
  std::string_view error_message_;
};

}  // namespace leadsman::net
