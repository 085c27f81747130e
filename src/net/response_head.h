#pragma once

#include <string>
#include <string_view>

namespace leadsman::net {

/// "Not Found"; empty for a status without a known name.
std::string_view ReasonPhrase(int status);

struct ResponseHeadSpec {
  int status = 200;
  std::string_view content_type;
  size_t content_length = 0;
  std::string_view headers;  ///< further complete lines
  bool close = false;
  bool say_keep_alive = false;        ///< HTTP/1.0 clients have to be told
  std::string_view content_encoding;  ///< empty = as it is
  bool vary = false;                  ///< the answer could have been compressed for another client
};

/// Appends the status line, the fields and the empty line. 204 and 304 get no Content-Length.
void AppendResponseHead(std::string& out, const ResponseHeadSpec& spec);

}  // namespace leadsman::net
